//! Rotations, on a cluster and on a workgroup, by each kind of admin and each kind of proof.

use twinkey_stores::stage;

use super::house::{House, MASTER_SECRET, OTHER, On};
use twinkey_testkit::aws::redshift::HOME;

/// What the application may do, in both databases, in classes as different as Redshift has them.
const MADE: [&str; 14] = [
    "CREATE SCHEMA shop",
    "CREATE TABLE shop.orders (id int, note varchar(20))",
    "CREATE TABLE shop.part (seen int, unseen int)",
    "CREATE TABLE shop.for_group (n int)",
    "CREATE TABLE shop.for_role (n int)",
    "CREATE VIEW shop.view AS SELECT id FROM shop.orders",
    "GRANT USAGE ON SCHEMA shop TO app",
    "GRANT SELECT, INSERT ON TABLE shop.orders TO app WITH GRANT OPTION",
    "GRANT SELECT ON TABLE shop.view TO app",
    "GRANT SELECT (seen) ON TABLE shop.part TO app",
    "GRANT USAGE ON SCHEMA shop TO GROUP readers",
    "GRANT SELECT ON TABLE shop.for_group TO GROUP readers",
    "GRANT SELECT ON TABLE shop.for_role TO ROLE auditors",
    "ALTER DEFAULT PRIVILEGES FOR USER admin IN SCHEMA shop GRANT SELECT ON TABLES TO app",
];

const MAY: [&str; 6] = [
    "INSERT INTO shop.orders VALUES (1, 'x')",
    "SELECT id FROM shop.orders",
    "SELECT id FROM shop.view",
    "SELECT seen FROM shop.part",
    "SELECT n FROM shop.for_group",
    "SELECT n FROM shop.for_role",
];

pub async fn furnish(house: &House) {
    house
        .dba(HOME, &["CREATE GROUP readers", "CREATE ROLE auditors"])
        .await;
    for database in [HOME, OTHER] {
        house.dba(database, &MADE).await;
    }
    house
        .dba(
            HOME,
            &[
                "ALTER GROUP readers ADD USER app",
                "GRANT ROLE auditors TO app WITH ADMIN OPTION",
                "ALTER USER app CONNECTION LIMIT 20",
                "ALTER USER app SET search_path TO shop, public",
            ],
        )
        .await;
}

/// Signs in as the user of the label and tries all that the application does.
pub async fn may_work(house: &House, label: &str) {
    for database in [HOME, OTHER] {
        let done = house.as_user(label, database, &MAY).await;
        assert_eq!(done, Ok(()), "{label} in {database}");
        let unseen = "SELECT unseen FROM shop.part";
        let refused = house.as_user(label, database, &[unseen]).await;
        assert!(refused.is_err(), "{label} may not {unseen}");
    }
}

/// Whether that goes well.
pub async fn works(house: &House, label: &str) -> bool {
    for database in [HOME, OTHER] {
        if house.as_user(label, database, &MAY).await.is_err() {
            return false;
        }
    }
    true
}

async fn rotates_three_times(house: &House) {
    furnish(house).await;
    for user in ["app_clone", "app", "app_clone"] {
        house.good(&["rotate", "house"]).await;
        assert_eq!(house.current_user().await, user);
        may_work(house, stage::CURRENT).await;
        may_work(house, stage::PREVIOUS).await;
        assert_eq!(house.probe_secrets().await, [""; 0]);
    }
    let plan = house.good(&["plan", "house"]).await;
    assert!(plan.contains("ALTER USER \"app\" PASSWORD '***'"), "{plan}");
    assert_eq!(
        plan.matches("ALTER").count(),
        1,
        "nothing else to do: {plan}"
    );
}

fn with_master() -> String {
    format!("master_secret = \"{MASTER_SECRET}\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clusters_pair_rotates_three_times_and_keeps_every_privilege() {
    rotates_three_times(&House::open(On::Cluster, "", &with_master()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workgroups_pair_rotates_three_times_and_keeps_every_privilege() {
    rotates_three_times(&House::open(On::Workgroup, "", &with_master()).await).await;
}
