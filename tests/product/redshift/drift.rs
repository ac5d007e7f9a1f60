//! What somebody does between two runs: the next one makes the pair equal, both ways, in both databases.

use twinkey_stores::stage;

use super::house::{House, MASTER_SECRET, OTHER, On};
use super::rotations::{furnish, may_work};
use twinkey_testkit::aws::redshift::HOME;

async fn a_house() -> House {
    let master = format!("master_secret = \"{MASTER_SECRET}\"");
    let house = House::open(On::Cluster, "", &master).await;
    furnish(&house).await;
    house.good(&["rotate", "house"]).await;
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn what_plan_prints_is_what_is_submitted_word_for_word() {
    let house = a_house().await;
    for database in [HOME, OTHER] {
        let drifted = [
            "CREATE TABLE shop.late (n int)",
            "GRANT SELECT, DELETE ON TABLE shop.late TO app_clone",
            "REVOKE INSERT ON TABLE shop.orders FROM app_clone",
            "GRANT UPDATE ON TABLE shop.orders TO app",
        ];
        house.dba(database, &drifted).await;
    }
    house
        .dba(
            HOME,
            &[
                "ALTER GROUP readers DROP USER app_clone",
                "ALTER USER app CREATEDB",
                "ALTER USER app_clone SESSION TIMEOUT 600",
            ],
        )
        .await;
    let plan = house.good(&["plan", "house", "--json"]).await;
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
    let before = house.redshift().history().len();
    house.good(&["rotate", "house"]).await;
    let submitted: Vec<(String, String)> = house.redshift().history()[before..]
        .iter()
        .filter(|seen| !seen.sql.contains("twinkey.locks") && !seen.sql.starts_with("SELECT"))
        .map(|seen| (seen.database.clone(), masked(&seen.sql)))
        .collect();
    assert_eq!(submitted, planned);
    house
        .as_user(stage::CURRENT, OTHER, &["DELETE FROM shop.late"])
        .await
        .unwrap();
    let insert = "INSERT INTO shop.orders VALUES (1, 'x')";
    for label in [stage::CURRENT, stage::PREVIOUS] {
        assert!(
            house.as_user(label, HOME, &[insert]).await.is_err(),
            "{label}"
        );
    }
}

/// With `***` for the digest.
fn masked(sql: &str) -> String {
    match sql.split_once(" PASSWORD '") {
        Some((before, _)) => format!("{before} PASSWORD '***'"),
        None => sql.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_clone_came_to_own_is_handed_to_the_base_user_and_both_go_on_using_it() {
    let house = a_house().await;
    house
        .dba(HOME, &["GRANT CREATE ON SCHEMA shop TO app_clone"])
        .await;
    let create = [
        "CREATE TABLE shop.by_clone (n int)",
        "INSERT INTO shop.by_clone VALUES (1)",
    ];
    house.as_user(stage::CURRENT, HOME, &create).await.unwrap();
    let select = [
        "SELECT n FROM shop.by_clone",
        "UPDATE shop.by_clone SET n = 2",
    ];
    house
        .as_user(stage::PREVIOUS, HOME, &select)
        .await
        .expect("the base user can use at once what the clone has created");
    let alter = ["ALTER TABLE shop.by_clone ADD COLUMN m int"];
    house
        .as_user(stage::CURRENT, HOME, &alter)
        .await
        .expect("it is the clone's");
    house.good(&["rotate", "house"]).await;
    house.good(&["rotate", "house"]).await;
    assert_eq!(house.current_user().await, "app_clone");
    for label in [stage::CURRENT, stage::PREVIOUS] {
        house.as_user(label, HOME, &select).await.unwrap();
        may_work(&house, label).await;
    }
    let drop = ["ALTER TABLE shop.by_clone ADD COLUMN o int"];
    house
        .as_user(stage::PREVIOUS, HOME, &drop)
        .await
        .expect("the base user owns it");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_changes_nothing_and_says_what_differs() {
    let house = a_house().await;
    let more = format!("master_secret = \"{MASTER_SECRET}\"\ngrants = \"verify\"");
    house.configure("", &more);
    house
        .dba(HOME, &["GRANT DELETE ON TABLE shop.orders TO app"])
        .await;
    let output = house.twinkey(&["rotate", "house"]).await;
    let said = super::house::text(&output.stderr);
    assert!(said.contains("error[privileges_differ]"), "{said}");
    assert!(said.contains("REVOKE DELETE ON TABLE"), "{said}");
}
