//! Three consecutive rotations, on every PostgreSQL and every store.

use serde_json::Value as Json;
use twinkey_stores::stage;
use twinkey_testkit::postgres::LocalPostgres;

use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::{Backend, Environment, SECRET, Setup, quoted, run, value};
use twinkey_testkit::moto::Moto;

/// Checks after a rotation that both users sign in with the same privileges, and that other fields
/// of the secret are unchanged.
async fn both_users_are_equal(env: &Environment, round: usize, before: &Json) {
    let mut current = env.signed_in(stage::CURRENT).await;
    let mut previous = env.signed_in(stage::PREVIOUS).await;

    let made = format!("work.made_{round}");
    run(&mut current, &format!("CREATE TABLE {made} (id int)")).await;
    run(
        &mut previous,
        &format!("ALTER TABLE {made} ADD COLUMN by_previous int"),
    )
    .await;
    run(
        &mut current,
        &format!("ALTER TABLE {made} ADD COLUMN by_current int"),
    )
    .await;
    run(&mut previous, &format!("CREATE TABLE {made}_back (id int)")).await;
    run(
        &mut current,
        &format!("ALTER TABLE {made}_back ADD COLUMN by_current int"),
    )
    .await;

    for setting in ["search_path", "statement_timeout", "work_mem"] {
        let sql = format!("SELECT current_setting('{setting}')");
        let (a, b): (String, String) = (
            value(&mut current, &sql).await,
            value(&mut previous, &sql).await,
        );
        assert_eq!(a, b, "{setting}");
        assert_ne!(a, "\"$user\", public", "{setting} was set for the role");
    }
    let mut root = env.root("shop").await;
    let limits: Vec<(i32, bool, bool)> = sqlx::query_as(
        "SELECT rolconnlimit, rolcreatedb, rolcanlogin FROM pg_roles WHERE rolname = $1 OR rolname = $1 || '_clone'",
    )
    .bind(&env.user)
    .fetch_all(&mut root)
    .await
    .unwrap();
    assert_eq!(limits, [(7, true, true), (7, true, true)]);

    let (after, _) = env.read(stage::CURRENT).await;
    let strip = |document: &Json| {
        let mut fields = document.as_object().unwrap().clone();
        fields.remove("username");
        fields.remove("password");
        serde_json::to_string(&fields).unwrap()
    };
    assert_eq!(
        strip(&after),
        strip(before),
        "the other fields, their order and their form"
    );
    assert_ne!(after["username"], before["username"]);
    assert_ne!(after["password"], before["password"]);
}

async fn may_read(env: &Environment, label: &str, table: &str) -> bool {
    let mut who = env.signed_in(label).await;
    value(
        &mut who,
        &format!("SELECT has_table_privilege('{table}', 'SELECT')"),
    )
    .await
}

async fn three_rotations(env: Environment) {
    let user = quoted(&env.user);
    let mut root = env.root("shop").await;
    run(
        &mut root,
        &format!("ALTER ROLE {user} CONNECTION LIMIT 7 CREATEDB"),
    )
    .await;
    run(
        &mut root,
        &format!("ALTER ROLE {user} SET search_path = work, \"Odd, name\""),
    )
    .await;
    run(
        &mut root,
        &format!("ALTER ROLE {user} IN DATABASE shop SET statement_timeout = '77s'"),
    )
    .await;
    run(
        &mut root,
        &format!("ALTER ROLE {user} SET work_mem = '5MB'"),
    )
    .await;
    run(&mut root, "CREATE TABLE public.ledger (id int)").await;

    for round in 1..=3 {
        let (before, replaced) = env.read(stage::CURRENT).await;
        match round {
            2 => {
                run(
                    &mut root,
                    &format!("GRANT SELECT ON public.ledger TO {user}"),
                )
                .await
            }
            3 => {
                run(
                    &mut root,
                    &format!("REVOKE SELECT ON public.ledger FROM {user}"),
                )
                .await
            }
            _ => {}
        }
        let message = env.run_ok(&["rotate", "shop", "--reason", "a test"]).await;
        for step in ["create", "set", "test", "finish"] {
            assert!(message.contains(step), "{message}");
        }
        let (_, previous) = env.read(stage::PREVIOUS).await;
        assert_eq!(previous, replaced);
        both_users_are_equal(&env, round, &before).await;
        for label in [stage::CURRENT, stage::PREVIOUS] {
            assert_eq!(
                may_read(&env, label, "public.ledger").await,
                round == 2,
                "{label}, round {round}"
            );
        }
    }
    let history: Json = serde_json::from_str(&env.run_ok(&["history", "--json"]).await).unwrap();
    assert_eq!(history.as_array().unwrap().len(), 3);
    assert!(
        history
            .as_array()
            .unwrap()
            .iter()
            .all(|r| r["state"] == "succeeded" && r["reason"] == "a test")
    );
}

/// The installed versions. `make test` installs all four.
fn versions() -> Vec<u32> {
    let versions: Vec<u32> = LocalPostgres::installed()
        .into_iter()
        .map(|(v, _)| v)
        .collect();
    assert!(
        !versions.is_empty(),
        "no PostgreSQL is installed: run scripts/setup"
    );
    println!("on PostgreSQL {versions:?}");
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_keep_the_pair_equal_on_every_postgresql() {
    for version in versions() {
        let plan = Setup {
            version: Some(version),
            ..Setup::default()
        };
        three_rotations(Environment::open(plan).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_keep_the_pair_equal_on_moto() {
    three_rotations(
        Environment::open_with(Setup::default(), Backend::Moto(Moto::start().await)).await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_keep_the_pair_equal_on_the_embedded_store() {
    three_rotations(Environment::open_with(Setup::default(), Backend::Local).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_writes_to_the_store_twice() {
    let env =
        Environment::open_with(Setup::default(), Backend::StandIn(StandIn::start().await)).await;
    env.run_ok(&["rotate", "shop"]).await;
    let calls = env.stand_in().faults().calls();
    let on_secret: Vec<&str> = calls
        .iter()
        .filter(|c| c.secret == SECRET)
        .map(|c| c.action.as_str())
        .collect();
    assert_eq!(
        on_secret,
        [
            "GetSecretValue",
            "DescribeSecret",
            "PutSecretValue",
            "DescribeSecret",
            "UpdateSecretVersionStage"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_user_names_are_only_names() {
    for user in [
        "a\"b'; DROP ROLE x; --",
        "Upper Case",
        "ünïcødé",
        "semi;colon",
        "dollar$1",
        "back\\slash",
    ] {
        let env = Environment::open(Setup {
            user,
            ..Setup::default()
        })
        .await;
        for _ in 0..2 {
            env.run_ok(&["rotate", "shop"]).await;
            env.signed_in(stage::CURRENT).await;
            env.signed_in(stage::PREVIOUS).await;
        }
        assert_eq!(env.read(stage::CURRENT).await.0["username"], user);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_name_of_63_bytes_is_refused_unless_its_clone_fits() {
    let long = "x".repeat(63).leak();
    let env = Environment::open(Setup {
        user: long,
        ..Setup::default()
    })
    .await;
    let message = env.refuses(&["rotate", "shop"], "username_too_long").await;
    assert!(message.contains("63"), "{message}");

    let fits = "y".repeat(63 - "_clone".len()).leak();
    let env = Environment::open(Setup {
        user: fits,
        ..Setup::default()
    })
    .await;
    env.run_ok(&["rotate", "shop"]).await;
    env.signed_in(stage::CURRENT).await;
}
