//! Each kind of admin, each kind of proof, each form of a password.

use twinkey_stores::stage;

use super::house::{FIRST, House, MASTER_SECRET, On};
use super::rotations::{furnish, may_work};
use twinkey_testkit::aws::redshift::{HOME, IDENTITY};

async fn rotates_twice(house: &House) {
    furnish(house).await;
    for user in ["app_clone", "app"] {
        house.good(&["rotate", "house"]).await;
        assert_eq!(house.current_user().await, user);
        may_work(house, stage::CURRENT).await;
        may_work(house, stage::PREVIOUS).await;
    }
}

fn with_master() -> String {
    format!("master_secret = \"{MASTER_SECRET}\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_user_is_the_admin_and_no_master_secret_is_read() {
    let house = House::open(On::Cluster, "db_user = \"admin\"", "").await;
    rotates_twice(&house).await;
    let calls = house.stand_in.faults().calls();
    let of_master = calls.iter().filter(|call| call.secret == MASTER_SECRET);
    assert_eq!(of_master.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_iam_identity_is_the_admin_of_a_workgroup() {
    let house = House::open(On::Workgroup, "", "").await;
    let identity = format!("CREATE USER \"{IDENTITY}\" PASSWORD '{FIRST}' CREATEUSER");
    house.dba(HOME, &[&identity]).await;
    rotates_twice(&house).await;
    let calls = house.stand_in.faults().calls();
    let of_master = calls.iter().filter(|call| call.secret == MASTER_SECRET);
    assert_eq!(of_master.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_embedded_store_is_rotated_too_and_the_probe_secret_is_in_aws() {
    let house = House::open(On::Cluster, "", "").await;
    furnish(&house).await;
    house.keep_secrets_here("db_user = \"admin\"").await;
    for user in ["app_clone", "app"] {
        house.good(&["rotate", "house"]).await;
        let current = house.good(&["secret", "get", super::house::SECRET]).await;
        let document: serde_json::Value = serde_json::from_str(&current).unwrap();
        assert_eq!(document["username"], user);
    }
    assert!(house.count("CreateSecret") > 0);
    assert_eq!(house.probe_secrets().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_proved_over_the_wire_where_there_is_one() {
    let house = House::open(On::Cluster, "probe = \"wire\"", &with_master()).await;
    rotates_twice(&house).await;
    assert_eq!(house.count("CreateSecret"), 0, "no probe secret is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_sha256_password_gets_another_one() {
    let house = House::open(On::Cluster, "", &with_master()).await;
    let sha256 = twinkey_core::secret::verifier::redshift_sha256(&FIRST.into()).unwrap();
    let sha256 = secrecy::ExposeSecret::expose_secret(&sha256).to_owned();
    house
        .dba(HOME, &[&format!("ALTER USER app PASSWORD '{sha256}'")])
        .await;
    rotates_twice(&house).await;
    let statements = house.redshift().history();
    let set = statements
        .iter()
        .filter(|seen| seen.sql.contains(" PASSWORD 'sha256|"));
    assert_eq!(set.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_that_sees_or_may_too_little_is_told_so_before_anything_is_changed() {
    let house = House::open(On::Cluster, "db_user = \"weak\"", "").await;
    furnish(&house).await;
    let weak = format!("CREATE USER weak PASSWORD '{FIRST}'");
    house.dba(HOME, &[&weak]).await;
    let output = house.twinkey(&["check", "house"]).await;
    let said = super::house::text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("cannot read all rows of the svv_* views"),
        "{said}"
    );
    assert!(said.contains("ALTER USER \"weak\" CREATEUSER"), "{said}");
    let output = house.twinkey(&["rotate", "house"]).await;
    let said = super::house::text(&output.stderr);
    assert!(said.contains("error[privileges_missing]"), "{said}");
    assert!(!house.has(stage::PENDING).await, "nothing was begun");
}
