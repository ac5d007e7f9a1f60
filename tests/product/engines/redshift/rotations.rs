//! Consecutive rotations on a cluster and on a workgroup.

use twinkey_stores::stage;

use super::fixture::{Deployment, MASTER_SECRET, OTHER, RedshiftFixture};
use twinkey_testkit::aws::redshift::HOME;

/// Statements that create privileges of every kind in both databases.
const SETUP: [&str; 14] = [
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

/// Statements of the application.
const WORKLOAD: [&str; 6] = [
    "INSERT INTO shop.orders VALUES (1, 'x')",
    "SELECT id FROM shop.orders",
    "SELECT id FROM shop.view",
    "SELECT seen FROM shop.part",
    "SELECT n FROM shop.for_group",
    "SELECT n FROM shop.for_role",
];

pub async fn furnish(fixture: &RedshiftFixture) {
    fixture
        .dba(HOME, &["CREATE GROUP readers", "CREATE ROLE auditors"])
        .await;
    for database in [HOME, OTHER] {
        fixture.dba(database, &SETUP).await;
    }
    fixture
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

/// Asserts that the user of the label can run the workload.
pub async fn may_work(fixture: &RedshiftFixture, label: &str) {
    for database in [HOME, OTHER] {
        let done = fixture.as_user(label, database, &WORKLOAD).await;
        assert_eq!(done, Ok(()), "{label} in {database}");
        let unseen = "SELECT unseen FROM shop.part";
        let refused = fixture.as_user(label, database, &[unseen]).await;
        assert!(refused.is_err(), "{label} may not {unseen}");
    }
}

/// Whether the user of the label can run the workload.
pub async fn works(fixture: &RedshiftFixture, label: &str) -> bool {
    for database in [HOME, OTHER] {
        if fixture.as_user(label, database, &WORKLOAD).await.is_err() {
            return false;
        }
    }
    true
}

async fn rotates_three_times(fixture: &RedshiftFixture) {
    furnish(fixture).await;
    for user in ["app_clone", "app", "app_clone"] {
        fixture.good(&["rotate", "house"]).await;
        assert_eq!(fixture.current_user().await, user);
        may_work(fixture, stage::CURRENT).await;
        may_work(fixture, stage::PREVIOUS).await;
        assert_eq!(fixture.probe_secrets().await, [""; 0]);
    }
    let plan = fixture.good(&["plan", "house"]).await;
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
async fn three_rotations_on_a_cluster_keep_every_privilege() {
    rotates_three_times(&RedshiftFixture::open(Deployment::Cluster, "", &with_master()).await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_on_a_workgroup_keep_every_privilege() {
    rotates_three_times(&RedshiftFixture::open(Deployment::Workgroup, "", &with_master()).await)
        .await;
}
