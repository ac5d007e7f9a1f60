//! MariaDB and MySQL with asynchronous replicas.

use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{ConnectOptions, Connection};
use twinkey_stores::stage;
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, mysql_is_installed, run};
use twinkey_testkit::environment::{Setup, free_address, until};
use twinkey_testkit::mysql::{Flavor, LocalMysql, Options};
use twinkey_testkit::pki::Pki;

use super::{connecting, credentials, readers, status};
use crate::serving::worker::{known_before, open_now};

/// The certificates of a primary and its replicas, and the keys of their rotation. MySQL's sign-in
/// requires TLS after a change of the password.
pub struct Servers {
    flavor: Flavor,
    pki: Pki,
}

impl Servers {
    pub fn new(flavor: Flavor) -> Self {
        let pki = Pki::new();
        Self { flavor, pki }
    }

    pub fn primary(&self, config: String, rotation: String) -> Setup {
        let (tls, rotation) = match self.flavor {
            Flavor::Mariadb => (None, rotation),
            Flavor::Mysql => {
                let ca_file = self.pki.ca_file.display();
                let tls = format!("tls = {{ mode = \"verify-ca\", ca_file = \"{ca_file}\" }}");
                (Some(self.pki.server.clone()), format!("{tls}\n{rotation}"))
            }
        };
        Setup {
            flavor: self.flavor,
            config,
            rotation,
            settings: self.settings(1),
            tls,
            ..Setup::default()
        }
    }

    fn settings(&self, id: u32) -> Vec<String> {
        let mut settings = vec![format!("server-id={id}"), "log-bin=bin".into()];
        if self.flavor == Flavor::Mysql {
            settings.extend(["gtid-mode=ON", "enforce-gtid-consistency=ON"].map(String::from));
        }
        settings
    }

    /// A statement of MariaDB, as MySQL 8.4 writes it.
    fn statement(&self, mariadb: &str) -> String {
        match self.flavor {
            Flavor::Mariadb => mariadb.to_owned(),
            Flavor::Mysql => mariadb
                .replace("CHANGE MASTER TO", "CHANGE REPLICATION SOURCE TO")
                .replace(
                    "MASTER_USE_GTID = slave_pos",
                    "SOURCE_AUTO_POSITION = 1, SOURCE_SSL = 1",
                )
                .replace("MASTER_", "SOURCE_")
                .replace("SLAVE", "REPLICA"),
        }
    }

    /// A replica that has caught up, `delay` seconds behind from then on.
    pub async fn replica(&self, env: &MariadbEnvironment, id: u32, delay: u32) -> LocalMysql {
        let server = tokio::task::block_in_place(|| {
            let mut options = Options::new(LocalMysql::find(self.flavor).unwrap());
            options.settings = self.settings(id);
            options.settings.push("read-only=ON".into());
            options.tls = (self.flavor == Flavor::Mysql).then(|| self.pki.server.clone());
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
        run(&mut root, &self.statement(&follow)).await;
        run(&mut root, &self.statement("START SLAVE")).await;
        until("the replica has caught up", async || {
            let count =
                "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'orders'";
            let count = sqlx::query_scalar(count).fetch_one(&mut root).await;
            count.unwrap_or(0_i64) == 1
        })
        .await;
        let behind = format!("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = {delay}; START SLAVE");
        run(&mut root, &self.statement(&behind)).await;
        server
    }
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
        .ssl_mode(MySqlSslMode::Preferred)
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

async fn is_never_refused_at_a_delayed_replica(flavor: Flavor) {
    let servers = Servers::new(flavor);
    let env = MariadbEnvironment::on_mariadb(servers.primary(String::new(), String::new())).await;
    let behind = servers.replica(&env, 2, 1).await;
    let ports = [env.server.port(), behind.port()];
    let ignore = readers(&ports[1..], "in_use = \"ignore\"");
    env.configure(&servers.primary(String::new(), ignore));
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
    env.configure(&servers.primary(String::new(), readers(&ports[1..], "")));
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
async fn applications_at_a_delayed_mariadb_replica_are_never_refused() {
    is_never_refused_at_a_delayed_replica(Flavor::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_at_a_delayed_mysql_replica_are_never_refused() {
    if mysql_is_installed() {
        is_never_refused_at_a_delayed_replica(Flavor::Mysql).await;
    }
}

async fn is_waited_for_with_a_filter_of_the_users(flavor: Flavor) {
    let address = free_address();
    let server = format!("[server]\nlisten = \"{address}\"");
    let servers = Servers::new(flavor);
    let env = MariadbEnvironment::on_mariadb(servers.primary(server.clone(), String::new())).await;
    let filtering = servers.replica(&env, 3, 0).await;
    env.run_ok(&["rotate", "shop"]).await;
    let (user, password) = credentials(&env.read(stage::CURRENT).await.0);
    until("the replica has the users", async || {
        application(filtering.port(), user.clone(), password.clone())
            .await
            .is_ok()
    })
    .await;
    let mut root = root_of(&filtering).await;
    let filter = match flavor {
        Flavor::Mariadb => "SET GLOBAL replicate_wild_ignore_table = 'mysql.%'",
        Flavor::Mysql => "CHANGE REPLICATION FILTER REPLICATE_WILD_IGNORE_TABLE = ('mysql.%')",
    };
    let filter = servers.statement(&format!("STOP SLAVE; {filter}; START SLAVE"));
    run(&mut root, &filter).await;

    let (schedule, opens) = open_now();
    let scheduled = format!("{schedule}\nmissed = \"run\"\nin_use = \"ignore\"");
    let rotation = readers(&[filtering.port()], &scheduled);
    env.configure(&servers.primary(server, rotation));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_replica_that_filters_the_users_is_waited_for() {
    is_waited_for_with_a_filter_of_the_users(Flavor::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_replica_that_filters_the_users_is_waited_for() {
    if mysql_is_installed() {
        is_waited_for_with_a_filter_of_the_users(Flavor::Mysql).await;
    }
}
