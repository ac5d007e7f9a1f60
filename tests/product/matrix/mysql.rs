//! MariaDB and MySQL in the fault matrix.

use std::path::Path;

use secrecy::SecretString;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection};
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, run};
use twinkey_testkit::environment::{FIRST, Setup, until};
use twinkey_testkit::hostile::{HostileServer, MysqlDemand};
use twinkey_testkit::mysql::{Flavor, LocalMysql};
use twinkey_testkit::pki::Pki;

use super::cell::{Cell, MASTER_PASSWORD, Names};
use super::{Fixture, MatrixEngine, driver};

type Mysql = Fixture<LocalMysql>;

/// Runs the rows on a new server.
pub async fn run_rows_on(flavor: Flavor) {
    let pki = Pki::new();
    let setup = Setup {
        flavor,
        tls: Some(pki.server.clone()),
        ..Setup::default()
    };
    let env = MariadbEnvironment::on_mariadb(setup).await;
    driver::run_rows(&Fixture { env, pki }).await;
}

impl Mysql {
    fn flavor(&self) -> Flavor {
        self.env.server.flavor()
    }

    /// A connection as the superuser. At the limit of connections the server has one for it, which a
    /// closed connection may still occupy.
    async fn root(&self) -> MySqlConnection {
        let root = self.env.server.superuser();
        let mut connected = None;
        until("the superuser connects", async || {
            let connection = (self.env).connect(&root.username, &root.password, "mysql");
            connected = connection.await.ok();
            connected.is_some()
        })
        .await;
        connected.unwrap()
    }

    /// Makes the server take a password for one that was set 41 days ago.
    async fn age(&self, user: &str) {
        let set = match self.flavor() {
            Flavor::Mariadb => {
                "global_priv SET Priv = JSON_SET(Priv, '$.password_last_changed', UNIX_TIMESTAMP() - 41 * 86400)"
            }
            Flavor::Mysql => "user SET password_last_changed = NOW() - INTERVAL 41 DAY",
        };
        let mut root = self.root().await;
        for sql in [
            &format!("UPDATE mysql.{set} WHERE User = '{user}'"),
            "FLUSH PRIVILEGES",
        ] {
            run(&mut root, sql).await;
        }
    }
}

impl MatrixEngine for Mysql {
    const SERVER_DATABASE: &'static str = "mysql";
    type Session = MySqlConnection;

    fn name(&self) -> &'static str {
        match self.flavor() {
            Flavor::Mariadb => "mariadb",
            Flavor::Mysql => "mysql",
        }
    }

    /// MySQL's sign-in requires TLS after a change of the password.
    fn tls_mode(&self) -> &'static str {
        match self.flavor() {
            Flavor::Mariadb => "disable",
            Flavor::Mysql => "verify-full",
        }
    }

    fn stand_in(&self) -> &StandIn {
        self.env.stand_in()
    }

    fn port(&self) -> u16 {
        self.env.server.port()
    }

    fn ca_file(&self) -> Option<&Path> {
        Some(&self.pki.ca_file)
    }

    async fn create(&self, names: &Names) {
        let Names {
            user,
            master,
            database,
            ..
        } = names;
        let mut root = self.root().await;
        for sql in [
            format!("CREATE DATABASE `{database}`"),
            format!("CREATE TABLE `{database}`.orders (id int)"),
            format!("CREATE USER `{master}`@'%' IDENTIFIED BY '{MASTER_PASSWORD}'"),
            format!("GRANT CREATE USER, PROCESS ON *.* TO `{master}`@'%'"),
            format!("GRANT SELECT ON mysql.* TO `{master}`@'%'"),
            format!("GRANT ALL ON `{database}`.* TO `{master}`@'%' WITH GRANT OPTION"),
            format!("CREATE USER `{user}`@'%' IDENTIFIED BY '{FIRST}'"),
            format!("GRANT SELECT, INSERT ON `{database}`.* TO `{user}`@'%'"),
        ] {
            run(&mut root, &sql).await;
        }
    }

    async fn execute(&self, _: &str, statement: &str) -> Result<(), String> {
        let mut root = self.root().await;
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        let done = done.execute(&mut root).await;
        done.map(drop).map_err(|error| error.to_string())
    }

    async fn sign_in(
        &self,
        user: &str,
        password: &SecretString,
        database: &str,
    ) -> Result<MySqlConnection, String> {
        let connected = self.env.connect(user, password, database).await;
        connected.map_err(|error| error.to_string())
    }

    async fn execute_in(session: &mut MySqlConnection, statement: &str) {
        run(session, statement).await;
    }

    async fn close(session: MySqlConnection) {
        session.close().await.unwrap();
    }

    async fn stored(&self, user: &str) -> String {
        let mut root = self.root().await;
        let row = match self.flavor() {
            Flavor::Mariadb => "Host, Priv) ORDER BY Host), '') FROM global_priv",
            Flavor::Mysql => {
                "Host, HEX(authentication_string), account_locked, password_expired) \
                 ORDER BY Host), '') FROM user"
            }
        };
        let sql = format!("SELECT COALESCE(GROUP_CONCAT(CONCAT({row} WHERE User = '{user}'");
        let stored = sqlx::query_scalar(AssertSqlSafe(sql));
        stored.fetch_one(&mut root).await.unwrap()
    }

    async fn act(cell: &mut Cell<'_, Self>, name: &str) {
        let Names { user, clone, .. } = cell.names.clone();
        match name {
            "another server" => {
                let other = HostileServer::mariadb("another").await;
                let port = other.port();
                cell.redirect_application(other, port).await;
            }
            "a server without tls" => {
                let other = match cell.engine.flavor() {
                    Flavor::Mariadb => HostileServer::mariadb("another").await,
                    Flavor::Mysql => {
                        HostileServer::mysql_demanding(MysqlDemand::FullSha2, None).await
                    }
                };
                cell.redirect_both(other).await;
            }
            "the application's password is 41 days old" => cell.engine.age(&user).await,
            "the clone's password is 41 days old" => cell.engine.age(&clone).await,
            _ => panic!("no step {name:?}"),
        }
    }
}
