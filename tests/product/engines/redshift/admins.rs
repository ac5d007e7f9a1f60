//! Rotations by each kind of admin, sign-in check and password form.

use twinkey_stores::stage;

use super::fixture::{Deployment, FIRST, MASTER_SECRET, RedshiftFixture};
use super::rotations::{furnish, may_work};
use twinkey_testkit::aws::redshift::{HOME, IDENTITY};

async fn rotates_twice(fixture: &RedshiftFixture) {
    furnish(fixture).await;
    for user in ["app_clone", "app"] {
        fixture.good(&["rotate", "house"]).await;
        assert_eq!(fixture.current_user().await, user);
        may_work(fixture, stage::CURRENT).await;
        may_work(fixture, stage::PREVIOUS).await;
    }
}

fn with_master() -> String {
    format!("master_secret = \"{MASTER_SECRET}\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_user_is_the_admin_and_no_master_secret_is_read() {
    let fixture = RedshiftFixture::open(Deployment::Cluster, "db_user = \"admin\"", "").await;
    rotates_twice(&fixture).await;
    let calls = fixture.stand_in.faults().calls();
    let of_master = calls.iter().filter(|call| call.secret == MASTER_SECRET);
    assert_eq!(of_master.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_iam_identity_is_the_admin_of_a_workgroup() {
    let fixture = RedshiftFixture::open(Deployment::Workgroup, "", "").await;
    let identity = format!("CREATE USER \"{IDENTITY}\" PASSWORD '{FIRST}' CREATEUSER");
    fixture.dba(HOME, &[&identity]).await;
    rotates_twice(&fixture).await;
    let calls = fixture.stand_in.faults().calls();
    let of_master = calls.iter().filter(|call| call.secret == MASTER_SECRET);
    assert_eq!(of_master.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_embedded_store_uses_a_probe_secret_in_aws() {
    let fixture = RedshiftFixture::open(Deployment::Cluster, "", "").await;
    furnish(&fixture).await;
    fixture.use_embedded_store("db_user = \"admin\"").await;
    for user in ["app_clone", "app"] {
        fixture.good(&["rotate", "house"]).await;
        let current = fixture
            .good(&["secret", "get", super::fixture::SECRET])
            .await;
        let document: serde_json::Value = serde_json::from_str(&current).unwrap();
        assert_eq!(document["username"], user);
    }
    assert!(fixture.count("CreateSecret") > 0);
    assert_eq!(fixture.probe_secrets().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_checked_over_the_postgresql_protocol() {
    let fixture =
        RedshiftFixture::open(Deployment::Cluster, "probe = \"wire\"", &with_master()).await;
    rotates_twice(&fixture).await;
    assert_eq!(fixture.count("CreateSecret"), 0, "no probe secret is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sha256_password_is_replaced_by_another() {
    let fixture = RedshiftFixture::open(Deployment::Cluster, "", &with_master()).await;
    let sha256 = twinkey_core::secret::verifier::redshift_sha256(&FIRST.into()).unwrap();
    let sha256 = secrecy::ExposeSecret::expose_secret(&sha256).to_owned();
    fixture
        .dba(HOME, &[&format!("ALTER USER app PASSWORD '{sha256}'")])
        .await;
    rotates_twice(&fixture).await;
    let statements = fixture.redshift().history();
    let set = statements
        .iter()
        .filter(|seen| seen.sql.contains(" PASSWORD 'sha256|"));
    // The first run creates the standby with the digest of another password.
    assert_eq!(set.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_privileges_of_the_admin_prevent_every_change() {
    let fixture = RedshiftFixture::open(Deployment::Cluster, "db_user = \"weak\"", "").await;
    furnish(&fixture).await;
    let weak = format!("CREATE USER weak PASSWORD '{FIRST}'");
    fixture.dba(HOME, &[&weak]).await;
    let output = fixture.twinkey(&["check", "house"]).await;
    let said = super::fixture::text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is no superuser and has no role"), "{said}");
    assert!(said.contains("ALTER USER \"weak\" CREATEUSER"), "{said}");
    let output = fixture.twinkey(&["rotate", "house"]).await;
    let said = super::fixture::text(&output.stderr);
    assert!(said.contains("error[privileges_missing]"), "{said}");
    assert!(!fixture.has(stage::PENDING).await, "nothing was changed");
}
