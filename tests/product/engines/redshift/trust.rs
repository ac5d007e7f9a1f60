//! The cluster that receives a master's password, and the host of the wire probe.

use serde_json::json;
use twinkey_stores::stage;
use twinkey_testkit::aws::redshift::CLUSTER;
use twinkey_testkit::hostile::HostileServer;

use super::fixture::{Deployment, MASTER, MASTER_SECRET, RedshiftFixture, SECRET, text};
use super::rotations::furnish;

fn with_master() -> String {
    format!("master_secret = \"{MASTER_SECRET}\"")
}

/// Runs `check` and `rotate`, which must report the code.
async fn is_refused(fixture: &RedshiftFixture, code: &str) -> String {
    let check = fixture.twinkey(&["check", "house"]).await;
    assert_eq!(check.status.code(), Some(1));
    assert!(
        text(&check.stdout).contains(code),
        "{}",
        text(&check.stdout)
    );
    let rotate = fixture.twinkey(&["rotate", "house"]).await;
    let message = text(&rotate.stderr);
    assert!(message.contains(&format!("error[{code}]")), "{message}");
    assert!(!fixture.has(stage::PENDING).await, "nothing was changed");
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_names_no_cluster_for_the_masters_password() {
    let fixture = RedshiftFixture::open(Deployment::Cluster, "", &with_master()).await;
    furnish(&fixture).await;
    let master = json!({"username": "admin", "password": MASTER});
    fixture.put(MASTER_SECRET, &master).await;
    let message = is_refused(&fixture, "host_untrusted").await;
    assert!(message.contains(&format!("cluster {CLUSTER}")), "{message}");
    assert_eq!(fixture.count("BatchExecuteStatement"), 0);

    fixture.configure(&format!("cluster = \"{CLUSTER}\""), &with_master());
    fixture.good(&["rotate", "house"]).await;
    assert_eq!(fixture.current_user().await, "app_clone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wire_probe_goes_to_the_trusted_host() {
    let wire = format!("probe = \"wire\", cluster = \"{CLUSTER}\"");
    let fixture = RedshiftFixture::open(Deployment::Cluster, &wire, &with_master()).await;
    furnish(&fixture).await;
    fixture
        .dba(
            "dev",
            &["CREATE USER victim PASSWORD 'Other0123456789abcdefXYZ'"],
        )
        .await;
    let honest = fixture.read(stage::CURRENT).await;
    let hostile = HostileServer::postgres("1").await;
    let mut edited = honest.clone();
    edited["port"] = json!(hostile.port());
    edited["username"] = json!("victim");
    fixture.put(SECRET, &edited).await;
    is_refused(&fixture, "current_signin_failed").await;
    assert!(!hostile.received(MASTER));

    fixture.put(SECRET, &honest).await;
    let master = json!({"username": "admin", "password": MASTER});
    fixture.put(MASTER_SECRET, &master).await;
    is_refused(&fixture, "host_untrusted").await;
    let port = fixture.redshift().server().port();
    let more = format!("{}\nmaster_host = \"127.0.0.1:{port}\"", with_master());
    fixture.configure(&wire, &more);
    fixture.good(&["rotate", "house"]).await;
    assert_eq!(fixture.current_user().await, "app_clone");
}
