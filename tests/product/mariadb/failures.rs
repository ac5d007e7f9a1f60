//! Every way in which MariaDB can be in no state to rotate: its own code, a hint, and nothing changed.

use serde_json::json;
use twinkey_stores::stage;

use crate::failures::{is_refused, with};
use twinkey_testkit::shop::mariadb::MariadbShop;
use twinkey_testkit::shop::{MASTER_SECRET, Plan, SECRET};

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_not_the_servers_has_its_own_code_for_each_user() {
    let shop = MariadbShop::on_mariadb(Plan::default()).await;
    let (current, _) = shop.read(stage::CURRENT).await;
    let (master, _) = (shop.document("rdsmaster", "Wrong-0123456789"), ());
    shop.put(MASTER_SECRET, &master).await;
    is_refused(&shop, "master_signin_failed").await;
    let wrong = with(current, "password", json!("Wrong-0123456789"));
    shop.put(SECRET, &wrong).await;
    is_refused(&shop, "current_signin_failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_lacks_a_privilege_is_told_the_statement_that_mends_it() {
    let shop = MariadbShop::on_mariadb(Plan::default()).await;
    for (take, fix) in [
        (
            "REVOKE CREATE USER ON *.* FROM rdsmaster@'%'",
            "GRANT CREATE USER ON *.* TO `rdsmaster`@`%`",
        ),
        (
            "REVOKE SELECT ON mysql.* FROM rdsmaster@'%'",
            "GRANT SELECT ON `mysql`.* TO `rdsmaster`@`%`",
        ),
        (
            "GRANT DELETE ON mysql.help_topic TO app@'%'",
            "GRANT DELETE ON `mysql`.`help_topic` TO `rdsmaster`@`%` WITH GRANT OPTION",
        ),
    ] {
        shop.sql(&[take]).await;
        let said = is_refused(&shop, "privileges_missing").await;
        assert!(said.contains(fix), "{take}: {said}");
        shop.sql(&[fix]).await;
        shop.good(&["rotate", "shop"]).await;
        // The grants for the next round go to `app`.
        shop.good(&["rotate", "shop"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_unreachable() {
    let shop = MariadbShop::on_mariadb(Plan::default()).await;
    let (current, _) = shop.read(stage::CURRENT).await;
    shop.put(SECRET, &with(current.clone(), "port", json!(1)))
        .await;
    shop.put(MASTER_SECRET, &with(current, "port", json!(1)))
        .await;
    is_refused(&shop, "db_unreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_on_the_standby_stop_a_manual_run_and_are_named() {
    let shop = MariadbShop::on_mariadb(Plan::default()).await;
    shop.good(&["rotate", "shop"]).await;
    let lingering = shop.signed_in(stage::PREVIOUS).await;
    let said = shop.refuses(&["rotate", "shop"], "standby_in_use").await;
    assert!(said.contains("app"), "{said}");
    shop.good(&["rotate", "shop", "--force"]).await;
    drop(lingering);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_and_a_superuser_are_not_rotated_as_the_applications_user() {
    let shop = MariadbShop::on_mariadb(Plan::default()).await;
    let master = shop.document("rdsmaster", "Master-0123456789-abcdef-XYZ");
    shop.put(SECRET, &master).await;
    let said = is_refused(&shop, "db_refused").await;
    assert!(said.contains("is the master itself"), "{said}");

    let mighty = shop.document("mighty", "Mighty-0123456789");
    shop.sql(&[
        "CREATE USER mighty@'%' IDENTIFIED BY 'Mighty-0123456789'",
        "GRANT ALL PRIVILEGES ON *.* TO mighty@'%'",
    ])
    .await;
    shop.put(SECRET, &mighty).await;
    let said = is_refused(&shop, "db_refused").await;
    assert!(said.contains("ALL PRIVILEGES on everything"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_by_default() {
    let shop = MariadbShop::on_mariadb(Plan {
        rotation: "tls = { mode = \"verify-full\" }".into(),
        ..Plan::default()
    })
    .await;
    is_refused(&shop, "tls_failed").await;
}
