//! MariaDB with asynchronous replicas.

use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{ConnectOptions, Connection};
use twinkey_stores::stage;
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, run};
use twinkey_testkit::environment::{Setup, free_address, until};
use twinkey_testkit::mysql::{Flavor, LocalMysql, Options};

use super::{connecting, credentials, readers, status};
use crate::serving::worker::{known_before, open_now};

pub fn primary(config: String, rotation: String) -> Setup {
    Setup {
        config,
        rotation,
        settings: vec!["log-bin=bin".into(), "server-id=1".into()],
        ..Setup::default()
    }
}

/// A replica that has caught up, `delay` seconds behind from then on.
pub async fn replica(
    env: &MariadbEnvironment,
    id: u32,
    settings: &[&str],
    delay: u32,
) -> LocalMysql {
    let server = tokio::task::block_in_place(|| {
        let mut options = Options::new(LocalMysql::find(Flavor::Mariadb).unwrap());
        options.settings = vec![format!("server-id={id}"), "read-only=ON".into()];
        options.settings.extend(settings.iter().map(|&s| s.into()));
        LocalMysql::start(&options).unwrap()
    });
    let mut root = root_of(&server).await;
    let master = env.server.superuser();
    let follow = format!(
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = '{}', \
         MASTER_PASSWORD = '{}', MASTER_USE_GTID = slave_pos",
        env.server.port(),
        master.username,
        master.password.expose_secret()
    );
    run(&mut root, &follow).await;
    run(&mut root, "START SLAVE").await;
    until("the replica has caught up", async || {
        let count = "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'orders'";
        let count = sqlx::query_scalar(count).fetch_one(&mut root).await;
        count.unwrap_or(0_i64) == 1
    })
    .await;
    let behind = format!("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = {delay}; START SLAVE");
    run(&mut root, &behind).await;
    server
}

async fn root_of(server: &LocalMysql) -> MySqlConnection {
    let root = server.superuser();
    connect(server.port(), root.username.clone(), root.password.clone())
        .await
        .unwrap()
}

async fn connect(
    port: u16,
    user: String,
    password: SecretString,
) -> Result<MySqlConnection, sqlx::Error> {
    MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(port)
        .username(&user)
        .password(password.expose_secret())
        .ssl_mode(MySqlSslMode::Disabled)
        .disable_statement_logging()
        .connect()
        .await
}

/// One connection of an application, which reads a table and ends at once.
pub async fn application(port: u16, user: String, password: SecretString) -> Result<(), String> {
    let failed = |error: sqlx::Error| format!("port {port}: {error}");
    let mut connection = connect(port, user, password).await.map_err(failed)?;
    let read = sqlx::query("SELECT * FROM shop.orders LIMIT 1");
    read.execute(&mut connection).await.map_err(failed)?;
    // An error of the close is no refusal.
    let _ = connection.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_at_a_delayed_replica_are_never_refused() {
    let env = MariadbEnvironment::on_mariadb(primary(String::new(), String::new())).await;
    let behind = replica(&env, 2, &[], 1).await;
    let ports = [env.server.port(), behind.port()];
    let ignore = readers(&ports[1..], "in_use = \"ignore\"");
    env.configure(&primary(String::new(), ignore));
    let rotations = async {
        for _ in 0..4 {
            let output = env.run_ok(&["rotate", "shop"]).await;
            let waiting = format!("waiting: the reader 127.0.0.1:{}", ports[1]);
            assert!(output.contains(&waiting), "{output}");
        }
    };
    let count = connecting(&env, &ports, application, rotations).await;
    println!("{count} connections, 0 refused");
    assert!(count >= 20, "too few to see a refusal");

    // A session of the standby on the replica only.
    env.configure(&primary(String::new(), readers(&ports[1..], "")));
    let (user, password) = credentials(&env.read(stage::PREVIOUS).await.0);
    let session = connect(ports[1], user, password).await.unwrap();
    env.refuses(&["rotate", "shop"], "standby_in_use").await;
    drop(session);
    until("the session has ended", async || {
        env.twinkey(&["rotate", "shop"]).await.status.success()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_filters_the_users_is_waited_for() {
    let address = free_address();
    let server = format!("[server]\nlisten = \"{address}\"");
    let env = MariadbEnvironment::on_mariadb(primary(server.clone(), String::new())).await;
    let filtering = replica(&env, 3, &[], 0).await;
    env.run_ok(&["rotate", "shop"]).await;
    let (user, password) = credentials(&env.read(stage::CURRENT).await.0);
    until("the replica has the users", async || {
        application(filtering.port(), user.clone(), password.clone())
            .await
            .is_ok()
    })
    .await;
    let mut root = root_of(&filtering).await;
    let filter = "STOP SLAVE; SET GLOBAL replicate_wild_ignore_table = 'mysql.%'; START SLAVE";
    run(&mut root, filter).await;

    let (schedule, opens) = open_now();
    let scheduled = format!("{schedule}\nmissed = \"run\"\nin_use = \"ignore\"");
    let rotation = readers(&[filtering.port()], &scheduled);
    env.configure(&primary(server, rotation));
    known_before(&env.folder.path().join("journal.db"), opens).await;
    let before = env.read(stage::CURRENT).await;
    let mut serve = env.serve(&address).await;
    until("the run waits for the replica", async || {
        let now = status(&env).await;
        now["state"] == "waiting" && now["last_run"]["error"]["code"] == "reader_behind"
    })
    .await;
    assert_eq!(env.read(stage::CURRENT).await, before);
    env.signed_in(stage::CURRENT).await;
    let message = status(&env).await["last_run"]["error"].to_string();
    assert!(message.contains("does not filter the users"), "{message}");
    serve.kill().await.unwrap();
}
