//! PostgreSQL in the fault matrix.

use std::path::Path;

use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::{
    Database, Environment, FIRST, Setup, quoted, run, until, value,
};
use twinkey_testkit::hostile::{Demand, HostileServer};
use twinkey_testkit::pki::Pki;
use twinkey_testkit::postgres::{LocalPostgres, Options};

use super::cell::{Cell, MASTER_PASSWORD, Names};
use super::{Fixture, MatrixEngine, driver};

type Postgres = Fixture<LocalPostgres>;

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_postgresql_is_named_first_and_mended() {
    let pki = Pki::new();
    let env = Environment::open(Setup {
        tls: Some(pki.server.clone()),
        settings: vec!["max_connections=60".into()],
        ..Setup::default()
    })
    .await;
    driver::run_rows(&Fixture { env, pki }).await;
}

impl Postgres {
    async fn root(&self, database: &str) -> PgConnection {
        self.env.root(database).await
    }

    /// The path of `pg_hba.conf`, whose first matching line counts.
    async fn rules(&self) -> String {
        let mut root = self.root("postgres").await;
        value(&mut root, "SELECT current_setting('hba_file')").await
    }

    /// Adds a first line to `pg_hba.conf`, or removes the lines of a user.
    async fn edit_rules(&self, user: &str, line: Option<&str>) {
        let path = self.rules().await;
        let text = std::fs::read_to_string(&path).unwrap();
        let others = text
            .lines()
            .filter(|other| !other.contains(&format!(" {user} ")));
        let lines: Vec<&str> = line.into_iter().chain(others).collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        let mut root = self.root("postgres").await;
        let before: String = value(&mut root, "SELECT pg_conf_load_time()::text").await;
        run(&mut root, "SELECT pg_reload_conf()").await;
        until("the rules are loaded", async || {
            let mut root = self.root("postgres").await;
            value::<String>(&mut root, "SELECT pg_conf_load_time()::text").await != before
        })
        .await;
    }
}

impl MatrixEngine for Postgres {
    const SERVER_DATABASE: &'static str = "postgres";
    type Session = PgConnection;

    fn name(&self) -> &'static str {
        "postgres"
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
        let mut root = self.root("postgres").await;
        let [user, master, database] =
            [&names.user, &names.master, &names.database].map(|name| quoted(name));
        for sql in [
            format!("CREATE ROLE {master} LOGIN CREATEROLE CREATEDB PASSWORD '{MASTER_PASSWORD}'"),
            format!("CREATE ROLE {user} LOGIN PASSWORD '{FIRST}'"),
            format!("GRANT {user} TO {master} WITH ADMIN OPTION"),
            format!("CREATE DATABASE {database} STRATEGY file_copy"),
        ] {
            run(&mut root, &sql).await;
        }
        let mut root = self.root(&names.database).await;
        let sql = format!("CREATE TABLE orders (id int); ALTER TABLE orders OWNER TO {user}");
        run(&mut root, &sql).await;
    }

    async fn execute(&self, database: &str, statement: &str) -> Result<(), String> {
        let root = self.env.server.superuser();
        // A fault may close the pair's database.
        let mut root = match self
            .env
            .connect(&root.username, &root.password, database)
            .await
        {
            Ok(root) => root,
            Err(_) => self.root("postgres").await,
        };
        let statement = AssertSqlSafe(statement.to_owned());
        root.execute(statement)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }

    async fn sign_in(
        &self,
        user: &str,
        password: &SecretString,
        database: &str,
    ) -> Result<PgConnection, String> {
        let connected = self.env.connect(user, password, database).await;
        connected.map_err(|error| error.to_string())
    }

    async fn execute_in(session: &mut PgConnection, statement: &str) {
        run(session, statement).await;
    }

    async fn close(session: PgConnection) {
        session.close().await.unwrap();
    }

    async fn stored(&self, user: &str) -> String {
        let mut root = self.root("postgres").await;
        let sql = format!(
            "SELECT coalesce(string_agg(a::text, ''), '') FROM pg_authid a WHERE rolname = '{user}'"
        );
        value(&mut root, &sql).await
    }

    async fn act(cell: &mut Cell<'_, Self>, name: &str) {
        let engine = cell.engine;
        let user = cell.names.user.clone();
        match name {
            "rules reject the application" => {
                let line = format!("host all {user} 127.0.0.1/32 reject");
                engine.edit_rules(&user, Some(&line)).await;
            }
            "rules reject the application without tls" => {
                let line = format!("hostnossl all {user} 127.0.0.1/32 reject");
                engine.edit_rules(&user, Some(&line)).await;
            }
            "rules accept the application" => engine.edit_rules(&user, None).await,
            "rules ask an ident server for the clone" => {
                let clone = &cell.names.clone;
                let line = format!("host all {clone} 127.0.0.1/32 ident");
                engine.edit_rules(clone, Some(&line)).await;
            }
            "rules accept the clone" => engine.edit_rules(&cell.names.clone, None).await,
            "another server" => {
                let options = Options::new(LocalPostgres::find(None).unwrap());
                let start = || LocalPostgres::start(&options).unwrap();
                let other = tokio::task::block_in_place(start);
                let Names { user, database, .. } = &cell.names;
                let root = other.superuser();
                let root = other
                    .connect(&root.username, &root.password, "postgres")
                    .await;
                let mut root = root.unwrap();
                for sql in [
                    format!("CREATE ROLE {user} LOGIN PASSWORD '{FIRST}'"),
                    format!("CREATE DATABASE {database}"),
                ] {
                    run(&mut root, &sql).await;
                }
                let port = other.port();
                cell.redirect_application(other, port).await;
            }
            "a server without tls" => {
                let other = HostileServer::demanding(Demand::NoTls, None).await;
                cell.redirect_both(other).await;
            }
            _ => panic!("no step {name:?}"),
        }
    }
}
