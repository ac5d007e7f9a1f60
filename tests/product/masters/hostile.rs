//! Secrets edited to name a hostile server, which accepts every password and repeats the real
//! server's identity.

use serde_json::json;
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, pairs};
use twinkey_testkit::environment::{Environment, SECRET, Setup, run, value};
use twinkey_testkit::hostile::HostileServer;

use super::{assert_no_master, redirect, without_master_host};
use crate::faults::failures::is_refused;

async fn hostile_postgres(env: &Environment) -> HostileServer {
    let mut root = env.root("postgres").await;
    let identity: String = value(
        &mut root,
        "SELECT system_identifier::text FROM pg_control_system()",
    )
    .await;
    HostileServer::postgres(&identity).await
}

async fn hostile_mariadb(env: &MariadbEnvironment) -> HostileServer {
    let mut root = env.root("mysql").await;
    let identity = pairs(&mut root, "SHOW GLOBAL VARIABLES LIKE 'server_uid'").await;
    let identity = identity.into_iter().next().map(|(_, identity)| identity);
    HostileServer::mariadb(&identity.unwrap_or_default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_lies_obtains_no_user_of_another_team() {
    let env = Environment::open(Setup::default()).await;
    let mut master = env
        .connect("rdsmaster", &env.master, "postgres")
        .await
        .unwrap();
    run(&mut master, "CREATE ROLE victim LOGIN PASSWORD 'other'").await;
    let hostile = hostile_postgres(&env).await;
    redirect(&env, &hostile, "victim").await;

    let message = is_refused(&env, "current_signin_failed").await;
    assert!(message.contains("the master signs in there"), "{message}");
    env.refuses(&["rotate", "shop", "--force"], "current_signin_failed")
        .await;
    assert!(hostile.connections() > 0, "it was asked too");
    assert!(hostile.received("victim"));
    assert_no_master(&hostile);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_that_lies_obtains_no_user_of_another_team() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    env.sql(&["CREATE USER victim@'%' IDENTIFIED BY 'other'"])
        .await;
    let hostile = hostile_mariadb(&env).await;
    redirect(&env, &hostile, "victim").await;

    is_refused(&env, "current_signin_failed").await;
    assert!(hostile.connections() > 0, "it was asked too");
    assert!(hostile.received("victim"));
    assert_no_master(&hostile);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_host_with_another_port_is_another_server() {
    let env = Environment::open(Setup::default()).await;
    let hostile = hostile_postgres(&env).await;
    redirect(&env, &hostile, "app").await;
    is_refused(&env, "current_signin_failed").await;
    assert_no_master(&hostile);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_postgres_is_not_connected_to_for_a_master_without_a_host() {
    let env = Environment::open(Setup::default()).await;
    let hostile = hostile_postgres(&env).await;
    without_master_host(&env, "").await;
    redirect(&env, &hostile, "app").await;
    is_refused(&env, "host_untrusted").await;
    for command in ["plan", "repair", "rollback"] {
        env.refuses(&[command, "shop"], "host_untrusted").await;
    }
    assert_eq!(hostile.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_mariadb_is_not_connected_to_for_a_master_without_a_host() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    let hostile = hostile_mariadb(&env).await;
    without_master_host(&env, "").await;
    redirect(&env, &hostile, "app").await;
    is_refused(&env, "host_untrusted").await;
    assert_eq!(hostile.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_in_the_secret_still_rotates() {
    let env = Environment::open(Setup::default()).await;
    let mut alias = env.document("app", twinkey_testkit::environment::FIRST);
    alias["host"] = json!("localhost");
    env.put(SECRET, &alias).await;
    env.run_ok(&["check", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop", "--force"]).await;
    env.run_ok(&["rollback", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_mariadb_still_rotates() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    let mut alias = env.document("app", twinkey_testkit::environment::FIRST);
    alias["host"] = json!("localhost");
    env.put(SECRET, &alias).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop", "--force"]).await;
}
