//! Sessions that hold the lock of a pair.

use twinkey_stores::stage;
use twinkey_testkit::environment::{Environment, Setup, run, until, value};

use super::external_changes::{begun, held};
use super::failures::is_refused;

/// The first key of the lock of `app`.
const TAKE: &str = "SELECT pg_advisory_lock(\
     ('x' || left(encode(sha256('twinkey/pair/app'), 'hex'), 16))::bit(64)::bigint)";

#[tokio::test(flavor = "multi_thread")]
async fn an_application_with_the_lock_is_named_and_worked_around() {
    let env = Environment::open(Setup::default()).await;
    for user in ["app", "app_clone", "app"] {
        let mut app = env.signed_in(stage::CURRENT).await;
        run(&mut app, "SET application_name = 'checkout'").await;
        run(&mut app, TAKE).await;
        let pid = value::<i32>(&mut app, "SELECT pg_backend_pid()").await;

        let output = env.run_ok(&["check", "shop"]).await;
        for part in [
            "already_running",
            &format!("process {pid} of the user \"{user}\" (checkout)"),
            &format!("pg_terminate_backend({pid})"),
        ] {
            assert!(output.contains(part), "no {part}: {output}");
        }
        env.run_ok(&["rotate", "shop", "--force"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_plan_and_rotate_name_the_run_with_the_lock() {
    let (env, mut probe) = held().await;
    let first = begun(&env).await;
    // Another journal does not know the run.
    let config = std::fs::read_to_string(env.config()).unwrap();
    std::fs::write(env.config(), config.replace("journal.db", "other.db")).unwrap();
    let output = is_refused(&env, "already_running").await;
    for part in ["of the user \"rdsmaster\" (twinkey) from", " since 2"] {
        assert!(output.contains(part), "no {part}: {output}");
    }
    env.refuses(&["plan", "shop"], "already_running").await;
    run(&mut probe, "ROLLBACK").await;
    assert!(first.await.unwrap().status.success());
    env.run_ok(&["check", "shop"]).await;
}

/// A worker whose machine is gone leaves its session open.
#[tokio::test(flavor = "multi_thread")]
async fn the_session_of_a_vanished_worker_is_named_with_its_end() {
    let env = Environment::open(Setup::default()).await;
    let left = env.connect("rdsmaster", &env.master, "shop").await;
    let mut left = left.unwrap();
    run(&mut left, TAKE).await;
    let pid = value::<i32>(&mut left, "SELECT pg_backend_pid()").await;
    let end = format!("SELECT pg_terminate_backend({pid})");
    let output = is_refused(&env, "already_running").await;
    assert!(output.contains(&end), "{output}");
    let mut root = env.root("shop").await;
    run(&mut root, &end).await;
    until("the session ends", async || {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
        value::<i64>(&mut root, &sql).await == 0
    })
    .await;
    env.run_ok(&["rotate", "shop"]).await;
}
