//! The worker under each attack. The printed table has a row for each.
//!
//! A row starts a worker and the attack. `/healthz` answers during it, another rotation's run
//! succeeds, and SIGTERM ends the worker. The times are printed and not asserted.

use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};
use twinkey_stores::listener::descriptors;
use twinkey_testkit::environment::{Environment, FIRST, Setup, free_address, until};
use twinkey_testkit::hostile::Demand::{
    ClearText, HugeMessage, HugeMessageLater, Md5, Notices, Rounds, Silent,
};
use twinkey_testkit::hostile::MongodbDemand::{self, Arbiter, Deep, Endless, Plain};
use twinkey_testkit::hostile::{Demand, HostileServer, MysqlDemand};

use super::{MASTER_PASSWORD, assert_no_password};
use crate::admin::connections::send_half_requests;
use crate::serving::worker::terminate;

enum Attack {
    /// A server to which a master signs in.
    Postgres(Demand),
    Mongodb(MongodbDemand),
    Mysql(MysqlDemand),
    /// Half requests at the worker's own endpoint.
    HalfRequests,
}

use Attack::{HalfRequests, Mongodb, Mysql, Postgres};

/// An attack by some servers at once. Their rotations fail with `db_refused`, if they end.
struct Row {
    name: &'static str,
    attacks: &'static [Attack],
    ends: bool,
}

const ROWS: [Row; 6] = [
    Row {
        name: "requests for the password or for no sign-in",
        attacks: &[
            Postgres(ClearText),
            Postgres(Md5),
            Mongodb(Plain),
            Mongodb(Arbiter),
            Mysql(MysqlDemand::Method("mysql_clear_password")),
            Mysql(MysqlDemand::OldPassword),
            Mysql(MysqlDemand::RsaKey),
            Mysql(MysqlDemand::Switches(10)),
            Mysql(MysqlDemand::LocalFile),
        ],
        ends: true,
    },
    Row {
        name: "2147483647 SCRAM rounds",
        attacks: &[
            Postgres(Rounds(2_147_483_647)),
            Mongodb(MongodbDemand::Rounds(2_147_483_647)),
        ],
        ends: true,
    },
    Row {
        name: "messages of 2 GiB, deep documents",
        attacks: &[
            Postgres(HugeMessage),
            Postgres(HugeMessageLater),
            Mongodb(MongodbDemand::HugeMessage),
            Mongodb(Deep(9000)),
            Mysql(MysqlDemand::HugePacket),
            Mysql(MysqlDemand::HugePacketLater),
            Mysql(MysqlDemand::Columns),
        ],
        ends: true,
    },
    Row {
        name: "endless answers",
        attacks: &[
            Postgres(Notices),
            Mongodb(Endless),
            Mysql(MysqlDemand::Packets),
            Mysql(MysqlDemand::Rows),
        ],
        ends: true,
    },
    Row {
        name: "1,100 half requests at the endpoint",
        attacks: &[HalfRequests],
        ends: false,
    },
    // The last row: the next worker would continue its runs.
    Row {
        name: "servers that never answer",
        attacks: &[
            Postgres(Silent),
            Mongodb(MongodbDemand::Silent),
            Mysql(MysqlDemand::Silence),
        ],
        ends: false,
    },
];

/// A hostile server and the rotation whose master signs in there.
struct Target {
    rotation: String,
    server: HostileServer,
}

