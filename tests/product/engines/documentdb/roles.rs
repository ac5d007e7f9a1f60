//! Copies of the active user's roles, with no more commands than needed.

use mongodb::bson::doc;
use serde_json::Value as Json;

use super::{active, assert_pair_is_equal};
use twinkey_testkit::environment::Setup;
use twinkey_testkit::environment::documentdb::{MongoEnvironment, role};

async fn planned(env: &MongoEnvironment) -> Vec<String> {
    let plan: Json = serde_json::from_str(&env.run_ok(&["plan", "shop", "--json"]).await).unwrap();
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

async fn make_role(env: &MongoEnvironment, name: &str) {
    let reading = doc! {
        "resource": { "db": name, "collection": "" }, "actions": ["find"],
    };
    let create = doc! { "createRole": name, "privileges": [reading], "roles": [] };
    env.run("admin", create).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_roles_of_the_active_user_are_copied() {
    let env = MongoEnvironment::on_mongo(Setup::default()).await;
    make_role(&env, "custom").await;
    env.run_ok(&["rotate", "shop"]).await;
    for (name, database) in [
        ("read", "other"),
        ("custom", "admin"),
        ("dbAdmin", "shop"),
        ("clusterMonitor", "admin"),
    ] {
        for is_given in [true, false] {
            let user = active(&env).await;
            let before = env.reported(&user).await;
            if is_given {
                env.give(&user, &[role(name, database)]).await;
            } else {
                env.take(&user, &[role(name, database)]).await;
            }
            let expected = env.reported(&user).await;
            assert_ne!(expected, before, "{name} changes something");
            env.run_ok(&["rotate", "shop"]).await;
            assert_pair_is_equal(&env).await;
            assert_eq!(env.reported("app").await, expected, "{name}: {is_given}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_surplus_role_of_the_standby_is_shown_and_revoked() {
    let env = MongoEnvironment::on_mongo(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let expected = env.reported("app_clone").await;
    env.give("app", &[role("read", "other")]).await;
    let revoke = r#"{"revokeRolesFromUser":"app","roles":[{"role":"read","db":"other"}]"#;
    let planned = planned(&env).await;
    let is_planned = planned.iter().any(|change| change.starts_with(revoke));
    assert!(is_planned, "{planned:#?}");
    let output = env.run_ok(&["check"]).await;
    assert!(output.contains(revoke), "{output}");
    env.run_ok(&["rotate", "shop"]).await;
    assert_pair_is_equal(&env).await;
    assert_eq!(env.reported("app").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_verify_reports_a_surplus_role() {
    let env = MongoEnvironment::on_mongo(Setup {
        rotation: "grants = \"verify\"".into(),
        ..Setup::default()
    })
    .await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.give("app_clone", &[role("read", "other")]).await;
    let from = env.log_end();
    let output = env.refuses(&["rotate", "shop"], "privileges_differ").await;
    assert!(output.contains("revokeRolesFromUser"), "{output}");
    assert_eq!(env.changes_since(from), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_prints_exactly_the_commands_of_the_next_run() {
    let env = MongoEnvironment::on_mongo(Setup::default()).await;
    make_role(&env, "custom").await;
    for round in 0..3 {
        if round == 2 {
            // One role to revoke and one to grant.
            env.give("app_clone", &[role("read", "other")]).await;
            env.give("app", &[role("custom", "admin")]).await;
        }
        let before = env.state().await;
        let planned = planned(&env).await;
        assert_eq!(env.state().await, before, "plan changes nothing");
        let last = planned.last().unwrap();
        assert!(last.starts_with(r#"{"updateUser":"app"#), "{last}");
        assert!(last.contains(r#""pwd":"***""#), "{last}");
        let from = env.log_end();
        env.run_ok(&["rotate", "shop"]).await;
        let ran = env.changes_since(from);
        assert_eq!(ran, planned, "round {round}");
        // Creation and password; password only; differences and password.
        let counts = [2, 1, 3];
        assert_eq!(ran.len(), counts[round], "round {round}: {ran:#?}");
    }
    assert_pair_is_equal(&env).await;
}
