//! External changes between two runs, which the next run reverts or copies.

use twinkey_stores::stage;

use super::fixture::{Deployment, MASTER_SECRET, OTHER, RedshiftFixture};
use super::rotations::{furnish, may_work};
use twinkey_testkit::aws::redshift::HOME;

async fn furnished_fixture() -> RedshiftFixture {
    let master = format!("master_secret = \"{MASTER_SECRET}\"");
    let fixture = RedshiftFixture::open(Deployment::Cluster, "", &master).await;
    furnish(&fixture).await;
    fixture.good(&["rotate", "house"]).await;
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_prints_exactly_the_submitted_statements() {
    let fixture = furnished_fixture().await;
    for database in [HOME, OTHER] {
        let drifted = [
            "CREATE TABLE shop.late (n int)",
            "GRANT SELECT, DELETE ON TABLE shop.late TO app_clone",
            "REVOKE INSERT ON TABLE shop.orders FROM app_clone",
            "GRANT UPDATE ON TABLE shop.orders TO app",
        ];
        fixture.dba(database, &drifted).await;
    }
    fixture
        .dba(
            HOME,
            &[
                "ALTER GROUP readers DROP USER app_clone",
                "ALTER USER app CREATEDB",
                "ALTER USER app_clone SESSION TIMEOUT 600",
            ],
        )
        .await;
    let plan = fixture.good(&["plan", "house", "--json"]).await;
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let planned: Vec<(String, String)> = plan["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            let database = change["database"].as_str().unwrap_or(HOME);
            let statement = change["statement"].as_str().unwrap();
            (database.to_owned(), statement.to_owned())
        })
        .collect();
    assert!(planned.len() >= 8, "{planned:#?}");
    let before = fixture.redshift().history().len();
    fixture.good(&["rotate", "house"]).await;
    let submitted: Vec<(String, String)> = fixture.redshift().history()[before..]
        .iter()
        .filter(|seen| {
            let reads = ["SELECT", "SHOW", "SET"]
                .iter()
                .any(|verb| seen.sql.starts_with(verb));
            !reads && !seen.sql.contains("twinkey.locks")
        })
        .map(|seen| (seen.database.clone(), masked(&seen.sql)))
        .collect();
    assert_eq!(submitted, planned);
    fixture
        .as_user(stage::CURRENT, OTHER, &["DELETE FROM shop.late"])
        .await
        .unwrap();
    let insert = "INSERT INTO shop.orders VALUES (1, 'x')";
    for label in [stage::CURRENT, stage::PREVIOUS] {
        assert!(
            fixture.as_user(label, HOME, &[insert]).await.is_err(),
            "{label}"
        );
    }
}

/// The statement with `***` in place of the digest.
fn masked(sql: &str) -> String {
    match sql.split_once(" PASSWORD '") {
        Some((before, _)) => format!("{before} PASSWORD '***'"),
        None => sql.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_the_clone_change_owner_and_stay_usable() {
    let fixture = furnished_fixture().await;
    fixture
        .dba(HOME, &["GRANT CREATE ON SCHEMA shop TO app_clone"])
        .await;
    let create = [
        "CREATE TABLE shop.by_clone (n int)",
        "INSERT INTO shop.by_clone VALUES (1)",
    ];
    fixture
        .as_user(stage::CURRENT, HOME, &create)
        .await
        .unwrap();
    let select = [
        "SELECT n FROM shop.by_clone",
        "UPDATE shop.by_clone SET n = 2",
    ];
    fixture
        .as_user(stage::PREVIOUS, HOME, &select)
        .await
        .expect("the base user can use new objects of the clone");
    let alter = ["ALTER TABLE shop.by_clone ADD COLUMN m int"];
    fixture
        .as_user(stage::CURRENT, HOME, &alter)
        .await
        .expect("it is the clone's");
    fixture.good(&["rotate", "house"]).await;
    fixture.good(&["rotate", "house"]).await;
    assert_eq!(fixture.current_user().await, "app_clone");
    for label in [stage::CURRENT, stage::PREVIOUS] {
        fixture.as_user(label, HOME, &select).await.unwrap();
        may_work(&fixture, label).await;
    }
    let drop = ["ALTER TABLE shop.by_clone ADD COLUMN o int"];
    fixture
        .as_user(stage::PREVIOUS, HOME, &drop)
        .await
        .expect("the base user owns it");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_reports_differences_and_changes_nothing() {
    let fixture = furnished_fixture().await;
    let more = format!("master_secret = \"{MASTER_SECRET}\"\ngrants = \"verify\"");
    fixture.configure("", &more);
    fixture
        .dba(HOME, &["GRANT DELETE ON TABLE shop.orders TO app"])
        .await;
    let output = fixture.twinkey(&["rotate", "house"]).await;
    let said = super::fixture::text(&output.stderr);
    assert!(said.contains("error[privileges_differ]"), "{said}");
    assert!(said.contains("REVOKE DELETE ON TABLE"), "{said}");
}
