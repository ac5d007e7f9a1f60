//! A strict Redshift Data API over a real PostgreSQL: its protocol, its sign-ins, its SQL and its
//! catalogue, as AWS documents them. It proves our reading of the manual, not Redshift.
//!
//! What can go wrong, and what prevents it:
//! - something works here that Redshift would refuse: what is not known is refused, in the API
//!   (`request.rs`) and in SQL (`sql/`);
//! - a statement has rights that its user does not have: it runs under that user's name on a real
//!   server, and the secret's password is compared with the stored hash (`signin.rs`);
//! - a password in a statement goes unseen: every text is kept as it came, for tests to search.
//!
//! What of Redshift it does not show:
//! - DROP and ALTER on tables, schemas and databases, models, CREATE MODEL and default privileges on
//!   procedures are in the catalogue only: nobody is kept from anything by them. Of ALL TABLES IN SCHEMA,
//!   ALL leaves DROP and ALTER out;
//! - datashares, IAM roles, row policies, masking, scoped grants and external schemas are views without
//!   rows, and statements about them are syntax errors;
//! - names of 64 to 127 bytes, which the server behind it cuts off: they are a panic here;
//! - users, groups and roles share one space of names; roles are granted without an order of owners;
//! - sessions of the API, results as CSV, and what is kept after a session has ended;
//! - how long Redshift takes, its queues, and its conflicts of serializable transactions: a transaction
//!   here is PostgreSQL's REPEATABLE READ, whose snapshot is taken after LOCK TABLE as well.

mod api;
mod look;
mod password;
mod pool;
mod refusal;
mod request;
mod rows;
mod run;
mod signin;
mod sql;
mod statement;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::postgres::{LocalPostgres, Options};
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value as Json;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use twinkey_core::telemetry::Clock;
use twinkey_stores::local::LocalStore;

use pool::execute;
use statement::Statement;

/// The provisioned cluster that there is.
pub const CLUSTER: &str = "stand-in-cluster";
/// The Serverless workgroup that there is; it has the same databases.
pub const WORKGROUP: &str = "stand-in-workgroup";
/// The database that is there from the start.
pub const HOME: &str = "dev";
/// Whom the caller's IAM identity is in the database.
pub const IDENTITY: &str = "IAMR:twinkey";

/// The Data API of one cluster.
pub struct Redshift {
    server: LocalPostgres,
    store: Arc<LocalStore>,
    clock: Clock,
    knobs: Mutex<Knobs>,
    book: Mutex<Book>,
    /// Counts the changes of states.
    changes: watch::Sender<u64>,
    held: watch::Sender<bool>,
    /// How many statements run at once; the others stay SUBMITTED.
    slots: Semaphore,
    /// With the log in it.
    folder: TempDir,
    /// Connections that nobody uses now, by database: a new one would read the catalogue anew.
    idle: Mutex<HashMap<String, Vec<PgConnection>>>,
}

struct Knobs {
    page_rows: usize,
    active: usize,
    late: usize,
    failing: Vec<Failing>,
}

struct Failing {
    part: String,
    message: String,
    times: usize,
}

#[derive(Default)]
struct Book {
    /// In the order of their submission.
    statements: Vec<Statement>,
    /// What was asked with a token, and the statement that it became.
    tokens: HashMap<String, (Json, String)>,
    tasks: HashMap<String, tokio::task::AbortHandle>,
}

/// A statement, or one of a batch, as a test looks at it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub id: String,
    pub sql: String,
    /// For example `FINISHED`.
    pub status: &'static str,
    pub user: Option<String>,
    pub database: String,
    pub is_batch: bool,
}

