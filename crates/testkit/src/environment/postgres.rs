//! The environment on PostgreSQL.

use std::path::PathBuf;

use crate::postgres::{LocalPostgres, Options};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use twinkey_core::secret::Credentials;

use super::{Database, FIRST, Setup};

impl Database for LocalPostgres {
    const ENGINE: &'static str = "postgres";
    type Connection = PgConnection;
    type Error = sqlx::Error;

    fn start(setup: &Setup) -> Self {
        let mut options = Options::new(Self::find(setup.version).unwrap());
        options.settings = vec!["log_statement=all".into(), "fsync=off".into()];
        options.settings.extend(setup.settings.iter().cloned());
        options.hba.clone_from(&setup.hba);
        options.tls.clone_from(&setup.tls);
        Self::start(&options).unwrap()
    }

    fn port(&self) -> u16 {
        self.port()
    }

    fn superuser(&self) -> &Credentials {
        self.superuser()
    }

    fn log_path(&self) -> PathBuf {
        self.log_path()
    }

    async fn populate(&self, master: &SecretString, user: &str) {
        let name = quoted(user);
        let mut root = root(self, "postgres").await;
        run(
            &mut root,
            &format!(
                "CREATE ROLE rdsmaster LOGIN CREATEROLE CREATEDB PASSWORD '{}'",
                master.expose_secret()
            ),
        )
        .await;
        let mut master = self.connect("rdsmaster", master, "postgres").await.unwrap();
        run(
            &mut master,
            &format!("CREATE ROLE {name} LOGIN PASSWORD '{FIRST}'"),
        )
        .await;
        run(&mut master, "CREATE DATABASE shop").await;
        run(
            &mut root,
            &format!("GRANT CREATE ON DATABASE shop TO {name}"),
        )
        .await;
        let mut app = self
            .connect(user, &SecretString::from(FIRST), "shop")
            .await
            .unwrap();
        run(&mut app, "CREATE SCHEMA work").await;
        run(&mut app, "CREATE TABLE work.orders (id int PRIMARY KEY)").await;
    }

    async fn connect(
        &self,
        user: &str,
        password: &SecretString,
        database: &str,
    ) -> Result<PgConnection, sqlx::Error> {
        PgConnectOptions::new_without_pgpass()
            .host(self.host())
            .port(self.port())
            .username(user)
            .password(password.expose_secret())
            .database(database)
            .ssl_mode(PgSslMode::Prefer)
            .disable_statement_logging()
            .connect()
            .await
    }

    async fn may_work(connection: &mut PgConnection) -> bool {
        value(
            connection,
            "SELECT has_table_privilege('work.orders', 'INSERT') AND has_schema_privilege('work', 'CREATE')",
        )
        .await
    }

    async fn users(&self) -> String {
        let roles: Vec<(String, Option<String>)> =
            sqlx::query_as("SELECT rolname::text, rolpassword FROM pg_authid ORDER BY 1")
                .fetch_all(&mut root(self, "postgres").await)
                .await
                .unwrap();
        format!("{roles:?}")
    }
}

async fn root(server: &LocalPostgres, database: &str) -> PgConnection {
    let root = server.superuser();
    server
        .connect(&root.username, &root.password, database)
        .await
        .unwrap()
}

/// Executes SQL.
pub async fn run(connection: &mut PgConnection, sql: &str) {
    connection
        .execute(AssertSqlSafe(sql.to_owned()))
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// The single value of a query.
pub async fn value<T>(connection: &mut PgConnection, sql: &str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// A quoted identifier.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
