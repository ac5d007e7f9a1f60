//! Readers that the RDS API reports, and the states of endpoints.

use serde_json::Value as Json;
use tokio::net::{TcpListener, TcpStream};
use twinkey_testkit::aws::rds::RdsDatabase;
use twinkey_testkit::environment::{Setup, free_address, until};

use super::postgres::{application, with_replica};
use super::{connecting, readers};

fn instance(port: u16, copies: &[&str]) -> RdsDatabase {
    RdsDatabase {
        endpoint: Some(("127.0.0.1".into(), port)),
        reader: None,
        master_secret: None,
        copies: copies.iter().map(|&id| id.into()).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_the_rds_api_are_waited_for() {
    let (env, replica) = with_replica(Setup::default(), &["recovery_min_apply_delay=1s"]).await;
    let configure = || {
        env.configure(&Setup {
            rotation: "readers = \"rds\"\nin_use = \"ignore\"".into(),
            ..Setup::default()
        });
    };
    configure();
    let refused = env.refuses(&["rotate", "shop"], "config_invalid").await;
    assert!(
        refused.contains("reports no instance or cluster"),
        "{refused}"
    );
    let faults = env.stand_in().faults();
    faults.answer("DescribeDBClusters", 1, 403, "AccessDenied");
    let refused = env.refuses(&["rotate", "shop"], "reader_unreachable").await;
    assert!(refused.contains("AccessDenied"), "{refused}");

    // The names of the machine, so that the replica is another host than the primary.
    let rds = env.stand_in().rds();
    rds.add_instance("orders", instance(env.server.port(), &["orders-1"]));
    let mut copy = instance(replica.port(), &[]);
    copy.endpoint = Some(("localhost".into(), replica.port()));
    rds.add_instance("orders-1", copy);
    let checked = env.run_ok(&["check"]).await;
    let reader = format!("the reader localhost:{}", replica.port());
    assert!(checked.contains(&reader), "{checked}");
    let ports = [env.server.port(), replica.port()];
    let rotations = async {
        for _ in 0..2 {
            let output = env.run_ok(&["rotate", "shop"]).await;
            assert!(output.contains(&format!("waiting: {reader}")), "{output}");
        }
    };
    connecting(&env, &ports, application, rotations).await;
    let policy = ["iam-policy", "--account", "111122223333"];
    let policy = env.run_ok(&policy).await;
    assert!(policy.contains("rds:DescribeDBInstances"), "{policy}");
}

/// Relays connections to a server on this machine from another address with another port.
async fn relay(from: (&str, u16), to: u16) {
    let listener = TcpListener::bind(from).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
}

/// The reader instance has an endpoint of its own, and the reader endpoint has the port of the
/// cluster.
#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_cluster_are_waited_for() {
    const READER: &str = "127.0.0.2";
    let (env, replica) = with_replica(Setup::default(), &["recovery_min_apply_delay=1s"]).await;
    let port = env.server.port();
    relay((READER, port), replica.port()).await;
    let rds = env.stand_in().rds();
    rds.add_instance("orders-0", instance(port, &[]));
    let mut copy = instance(replica.port(), &[]);
    copy.endpoint = Some(("localhost".into(), replica.port()));
    rds.add_instance("orders-1", copy);
    let mut cluster = instance(port, &["orders-0", "orders-1"]);
    cluster.reader = Some(READER.into());
    rds.add_cluster("orders", cluster);
    env.configure(&Setup {
        rotation: "readers = \"rds\"\nin_use = \"ignore\"".into(),
        ..Setup::default()
    });
    let checked = env.run_ok(&["check"]).await;
    let readers = [
        format!("the reader localhost:{}", replica.port()),
        format!("the reader {READER}:{port}"),
    ];
    for reader in &readers {
        assert!(checked.contains(reader), "{reader}: {checked}");
    }
    assert!(
        !checked.contains(&format!("the reader 127.0.0.1:{port}")),
        "the writer is no reader: {checked}"
    );
    let ports = [port, replica.port()];
    let rotations = async {
        for _ in 0..2 {
            let output = env.run_ok(&["rotate", "shop"]).await;
            for reader in &readers {
                assert!(output.contains(reader), "{reader}: {output}");
            }
        }
    };
    connecting(&env, &ports, application, rotations).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_states_of_endpoints_are_those_of_the_last_sign_in() {
    let address = free_address();
    let setup = |rotation: String| Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        rotation,
        ..Setup::default()
    };
    let (env, replica) = with_replica(setup(String::new()), &[]).await;
    let port = replica.port();
    env.configure(&setup(readers(&[port], "heartbeat = \"10s\"")));
    env.run_ok(&["rotate", "shop"]).await;
    let local = env.run_ok(&["status", "shop"]).await;
    assert!(
        local.contains(&format!("127.0.0.1:{port}")) && local.contains("unknown"),
        "{local}"
    );

    let mut serve = env.serve(&address).await;
    let get = async |path: &str| {
        let url = format!("http://{address}{path}");
        reqwest::get(url).await.unwrap().text().await.unwrap()
    };
    let state = async || -> String {
        let view: Json = serde_json::from_str(&get("/v1/rotations/shop").await).unwrap();
        let all = view["endpoints"].as_array().unwrap();
        let name = format!("127.0.0.1:{port}");
        let one = all.iter().find(|one| one["host"] == name.as_str()).unwrap();
        assert_eq!(one["kind"], "reader");
        one["state"].as_str().unwrap().to_owned()
    };
    until("a heartbeat has signed in", async || state().await == "up").await;
    let up = format!("twinkey_endpoint_up{{rotation=\"shop\",endpoint=\"127.0.0.1:{port}\"}}");
    assert!(get("/metrics").await.contains(&format!("{up} 1")));
    assert!(
        get("/rotations/shop")
            .await
            .contains(&format!("reader 127.0.0.1:{port}: up"))
    );
    drop(replica);
    until("a heartbeat found the replica down", async || {
        state().await == "unreachable"
    })
    .await;
    assert!(get("/metrics").await.contains(&format!("{up} 0")));
    serve.kill().await.unwrap();
}
