//! Replicas that restart during a run, and replicas of replicas.

use std::time::Duration;

use twinkey_stores::stage;
use twinkey_testkit::environment::{Setup, until};
use twinkey_testkit::postgres::LocalPostgres;

use super::postgres::{application, with_replica};
use super::{credentials, readers};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_a_restarted_and_a_cascaded_replica() {
    let settings: &'static [&'static str] = &["recovery_min_apply_delay=3s"];
    let (env, mut replica) = with_replica(Setup::default(), settings).await;
    let (_, bin) = LocalPostgres::find_for_replicas().unwrap();
    let cascaded = tokio::task::block_in_place(|| {
        let replica = &replica;
        replica
            .start_replica(bin, &["recovery_min_apply_delay=0"])
            .unwrap()
    });
    let ports = [replica.port(), cascaded.port()];
    env.configure(&Setup {
        rotation: readers(&ports, "in_use = \"ignore\""),
        ..Setup::default()
    });
    for _ in 0..2 {
        let before = env.read(stage::CURRENT).await;
        let restart = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            tokio::task::block_in_place(|| replica.restart().unwrap());
        };
        let rotate = env.run_ok(&["rotate", "shop"]);
        let (output, ()) = tokio::join!(rotate, restart);
        assert!(output.contains("waiting: the reader"), "{output}");
        let (document, version) = env.read(stage::CURRENT).await;
        assert_ne!(version, before.1);
        for port in ports {
            let (user, password) = credentials(&document);
            application(port, user, password).await.unwrap();
        }
        until("the replica accepts connections", async || {
            let (user, password) = credentials(&document);
            application(ports[0], user, password).await.is_ok()
        })
        .await;
    }
}
