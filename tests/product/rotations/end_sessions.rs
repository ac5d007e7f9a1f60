//! `rotate --end-sessions`, for a password that is known to others.

use serde_json::Value as Json;
use twinkey_stores::stage;
use twinkey_testkit::environment::{Environment, Setup, run, value};

/// An environment whose standby has been active before, with a session of the standby.
async fn in_use(setup: Setup) -> (Environment, sqlx::PgConnection) {
    let env = Environment::open(setup).await;
    env.run_ok(&["rotate", "shop"]).await;
    let session = env.signed_in(stage::PREVIOUS).await;
    (env, session)
}

async fn is_open(session: &mut sqlx::PgConnection) -> bool {
    sqlx::query("SELECT 1").execute(session).await.is_ok()
}

async fn permit(env: &Environment) {
    let grant = "GRANT pg_signal_backend TO rdsmaster";
    run(&mut env.root("shop").await, grant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_with_the_old_password_end_before_the_flip() {
    let (env, mut leaked) = in_use(Setup::default()).await;
    let mut active = env.signed_in(stage::CURRENT).await;
    let (old, _) = env.read(stage::PREVIOUS).await;
    env.refuses(&["rotate", "shop"], "standby_in_use").await;

    permit(&env).await;
    let output = env.run_ok(&["rotate", "shop", "--end-sessions"]).await;
    // The server may still be ending the session that proved whose the standby is.
    let ended = ["; ended 1 session of", "; ended 2 sessions of"];
    assert!(ended.iter().any(|text| output.contains(text)), "{output}");
    assert!(!is_open(&mut leaked).await);
    assert!(
        is_open(&mut active).await,
        "the other user keeps its session"
    );
    let password = secrecy::SecretString::from(old["password"].as_str().unwrap());
    env.connect("app", &password, "shop").await.unwrap_err();

    let history = env
        .run_ok(&["history", "shop", "--json", "--limit", "1"])
        .await;
    let history: Json = serde_json::from_str(&history).unwrap();
    let history = history.to_string();
    assert!(ended.iter().any(|text| history.contains(text)), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_privilege_is_reported_before_any_change() {
    let (env, mut leaked) = in_use(Setup::default()).await;
    let arguments = ["rotate", "shop", "--end-sessions"];
    let message = env.refuses(&arguments, "privileges_missing").await;
    let grant = "GRANT pg_signal_backend TO \"rdsmaster\"";
    assert!(message.contains(grant), "{message}");
    assert!(is_open(&mut leaked).await);
    run(&mut env.root("shop").await, grant).await;
    env.run_ok(&arguments).await;
    assert!(!is_open(&mut leaked).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cut_after_the_password_is_continued() {
    let failing = |probe: &str| Setup {
        rotation: format!("probe = [\"{probe}\"]\nmin_interval = \"0s\""),
        ..Setup::default()
    };
    let (env, mut leaked) = in_use(failing("SELECT 1")).await;
    permit(&env).await;
    env.configure(&failing("SELECT 1 / 0"));
    env.fails(&["rotate", "shop", "--force"], 1, "db_refused")
        .await;
    assert!(is_open(&mut leaked).await, "the flag was not given");
    let before = env.read(stage::CURRENT).await;

    env.configure(&failing("SELECT 1"));
    let output = env.run_ok(&["rotate", "shop", "--end-sessions"]).await;
    // The server may still list the session of the failed proof, which is ended too.
    assert!(output.contains("; ended "), "{output}");
    assert!(!is_open(&mut leaked).await);
    assert_ne!(env.read(stage::CURRENT).await, before);
}

/// A client that signs in again at once, and takes the application name of twinkey.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_sign_in_again_are_ended_too() {
    let (env, mut leaked) = in_use(Setup::default()).await;
    run(&mut leaked, "SET application_name = 'twinkey'").await;
    let (old, _) = env.read(stage::PREVIOUS).await;
    let password = secrecy::SecretString::from(old["password"].as_str().unwrap());
    permit(&env).await;
    let again = async {
        // Until the password is refused.
        let mut open = Vec::new();
        while let Ok(session) = env.connect("app", &password, "shop").await {
            open.push(session);
            if open.len() > 20 {
                open.remove(0);
            }
        }
        open
    };
    let (_, mut open) = tokio::join!(env.run_ok(&["rotate", "shop", "--end-sessions"]), again);
    assert!(!is_open(&mut leaked).await);
    // The last sign-in may have begun before the password changed.
    let last = open.pop();
    for session in &mut open {
        assert!(!is_open(session).await);
    }
    let left = match last {
        Some(mut session) => i64::from(is_open(&mut session).await),
        None => 0,
    };
    let mut root = env.root("shop").await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
    assert!(value::<i64>(&mut root, sql).await <= left);
}
