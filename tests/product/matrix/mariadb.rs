//! MariaDB in the fault matrix.

use secrecy::SecretString;
use serde_json::{Value as Json, json};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection};
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, run};
use twinkey_testkit::environment::{FIRST, Setup, until};
use twinkey_testkit::hostile::HostileServer;
use twinkey_testkit::pki::Pki;

use super::cell::{Cell, MASTER_PASSWORD, Names};
use super::{MatrixEngine, driver};

struct Mariadb {
    env: MariadbEnvironment,
    pki: Pki,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_mariadb_is_named_first_and_mended() {
    let pki = Pki::new();
    let env = MariadbEnvironment::on_mariadb(Setup {
        tls: Some(pki.server.clone()),
        ..Setup::default()
    })
    .await;
    driver::run_rows(&Mariadb { env, pki }).await;
}

impl Mariadb {
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
}

impl MatrixEngine for Mariadb {
    const NAME: &'static str = "mariadb";
    const SERVER_DATABASE: &'static str = "mysql";
    type Session = MySqlConnection;

    fn stand_in(&self) -> &StandIn {
        self.env.stand_in()
    }

    fn rotation(&self) -> String {
        let ca_file = self.pki.ca_file.display();
        format!("tls.mode = \"disable\"\ntls.ca_file = \"{ca_file}\"")
    }

    fn document(&self, names: &Names, user: &str, password: &str) -> Json {
        json!({
            "engine": "mariadb", "host": "localhost", "port": self.env.server.port(),
            "username": user, "password": password, "dbname": names.database,
        })
    }

    async fn create(&self, names: &Names) {
        let Names {
            user,
            master,
            database,
            ..
        } = names;
        let mut root = self.env.root("mysql").await;
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
        let sql = format!(
            "SELECT COALESCE(GROUP_CONCAT(Host, Priv), '') FROM global_priv WHERE User = '{user}'"
        );
        let stored = sqlx::query_scalar(AssertSqlSafe(sql));
        stored.fetch_one(&mut root).await.unwrap()
    }

    async fn act(cell: &mut Cell<'_, Self>, name: &str) {
        match name {
            "another server" => {
                let other = HostileServer::mariadb("another").await;
                cell.redirect(other.port()).await;
                cell.kept.push(Box::new(other));
            }
            "a server without tls" => {
                let other = HostileServer::mariadb("another").await;
                cell.redirect(other.port()).await;
                cell.redirect_master(other.port()).await;
                cell.kept.push(Box::new(other));
            }
            _ => panic!("no step {name:?}"),
        }
    }
}