impl Redshift {
    /// A server with Redshift's catalogue in every database that is and will be. Blocks for a second
    /// or two.
    pub async fn start(store: Arc<LocalStore>, mut options: Options) -> Arc<Self> {
        // Many small questions, each planned anew.
        options.settings.push("jit=off".into());
        // md5 is Redshift's own way; for other passwords the server falls back to SCRAM.
        options.hba.push("host all all 127.0.0.1/32 md5".into());
        let server = tokio::task::spawn_blocking(move || LocalPostgres::start(&options));
        let redshift = Self {
            server: server.await.unwrap().unwrap(),
            store,
            clock: Clock::system(),
            knobs: Mutex::new(Knobs {
                page_rows: 1000,
                active: 500,
                late: 0,
                failing: Vec::new(),
            }),
            book: Mutex::default(),
            changes: watch::channel(0).0,
            held: watch::channel(false).0,
            slots: Semaphore::new(40),
            folder: tempfile::tempdir().unwrap(),
            idle: Mutex::default(),
        };
        std::fs::File::create(redshift.log_path()).unwrap();
        redshift.make_catalogue().await;
        Arc::new(redshift)
    }

    async fn make_catalogue(&self) {
        let mut template = self.root("template1").await.unwrap();
        for sql in [
            "SET allow_system_table_mods = on",
            include_str!("catalog/identities.sql"),
            include_str!("catalog/views.sql"),
        ] {
            execute(&mut template, sql).await.unwrap();
        }
        template.close().await.unwrap();
        let mut server = self.root("postgres").await.unwrap();
        execute(&mut server, include_str!("catalog/roles.sql"))
            .await
            .unwrap();
        execute(&mut server, &format!("CREATE DATABASE {HOME}"))
            .await
            .unwrap();
    }

    /// The PostgreSQL behind it, for what needs a connection of its own.
    pub fn server(&self) -> &LocalPostgres {
        &self.server
    }

    /// The file that holds every statement as it was submitted, a line each behind `statement: `.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn note(&self, sqls: &[String]) {
        let mut log = OpenOptions::new()
            .append(true)
            .open(self.log_path())
            .unwrap();
        for sql in sqls {
            writeln!(log, "statement: {sql}").unwrap();
        }
    }

    /// Statements in Redshift's SQL, one after the other, as the server's superuser and past the
    /// API: a DBA's. What a fixture sets so is in no history.
    pub async fn dba(&self, database: &str, statements: &[&str]) {
        for sql in statements {
            let done = self.as_root(database, sql).await;
            done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    /// GetStatementResult gives so many rows a page.
    pub fn set_page_rows(&self, rows: usize) {
        self.knobs().page_rows = rows;
    }

    /// More unfinished statements than this are refused with ActiveStatementsExceededException.
    pub fn set_most_active(&self, statements: usize) {
        self.knobs().active = statements;
    }

    /// DescribeStatement shows each statement from now on so many times as running, though it is not,
    /// to whoever does not wait for it.
    pub fn set_late(&self, times: usize) {
        self.knobs().late = times;
    }

    /// The next `times` statements with this part in their text fail with this message.
    pub fn fail(&self, part: &str, times: usize, message: &str) {
        self.knobs().failing.push(Failing {
            part: part.into(),
            message: message.into(),
            times,
        });
    }

    /// Until it is released, statements stay SUBMITTED.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Every statement so far, in order, those of batches one by one.
    pub fn history(&self) -> Vec<Seen> {
        let book = self.book();
        let seen = |statement: &Statement| -> Vec<Seen> {
            let part = |part: &statement::Part| Seen {
                id: statement.id.clone(),
                sql: part.sql.clone(),
                status: part.status.name(),
                user: statement.user.clone(),
                database: statement.submission.place.database.clone(),
                is_batch: statement.submission.is_batch,
            };
            statement.parts.iter().map(part).collect()
        };
        book.statements.iter().flat_map(seen).collect()
    }

    fn ordered_failure(&self, sql: &str) -> Option<String> {
        let mut knobs = self.knobs();
        let mut failing = knobs.failing.iter_mut();
        let found = failing.find(|f| f.times > 0 && sql.contains(&f.part))?;
        found.times -= 1;
        Some(found.message.clone())
    }

    fn knobs(&self) -> MutexGuard<'_, Knobs> {
        self.knobs.lock()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock()
    }

    /// Seconds since 1970, as AWS's JSON has times.
    #[allow(
        clippy::cast_precision_loss,
        reason = "milliseconds of this century are exact"
    )]
    fn now(&self) -> f64 {
        self.clock.now().timestamp_millis() as f64 / 1000.0
    }
}