/// Starts the servers of all rows.
async fn targets() -> Vec<Vec<(Target, &'static str)>> {
    let mut rows = Vec::new();
    for (number, row) in ROWS.iter().enumerate() {
        let mut targets = Vec::new();
        for (place, attack) in row.attacks.iter().enumerate() {
            let (server, engine) = match attack {
                Postgres(demand) => (HostileServer::demanding(*demand, None).await, "postgres"),
                Mongodb(demand) => (HostileServer::mongodb(*demand, None).await, "documentdb"),
                Mysql(demand) => (
                    HostileServer::mysql_demanding(*demand, None).await,
                    "mariadb",
                ),
                HalfRequests => continue,
            };
            let rotation = format!("attack-{number}-{place}");
            targets.push((Target { rotation, server }, engine));
        }
        rows.push(targets);
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_lives_under_each_attack() {
    descriptors::raise().unwrap();
    let address = free_address();
    let rows = targets().await;
    let rotations: String = rows
        .iter()
        .flatten()
        .map(|(target, engine)| {
            let name = &target.rotation;
            format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{name}/db\"\nmaster_secret = \"{name}/master\"\nengine = \"{engine}\"\ntls = {{ mode = \"disable\" }}\n")
        })
        .collect();
    let env = Environment::open(Setup {
        config: format!("{rotations}\n[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    for (number, (target, engine)) in rows.iter().flatten().enumerate() {
        let hostile = json!({
            "host": "localhost",
            "port": target.server.port(),
            "username": "rdsmaster",
            "password": MASTER_PASSWORD,
        });
        env.put(&format!("{}/master", target.rotation), &hostile)
            .await;
        let mut secret = env.document(&format!("user_{number}"), FIRST);
        if *engine != "postgres" {
            secret = hostile;
            secret["username"] = json!("app");
            secret["password"] = json!(FIRST);
        }
        env.put(&format!("{}/db", target.rotation), &secret).await;
    }
    assert_eq!(env.master.expose_secret(), MASTER_PASSWORD);
    println!(
        "{:45} {:>10} {:>10} {:>10}",
        "attack", "/healthz", "other run", "SIGTERM"
    );
    for (row, targets) in ROWS.iter().zip(&rows) {
        run_row(&env, &address, row, targets).await;
    }
}

async fn get_json(client: &reqwest::Client, url: &str) -> Json {
    let answer = client.get(url).send().await.unwrap();
    answer.json().await.unwrap()
}

async fn run_row(env: &Environment, address: &str, row: &Row, targets: &[(Target, &'static str)]) {
    let mut serve = env.serve(address).await;
    let half_requests = row
        .attacks
        .iter()
        .any(|attack| matches!(attack, HalfRequests));
    let clients = half_requests.then(|| send_half_requests(address));
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let url = |path: &str| format!("http://{address}{path}");
    let mut started = Vec::new();
    for name in targets
        .iter()
        .map(|(target, _)| target.rotation.as_str())
        .chain(["shop"])
    {
        let path = url(&format!("/v1/rotations/{name}/rotate"));
        let answer = client
            .post(path)
            .json(&json!({"force": true}))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 202, "{}: {name}", row.name);
        let run: Json = answer.json().await.unwrap();
        started.push(url(&format!("/v1/runs/{}", run["id"].as_str().unwrap())));
    }
    let shop = started.pop().unwrap();
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut other_run = None;
    until("the runs of the row have ended", async || {
        let asked = Instant::now();
        let health = client.get(url("/healthz")).send().await.unwrap();
        assert_eq!(health.status(), 200, "{}", row.name);
        slowest = slowest.max(asked.elapsed());
        let run = get_json(&client, &shop).await;
        assert_ne!(run["state"], "failed", "{}: {run:#}", row.name);
        if run["state"] == "succeeded" {
            other_run.get_or_insert(begun.elapsed());
        }
        let mut attacks_ended = true;
        for attack in started.iter().filter(|_| row.ends) {
            let run = get_json(&client, attack).await;
            match run["state"].as_str() {
                Some("failed") => assert_eq!(run["error"]["code"], "db_refused", "{run:#}"),
                _ => attacks_ended = false,
            }
        }
        attacks_ended && other_run.is_some()
    })
    .await;
    for (target, _) in targets {
        assert!(target.server.connections() > 0, "{}", target.rotation);
        assert_no_password(&target.server);
        assert!(!target.server.received("root:"), "a file of this machine");
    }
    let stopping = Instant::now();
    terminate(&serve);
    let status = serve.wait().await.unwrap();
    assert!(status.success(), "{}: {status}", row.name);
    drop(clients);
    println!(
        "{:45} {:>8}ms {:>8}ms {:>8}ms",
        row.name,
        slowest.as_millis(),
        other_run.unwrap().as_millis(),
        stopping.elapsed().as_millis()
    );
}
