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
mod mariadb;
mod postgres;
mod redshift;
mod row;

use secrecy::SecretString;
use serde_json::Value as Json;
use twinkey_testkit::aws::StandIn;

use self::cell::{Cell, Names};

/// A server of an engine that all cells share.
trait MatrixEngine: Sized {
    const NAME: &'static str;
    /// The database of statements that concern the server.
    const SERVER_DATABASE: &'static str;
    type Session;

    fn stand_in(&self) -> &StandIn;
    /// Keys of the rotation, as TOML lines.
    fn rotation(&self) -> String;
    fn document(&self, names: &Names, user: &str, password: &str) -> Json;
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
