//! The fault matrix: each fault of a secret, a pair, a master, a server, a store or a config, on
//! each engine that can have it.
//!
//! A cell stages one fault on a real server. Then `check` and `plan` must report the code with
//! which `rotate` fails, and the run must change nothing. Then the fix of the printed hint is
//! carried out: its statements are executed, and its keys are set. After it, `rotate` must
//! succeed. The rows are in `rows/`. `TWINKEY_MATRIX=TEXT` selects rows by their fault.

mod cell;
mod codes;
mod documentdb;
mod driver;
mod hint;
mod mysql;
mod postgres;
mod redshift;
mod row;

use std::path::Path;

use secrecy::SecretString;
use serde_json::{Value as Json, json};
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::mariadb::mysql_is_installed;
use twinkey_testkit::environment::{Database, Environment};
use twinkey_testkit::mysql::Flavor;
use twinkey_testkit::pki::Pki;

use self::cell::{Cell, Names};

/// A server of an engine that all cells share.
trait MatrixEngine: Sized {
    /// The database of statements that concern the server.
    const SERVER_DATABASE: &'static str;
    type Session;

    /// The engine in the rows.
    fn name(&self) -> &'static str;
    /// The engine in the secrets.
    fn secret_engine(&self) -> &'static str {
        self.name()
    }
    fn stand_in(&self) -> &StandIn;
    fn port(&self) -> u16;
    /// The rotations' `tls.mode`.
    fn tls_mode(&self) -> &'static str {
        "disable"
    }
    /// Of the server's certificate, if it has one.
    fn ca_file(&self) -> Option<&Path>;
    fn document(&self, names: &Names, user: &str, password: &str) -> Json {
        json!({
            "engine": self.secret_engine(), "host": "localhost", "port": self.port(),
            "username": user, "password": password, "dbname": names.database,
        })
    }
    /// Creates the base user, a master that may rotate it, and a database.
    async fn create(&self, names: &Names);
    /// Executes a statement as the administrator.
    async fn execute(&self, database: &str, statement: &str) -> Result<(), String>;
    async fn sign_in(
        &self,
        user: &str,
        password: &SecretString,
        database: &str,
    ) -> Result<Self::Session, String>;
    /// Executes a statement in a session.
    async fn execute_in(session: &mut Self::Session, statement: &str);
    async fn close(session: Self::Session);
    /// The stored attributes of a user, as text to compare.
    async fn stored(&self, user: &str) -> String;
    /// Carries out a step that only this engine has.
    async fn act(cell: &mut Cell<'_, Self>, name: &str);
}

/// The server of an environment.
struct Fixture<D: Database> {
    env: Environment<D>,
    /// Of the server's certificate, if it has one.
    pki: Pki,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_mariadb_is_named_first_and_mended() {
    mysql::run_rows_on(Flavor::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_mysql_is_named_first_and_mended() {
    if mysql_is_installed() {
        mysql::run_rows_on(Flavor::Mysql).await;
    }
}
