//! TLS of the master's connection, which the secret of an application does not decide.

use secrecy::ExposeSecret;
use serde_json::json;
use twinkey_testkit::environment::documentdb::MongoEnvironment;
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{Environment, FIRST, MASTER_SECRET, SECRET, Setup};
use twinkey_testkit::hostile::{Demand, HostileServer, MongodbDemand};
use twinkey_testkit::pki::Pki;

use super::assert_no_master;
use crate::faults::failures::is_refused;

fn by_secret(pki: &Pki, settings: &[&str]) -> Setup {
    Setup {
        rotation: format!("tls = {{ mode = \"secret\", ca_file = {:?} }}", pki.ca_file),
        settings: settings.iter().map(|text| (*text).to_owned()).collect(),
        tls: Some(pki.server.clone()),
        ..Setup::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_without_tls_leaves_the_master_its_tls() {
    let pki = Pki::new();
    let env = Environment::open(by_secret(&pki, &["log_connections=on"])).await;
    let mut plain = env.document("app", FIRST);
    plain["ssl"] = json!(false);
    env.put(SECRET, &plain).await;
    let mut master = env.document("rdsmaster", env.master.expose_secret());
    master["host"] = json!("localhost");
    env.put(MASTER_SECRET, &master).await;
    let start = env.log().len();
    env.run_ok(&["check", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    let log = env.log();
    let authorized = |user: &str| {
        let text = format!("connection authorized: user={user} ");
        let of_user = |line: &&str| line.contains(&text);
        let lines: Vec<_> = log[start..].lines().filter(of_user).collect();
        assert!(!lines.is_empty(), "{user}");
        lines
            .iter()
            .map(|line| line.contains("SSL enabled"))
            .collect::<Vec<_>>()
    };
    assert!(authorized("rdsmaster").iter().all(|tls| *tls));
    assert!(authorized("app").contains(&false), "the secret's own host");

    // Its own secret does decide it.
    master["ssl"] = json!(false);
    env.put(MASTER_SECRET, &master).await;
    let start = env.log().len();
    env.run_ok(&["rotate", "shop", "--force"]).await;
    let log = &env.log()[start..];
    let mut lines = log.lines();
    assert!(lines.any(|line| line.contains("user=rdsmaster ") && !line.contains("SSL enabled")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_without_tls_does_not_receive_the_masters_name() {
    let pki = Pki::new();
    let env = Environment::open(by_secret(&pki, &[])).await;
    let hostile = HostileServer::demanding(Demand::NoTls, None).await;
    let mut plain = env.document("app", FIRST);
    plain["ssl"] = json!(false);
    env.put(SECRET, &plain).await;
    let mut master = env.document("rdsmaster", env.master.expose_secret());
    master["port"] = json!(hostile.port());
    env.put(MASTER_SECRET, &master).await;
    is_refused(&env, "tls_failed").await;
    env.refuses(&["plan", "shop"], "tls_failed").await;
    assert!(hostile.connections() > 0, "it was asked");
    assert_no_master(&hostile);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_without_tls_does_not_receive_the_masters_name() {
    let env = MariadbEnvironment::on_mariadb(Setup {
        rotation: "tls = { mode = \"secret\" }".into(),
        ..Setup::default()
    })
    .await;
    let hostile = HostileServer::mariadb("").await;
    let mut plain = env.document("app", FIRST);
    plain["ssl"] = json!(false);
    env.put(SECRET, &plain).await;
    let mut master = env.document("rdsmaster", env.master.expose_secret());
    master["port"] = json!(hostile.port());
    env.put(MASTER_SECRET, &master).await;
    is_refused(&env, "tls_failed").await;
    assert!(hostile.connections() > 0, "it was asked");
    assert_no_master(&hostile);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_without_tls_leaves_the_documentdb_master_its_tls() {
    let pki = Pki::new();
    let env = MongoEnvironment::on_mongo(by_secret(&pki, &[])).await;
    let relay = env.plain_relay().await;
    let mut plain = env.document("app", FIRST);
    plain["ssl"] = json!(false);
    plain["port"] = json!(relay.port());
    env.put(SECRET, &plain).await;
    let mut master = env.document("rdsmaster", env.master.expose_secret());
    master["host"] = json!("localhost");
    env.put(MASTER_SECRET, &master).await;
    env.run_ok(&["check", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    // The environment's own relay accepts TLS only.
    assert!(env.log().contains("admin.rdsmaster"), "{}", env.log());
    let log = relay.log();
    assert!(log.contains("admin.app"), "the secret's own host: {log}");
    assert!(!log.contains("rdsmaster"), "{log}");

    // Its own secret does decide it.
    master["host"] = json!("127.0.0.1");
    master["port"] = json!(relay.port());
    master["ssl"] = json!(false);
    env.put(MASTER_SECRET, &master).await;
    env.run_ok(&["rotate", "shop", "--force"]).await;
    assert!(relay.log().contains("admin.rdsmaster"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_documentdb_without_tls_does_not_receive_the_masters_name() {
    let env = MongoEnvironment::on_mongo(Setup {
        rotation: "tls = { mode = \"secret\" }".into(),
        ..Setup::default()
    })
    .await;
    let hostile = HostileServer::mongodb(MongodbDemand::NoSignature, None).await;
    let mut plain = env.document("app", FIRST);
    plain["ssl"] = json!(false);
    env.put(SECRET, &plain).await;
    let mut master = env.document("rdsmaster", env.master.expose_secret());
    master["port"] = json!(hostile.port());
    env.put(MASTER_SECRET, &master).await;
    is_refused(&env, "tls_failed").await;
    env.refuses(&["plan", "shop"], "tls_failed").await;
    assert!(hostile.connections() > 0, "it was asked");
    assert_no_master(&hostile);
}
