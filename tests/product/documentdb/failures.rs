//! Every way in which this server can be in no state to rotate: its own code, a hint, nothing changed.

use mongodb::bson::doc;
use serde_json::json;
use twinkey_stores::stage;

use super::the_pair_is_equal;
use crate::failures::{is_refused, with};
use twinkey_testkit::mongo::witness::UNREADABLE;
use twinkey_testkit::shop::documentdb::{MongoShop, role};
use twinkey_testkit::shop::{MASTER_SECRET, Plan, SECRET};

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_not_the_servers_has_its_own_code_for_each_user() {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    let (current, _) = shop.read(stage::CURRENT).await;
    let master = shop.document("rdsmaster", "Wrong-0123456789");
    shop.put(MASTER_SECRET, &master).await;
    is_refused(&shop, "master_signin_failed").await;
    let wrong = with(current, "password", json!("Wrong-0123456789"));
    shop.put(SECRET, &wrong).await;
    is_refused(&shop, "current_signin_failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_lacks_a_role_is_told_the_command_that_mends_it() {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    shop.good(&["rotate", "shop"]).await;
    for (lost, mended) in [
        (role("userAdminAnyDatabase", "admin"), "userAdmin"),
        (role("readWrite", "twinkey"), "readWrite"),
    ] {
        shop.take("rdsmaster", &[lost]).await;
        let said = is_refused(&shop, "privileges_missing").await;
        let fix = format!(
            r#"db.getSiblingDB("admin").runCommand({{"grantRolesToUser":"rdsmaster","roles":[{{"role":"{mended}","db":""#
        );
        assert!(said.contains(&fix), "{said}");
        let database = if mended == "readWrite" {
            "twinkey"
        } else {
            "admin"
        };
        shop.give("rdsmaster", &[role(mended, database)]).await;
        shop.good(&["rotate", "shop"]).await;
        the_pair_is_equal(&shop).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_unreachable() {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    let (current, _) = shop.read(stage::CURRENT).await;
    for name in [SECRET, MASTER_SECRET] {
        let nowhere = with(current.clone(), "port", json!(1));
        shop.put(name, &nowhere).await;
    }
    is_refused(&shop, "db_unreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_on_the_standby_stop_a_manual_run_and_are_named() {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    shop.good(&["rotate", "shop"]).await;
    let lingering = shop.signed_in(stage::PREVIOUS).await;
    let said = shop.refuses(&["rotate", "shop"], "standby_in_use").await;
    assert!(said.contains("app"), "{said}");
    shop.good(&["rotate", "shop", "--force"]).await;
    drop(lingering);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_list_sessions_stops_nobody() {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    shop.good(&["rotate", "shop"]).await;
    let witness = &shop.server.witness;
    witness.refuse("currentOp", 59, "CommandNotFound", "no such command");
    let _lingering = shop.signed_in(stage::PREVIOUS).await;
    shop.good(&["rotate", "shop"]).await;
    the_pair_is_equal(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_server_does_not_know_is_explained_and_changes_nothing_that_is_in_use() {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    let (before, _) = shop.read(stage::CURRENT).await;
    let witness = &shop.server.witness;
    witness.refuse("createUser", 59, "CommandNotFound", "no such command");
    let said = shop.fails(&["rotate", "shop"], 1, "db_refused").await;
    assert!(said.contains("no such command"), "{said}");
    assert_eq!(shop.read(stage::CURRENT).await.0, before);
    shop.signed_in(stage::CURRENT).await;
    witness.let_through();
    shop.good(&["rotate", "shop"]).await;
    the_pair_is_equal(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_and_a_superuser_are_not_rotated_as_the_applications_user() {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    let master = shop.document("rdsmaster", "Master-0123456789-abcdef-XYZ");
    shop.put(SECRET, &master).await;
    let said = is_refused(&shop, "db_refused").await;
    assert!(said.contains("is the master itself"), "{said}");

    let make = doc! {
        "createUser": "mighty", "pwd": "Mighty-0123456789", "roles": [role("root", "admin")],
    };
    shop.run("admin", make).await;
    let mighty = shop.document("mighty", "Mighty-0123456789");
    shop.put(SECRET, &mighty).await;
    let said = is_refused(&shop, "db_refused").await;
    assert!(said.contains("root on admin"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_by_default_and_hears_no_command() {
    let shop = MongoShop::on_mongo(Plan {
        rotation: "tls = { mode = \"verify-full\" }".into(),
        ..Plan::default()
    })
    .await;
    let before = shop.state().await;
    let output = shop.twinkey(&["rotate", "shop"]).await;
    // It hangs up on what it cannot read: a reset, or an end.
    let said = String::from_utf8(output.stderr).unwrap();
    let is_told = ["tls_failed", "db_unreachable"].map(|code| said.contains(code));
    assert!(is_told.contains(&true), "{said}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(shop.state().await, before);
    let log = shop.log();
    let mut lines = log.lines();
    assert!(lines.all(|line| line == UNREADABLE), "{log}");
}
