//! PostgreSQL with a master that is no superuser. A namespace is a database that the base user
//! owns.
//!
//! On RDS the DBA is the master, so tested privileges are on objects that the master created.

pub mod adopted;
pub mod cycles;
pub mod found_first;
mod harness;
pub mod locks;
pub mod masters;
pub mod members;
pub mod owned;
pub mod rds;
pub mod roles;
pub mod sentences;

use std::path::PathBuf;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection};
use twinkey_core::secret::ExposeSecret;
use twinkey_engines::postgres::Postgres;
use twinkey_engines::{Credentials, PostgresOptions};
use twinkey_testkit::postgres::{LocalPostgres, Options};

use crate::passwords::new_password;
use twinkey_testkit::pki::Pki;

pub const MASTER: &str = "rdsmaster";

pub struct Server {
    postgres: LocalPostgres,
    version: u32,
    master: Credentials,
    engine: Postgres,
    pki: Pki,
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub async fn run(connection: &mut PgConnection, sql: &str) {
    try_run(connection, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub async fn try_run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

impl Server {
    pub async fn start(version: u32, bin: PathBuf) -> Self {
        let pki = Pki::new();
        let mut options = Options::new(bin);
        options.settings.push("log_statement=all".into());
        options.tls = Some(pki.server.clone());
        let server = Self {
            postgres: LocalPostgres::start(&options).unwrap(),
            version,
            master: Credentials {
                username: MASTER.into(),
                password: new_password(),
            },
            engine: Postgres::new(PostgresOptions::default()),
            pki,
        };
        server
            .make_user(&server.master, "LOGIN CREATEROLE CREATEDB")
            .await;
        server
    }

    /// As the superuser.
    pub async fn connect(&self, database: &str) -> PgConnection {
        self.connect_as(database, self.postgres.superuser()).await
    }

    pub async fn connect_as(&self, database: &str, who: &Credentials) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.postgres.port())
            .username(&who.username)
            .password(who.password.expose_secret())
            .database(database)
            .ssl_mode(PgSslMode::Disable);
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// As the superuser.
    pub async fn sql(&self, database: &str, sql: &str) {
        run(&mut self.connect(database).await, sql).await;
    }

    /// Creates a user without logging the statement: the log is searched for passwords.
    async fn make_user(&self, user: &Credentials, attributes: &str) {
        let mut connection = self.connect("postgres").await;
        let create = format!(
            "CREATE ROLE {} {attributes} PASSWORD '{}'",
            quoted(&user.username),
            user.password.expose_secret()
        );
        run(&mut connection, "SET log_statement = none").await;
        run(&mut connection, &create).await;
    }

    /// Since 16 CREATEROLE alone gives no rights on roles that other roles created.
    async fn let_master_rotate(&self, user: &str) {
        if self.version >= 16 {
            let user = quoted(user);
            self.sql(
                "postgres",
                &format!("GRANT {user} TO {MASTER} WITH ADMIN OPTION, INHERIT FALSE, SET FALSE"),
            )
            .await;
        }
    }
}
