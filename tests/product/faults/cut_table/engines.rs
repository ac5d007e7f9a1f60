//! The differences between engines.

use mongodb::bson::doc;
use serde_json::Value as Json;
use twinkey_testkit::mysql::LocalMysql;
use twinkey_testkit::postgres::LocalPostgres;

use crate::endpoints::credentials;
use crate::endpoints::postgres::application;
use twinkey_testkit::environment::documentdb::{LocalMongo, role};
use twinkey_testkit::environment::{Backend, Database, Environment, Setup, run};

/// A database whose rotations are cut.
pub trait CuttableDatabase: Database {
    const NAME: &'static str;
    /// The name with a reader.
    const WITH_READER: &'static str = Self::NAME;
    /// The name with one user.
    const ONE_USER: &'static str = Self::NAME;

    async fn open(backend: Backend) -> Environment<Self>;

    /// Changes the active user or the standby, so that the next run must change something. The
    /// change depends on `round`.
    async fn unsettle(env: &Environment<Self>, active: &str, round: usize);

    /// Makes the lock of a dead worker expire immediately.
    async fn lock_runs_out(env: &Environment<Self>);

    /// Whether a document signs in at a replica on this machine. Only engines with one are asked.
    async fn signs_in_at(_port: u16, _document: &Json) -> bool {
        false
    }
}

impl CuttableDatabase for LocalPostgres {
    const NAME: &'static str = "PostgreSQL";
    const WITH_READER: &'static str = "PostgreSQL with a reader";
    const ONE_USER: &'static str = "PostgreSQL, one user";

    async fn open(backend: Backend) -> Environment {
        Environment::open_with(Setup::default(), backend).await
    }

    async fn unsettle(env: &Environment, active: &str, round: usize) {
        let mut root = env.root("shop").await;
        let limit = 50 + round % 50;
        let change = if active == "app" {
            format!("ALTER ROLE app CONNECTION LIMIT {limit}")
        } else {
            // The base user is the source, and is given only what it lacks.
            format!("ALTER ROLE app RESET work_mem; ALTER ROLE {active} SET work_mem = '{limit}MB'")
        };
        run(&mut root, &change).await;
    }

    /// The lock ends with the connection.
    async fn lock_runs_out(_: &Environment) {}

    async fn signs_in_at(port: u16, document: &Json) -> bool {
        let (user, password) = credentials(document);
        application(port, user, password).await.is_ok()
    }
}

impl CuttableDatabase for LocalMysql {
    const NAME: &'static str = "MariaDB";
    const ONE_USER: &'static str = "MariaDB, one user";

    async fn open(backend: Backend) -> Environment<Self> {
        Environment::on_mariadb_with(Setup::default(), backend).await
    }

    async fn unsettle(env: &Environment<Self>, active: &str, round: usize) {
        let limit = 50 + round % 50;
        let more = format!("ALTER USER `{active}`@`%` WITH MAX_USER_CONNECTIONS {limit}");
        env.sql(&[&more]).await;
    }

    /// The lock ends with the connection.
    async fn lock_runs_out(_: &Environment<Self>) {}
}

impl CuttableDatabase for LocalMongo {
    const NAME: &'static str = "DocumentDB (MongoDB's wire)";

    async fn open(backend: Backend) -> Environment<Self> {
        Environment::on_mongo_with(Setup::default(), backend).await
    }

    async fn unsettle(env: &Environment<Self>, active: &str, _: usize) {
        let standby = if active == "app" { "app_clone" } else { "app" };
        env.take(standby, &[role("reporter", "admin")]).await;
        env.give(standby, &[role("read", "other")]).await;
    }

    async fn lock_runs_out(env: &Environment<Self>) {
        let all = doc! { "delete": "locks", "deletes": [{ "q": {}, "limit": 0 }] };
        env.run("twinkey", all).await;
    }
}
