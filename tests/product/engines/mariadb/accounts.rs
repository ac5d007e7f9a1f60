//! A sign-in proves one account of a user. The others are not forgotten.

use sqlx::mysql::MySqlConnection;
use twinkey_stores::stage;

use super::{assert_one_password, assert_pair_is_equal, with_three_accounts};
use crate::serving::worker::{known_before, open_now};
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, run};
use twinkey_testkit::environment::{Setup, free_address, until};

async fn count(connection: &mut MySqlConnection, of: &str) -> i64 {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'rdsmaster' {of}"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
        .unwrap()
}

/// Lets a worker come to its first password of three, and kills it there.
async fn killed_at_the_first_password(env: &MariadbEnvironment, address: &str) {
    // A lock on the accounts' table holds the run up at its first statement.
    let mut holder = env.root("mysql").await;
    run(&mut holder, "LOCK TABLES mysql.global_priv READ").await;
    let mut worker = env.serve(address).await;
    until("the run waits at the first password", async || {
        count(&mut holder, "AND INFO LIKE 'ALTER USER%'").await == 1
    })
    .await;
    worker.kill().await.unwrap();
    drop(holder);
    let mut look = env.root("mysql").await;
    until("the statement that was under way is over", async || {
        count(&mut look, "").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_finds_its_password_on_one_account_goes_on_until_every_account_has_it() {
    let address = free_address();
    let plan = |rotation: String| Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        rotation,
        ..Setup::default()
    };
    let env = with_three_accounts(plan(String::new())).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    let (schedule, opens) = open_now();
    known_before(&env.folder.path().join("journal.db"), opens).await;
    env.configure(&plan(format!("{schedule}\nmissed = \"run\"")));
    killed_at_the_first_password(&env, &address).await;
    // Which of its statements were carried out is chance. This is the worst: the account that the
    // proof signs in to has the new password, and the others have not.
    let (pending, id) = env.read(stage::PENDING).await;
    let password = pending["password"].as_str().unwrap();
    let new = format!("ALTER USER app_clone@localhost IDENTIFIED BY '{password}'");
    env.sql(&[
        &new,
        "ALTER USER app_clone@'%' IDENTIFIED BY 'old'",
        "ALTER USER app_clone@'10.%' IDENTIFIED BY 'old'",
    ])
    .await;
    env.signed_in(stage::PENDING).await;
    let mut worker = env.serve(&address).await;
    until("the run is finished under its own version id", async || {
        env.read(stage::CURRENT).await.1 == id
    })
    .await;
    worker.kill().await.unwrap();
    assert_one_password(&env, 3).await;
    assert_pair_is_equal(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_way_back_to_a_password_that_not_every_account_has() {
    let env = with_three_accounts(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.sql(&["ALTER USER app@'10.%' IDENTIFIED BY 'something-else-9'"])
        .await;
    env.refuses(&["rollback", "shop"], "pending_signin_failed")
        .await;
    let (current, _) = env.read(stage::CURRENT).await;
    assert_eq!(current["username"], "app_clone");
}
