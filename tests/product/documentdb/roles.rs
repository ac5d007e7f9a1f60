//! What the active user may, its twin may after the next run; and no command more than that takes.

use mongodb::bson::doc;
use serde_json::Value as Json;

use super::{active, the_pair_is_equal};
use twinkey_testkit::shop::Plan;
use twinkey_testkit::shop::documentdb::{MongoShop, role};

async fn planned(shop: &MongoShop) -> Vec<String> {
    let plan: Json = serde_json::from_str(&shop.good(&["plan", "shop", "--json"]).await).unwrap();
    let changes = plan["changes"].as_array().unwrap();
    changes
        .iter()
        .map(|change| {
            assert!(!change["why"].as_str().unwrap().is_empty(), "{change}");
            assert_eq!(change["database"], "admin", "{change}");
            change["statement"].as_str().unwrap().to_owned()
        })
        .collect()
}

async fn make_role(shop: &MongoShop, name: &str) {
    let reading = doc! {
        "resource": { "db": name, "collection": "" }, "actions": ["find"],
    };
    let create = doc! { "createRole": name, "privileges": [reading], "roles": [] };
    shop.run("admin", create).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_given_to_or_taken_from_the_active_user_is_equal_on_the_pair_after_the_next_run()
 {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    make_role(&shop, "custom").await;
    shop.good(&["rotate", "shop"]).await;
    for (name, database) in [
        ("read", "other"),
        ("custom", "admin"),
        ("dbAdmin", "shop"),
        ("clusterMonitor", "admin"),
    ] {
        for is_given in [true, false] {
            let user = active(&shop).await;
            let before = shop.told(&user).await;
            if is_given {
                shop.give(&user, &[role(name, database)]).await;
            } else {
                shop.take(&user, &[role(name, database)]).await;
            }
            let wanted = shop.told(&user).await;
            assert_ne!(wanted, before, "{name} changes something");
            shop.good(&["rotate", "shop"]).await;
            the_pair_is_equal(&shop).await;
            assert_eq!(shop.told("app").await, wanted, "{name}: {is_given}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_given_by_hand_to_the_standby_is_shown_and_taken_away() {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    shop.good(&["rotate", "shop"]).await;
    let wanted = shop.told("app_clone").await;
    shop.give("app", &[role("read", "other")]).await;
    let revoke = r#"{"revokeRolesFromUser":"app","roles":[{"role":"read","db":"other"}]"#;
    let planned = planned(&shop).await;
    let is_planned = planned.iter().any(|change| change.starts_with(revoke));
    assert!(is_planned, "{planned:#?}");
    let said = shop.good(&["check"]).await;
    assert!(said.contains(revoke), "{said}");
    shop.good(&["rotate", "shop"]).await;
    the_pair_is_equal(&shop).await;
    assert_eq!(shop.told("app").await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_verify_fails_on_a_role_given_by_hand_lists_it_and_changes_nothing() {
    let shop = MongoShop::on_mongo(Plan {
        rotation: "grants = \"verify\"".into(),
        ..Plan::default()
    })
    .await;
    shop.good(&["rotate", "shop"]).await;
    shop.good(&["rotate", "shop"]).await;
    shop.give("app_clone", &[role("read", "other")]).await;
    let from = shop.log_end();
    let said = shop.refuses(&["rotate", "shop"], "privileges_differ").await;
    assert!(said.contains("revokeRolesFromUser"), "{said}");
    assert_eq!(shop.changes_since(from), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_prints_exactly_the_commands_that_rotate_then_runs() {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    make_role(&shop, "custom").await;
    for round in 0..3 {
        if round == 2 {
            // Something to take away and something to add.
            shop.give("app_clone", &[role("read", "other")]).await;
            shop.give("app", &[role("custom", "admin")]).await;
        }
        let before = shop.state().await;
        let planned = planned(&shop).await;
        assert_eq!(shop.state().await, before, "plan changes nothing");
        let last = planned.last().unwrap();
        assert!(last.starts_with(r#"{"updateUser":"app"#), "{last}");
        assert!(last.contains(r#""pwd":"***""#), "{last}");
        let from = shop.log_end();
        shop.good(&["rotate", "shop"]).await;
        let ran = shop.changes_since(from);
        assert_eq!(ran, planned, "round {round}");
        // Made whole, with a password; the password alone; and what differs.
        let few = [2, 1, 3];
        assert_eq!(ran.len(), few[round], "round {round}: {ran:#?}");
    }
    the_pair_is_equal(&shop).await;
}
