//! PostgreSQL pairs that another tool or an administrator configured.

use sqlx::postgres::PgConnection;
use twinkey_stores::stage;
use twinkey_testkit::environment::{Environment, SECRET, Setup, run, value};

/// As AWS's function leaves a pair: the clone is active, and a plain member of the base user.
async fn clone_is_active() -> (Environment, PgConnection) {
    let env = Environment::open(Setup::default()).await;
    let mut root = env.root("shop").await;
    run(
        &mut root,
        "CREATE ROLE app_clone LOGIN PASSWORD 'of-the-other-tool'; GRANT app TO app_clone; \
         GRANT app_clone TO rdsmaster WITH ADMIN OPTION",
    )
    .await;
    env.put(SECRET, &env.document("app_clone", "of-the-other-tool"))
        .await;
    (env, root)
}

async fn check(env: &Environment) -> (bool, String) {
    let output = env.twinkey(&["check", "shop"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_of_the_base_user_survive_the_first_run() {
    let (env, mut root) = clone_is_active().await;
    run(
        &mut root,
        "ALTER ROLE app SET search_path = work; ALTER ROLE app SET statement_timeout = '77s'; \
         ALTER ROLE app CONNECTION LIMIT 40; GRANT SELECT ON work.orders TO app, app_clone",
    )
    .await;
    for user in ["app", "app_clone"] {
        env.run_ok(&["rotate", "shop"]).await;
        let mut current = env.signed_in(stage::CURRENT).await;
        let sql = "SELECT session_user::text || ' ' || current_setting('search_path') || ' ' \
             || current_setting('statement_timeout')";
        let has: String = value(&mut current, sql).await;
        assert_eq!(has, format!("{user} work 77s"));
        let limit = format!("SELECT rolconnlimit FROM pg_roles WHERE rolname = '{user}'");
        assert_eq!(value::<i32>(&mut root, &limit).await, 40);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_base_user_lacks_to_own_is_found_by_check() {
    let (env, mut root) = clone_is_active().await;
    run(
        &mut root,
        "CREATE SCHEMA held; GRANT USAGE ON SCHEMA held TO PUBLIC; \
         CREATE FUNCTION held.f() RETURNS int LANGUAGE sql RETURN 1; \
         ALTER FUNCTION held.f() OWNER TO app_clone",
    )
    .await;
    let grant = "GRANT CREATE ON SCHEMA held TO \"app\"";
    let (passed, text) = check(&env).await;
    assert!(!passed && text.contains(grant), "{text}");
    let refused = env.refuses(&["rotate", "shop"], "privileges_missing").await;
    assert!(refused.contains(grant), "{refused}");
    run(&mut root, grant).await;
    assert!(check(&env).await.0);
    env.run_ok(&["rotate", "shop"]).await;
    let owner = "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'f'";
    assert_eq!(value::<String>(&mut root, owner).await, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_of_superusers_is_found_by_check() {
    let env = Environment::open(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    let mut root = env.root("shop").await;
    run(&mut root, "ALTER ROLE app SET \"myapp.tenant\" = 'x'").await;
    let grant = "GRANT SET ON PARAMETER \"myapp.tenant\" TO \"rdsmaster\"";
    let (passed, text) = check(&env).await;
    assert!(!passed && text.contains(grant), "{text}");
    env.refuses(&["rotate", "shop"], "privileges_missing").await;
    run(&mut root, "ALTER ROLE app_clone SET \"myapp.tenant\" = 'x'").await;
    assert!(check(&env).await.0, "it is equal");
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_users_work_as_the_owner_role() {
    let env = Environment::open(Setup::default()).await;
    let mut root = env.root("shop").await;
    run(
        &mut root,
        "CREATE ROLE app_owner; ALTER ROLE app NOINHERIT; GRANT app_owner TO app; \
         CREATE SCHEMA owned AUTHORIZATION app_owner; ALTER ROLE app SET role = 'app_owner'; \
         ALTER TABLE work.orders OWNER TO app_owner; ALTER SCHEMA work OWNER TO app_owner",
    )
    .await;
    for round in 0..4 {
        let mut current = env.signed_in(stage::CURRENT).await;
        let role: String = value(&mut current, "SELECT current_user::text").await;
        assert_eq!(role, "app_owner", "round {round}");
        let table = format!("CREATE TABLE owned.t{round} ()");
        run(&mut current, &table).await;
        for earlier in 0..round {
            let alter = format!("ALTER TABLE owned.t{earlier} ADD COLUMN c{round} int");
            run(&mut current, &alter).await;
        }
        env.run_ok(&["rotate", "shop"]).await;
    }
}
