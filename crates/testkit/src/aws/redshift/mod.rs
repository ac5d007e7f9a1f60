//! Strict stand-in of the Redshift Data API, backed by PostgreSQL.
//!
//! It has the API's protocol, sign-ins, SQL and catalog as AWS documents them. It tests the
//! documentation's interpretation, not Redshift itself.
//!
//! # Failure modes
//! - A call works here that Redshift would reject. Unknown input is rejected in the API
//!   (`request.rs`) and in SQL (`sql/`).
//! - A statement has privileges that its user lacks. It runs as that user on a real server, and the
//!   secret's password is compared with the stored hash (`signin.rs`).
//! - A test misses a password in a statement. Every text is logged unchanged.
//!
//! # Limits
//! - DROP and ALTER on tables, schemas and databases, models, CREATE MODEL and default privileges
//!   on procedures are in the catalog only, without effect. On ALL TABLES IN SCHEMA, ALL excludes
//!   DROP and ALTER.
//! - Datashares, IAM roles, row policies, masking, scoped grants and external schemas are views
//!   without rows, and statements on them are syntax errors.
//! - Names of 64 to 127 bytes, which PostgreSQL would cut, cause a panic.
//! - Users, groups and roles share one namespace. Roles are granted without an order of owners.
//! - API sessions, CSV results and data after the end of a session are missing.
//! - Redshift's durations, queues and serialization conflicts are missing. A transaction is
//!   PostgreSQL's REPEATABLE READ with a snapshot after LOCK TABLE.

mod api;
mod api_error;
mod password;
mod pool;
mod request;
mod results;
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

/// The provisioned cluster.
pub const CLUSTER: &str = "stand-in-cluster";
/// The Serverless workgroup, with the same databases as the cluster.
pub const WORKGROUP: &str = "stand-in-workgroup";
/// The initial database.
pub const HOME: &str = "dev";
/// The database user of the caller's IAM identity.
pub const IDENTITY: &str = "IAMR:twinkey";

/// The Data API of one cluster.
pub struct Redshift {
    server: LocalPostgres,
    store: Arc<LocalStore>,
    clock: Clock,
    faults: Mutex<Faults>,
    statement_log: Mutex<StatementLog>,
    /// Number of state changes.
    changes: watch::Sender<u64>,
    held: watch::Sender<bool>,
    /// Limit of concurrent statements; the others stay SUBMITTED.
    slots: Semaphore,
    /// Contains the log.
    folder: TempDir,
    /// Idle connections by database; a new one would have to load the catalog.
    idle: Mutex<HashMap<String, Vec<PgConnection>>>,
}

struct Faults {
    page_rows: usize,
    active: usize,
    delayed_polls: usize,
    failing: Vec<Failing>,
}

struct Failing {
    part: String,
    message: String,
    times: usize,
}

/// All submitted statements.
#[derive(Default)]
struct StatementLog {
    /// In the order of submission.
    statements: Vec<Statement>,
    /// The request and the statement of each token.
    tokens: HashMap<String, (Json, String)>,
    tasks: HashMap<String, tokio::task::AbortHandle>,
}

/// A recorded statement, or one of a batch.
#[derive(Debug, Clone)]
pub struct RecordedStatement {
    pub id: String,
    pub sql: String,
    /// For example `FINISHED`.
    pub status: &'static str,
    pub user: Option<String>,
    pub database: String,
    pub is_batch: bool,
}

impl Redshift {
    /// Starts a server with Redshift's catalog in every present and future database.
    ///
    /// It blocks for one or two seconds.
    pub async fn start(store: Arc<LocalStore>, mut options: Options) -> Arc<Self> {
        // The stand-in runs many small queries.
        options.settings.push("jit=off".into());
        // md5 is Redshift's method; for other passwords the server uses SCRAM.
        options.hba.push("host all all 127.0.0.1/32 md5".into());
        let server = tokio::task::spawn_blocking(move || LocalPostgres::start(&options));
        let redshift = Self {
            server: server.await.unwrap().unwrap(),
            store,
            clock: Clock::system(),
            faults: Mutex::new(Faults {
                page_rows: 1000,
                active: 500,
                delayed_polls: 0,
                failing: Vec::new(),
            }),
            statement_log: Mutex::default(),
            changes: watch::channel(0).0,
            held: watch::channel(false).0,
            slots: Semaphore::new(40),
            folder: tempfile::tempdir().unwrap(),
            idle: Mutex::default(),
        };
        std::fs::File::create(redshift.log_path()).unwrap();
        redshift.create_catalog().await;
        Arc::new(redshift)
    }

    async fn create_catalog(&self) {
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

    /// The PostgreSQL server, for direct connections.
    pub fn server(&self) -> &LocalPostgres {
        &self.server
    }

    /// The log of submitted statements, one line each after `statement: `.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self, sqls: &[String]) {
        let mut log = OpenOptions::new()
            .append(true)
            .open(self.log_path())
            .unwrap();
        for sql in sqls {
            writeln!(log, "statement: {sql}").unwrap();
        }
    }

    /// Runs statements in Redshift's SQL as the superuser in one session, without the API and its
    /// history.
    pub async fn dba(&self, database: &str, statements: &[&str]) {
        let done = self.run_as(database, None, statements).await;
        done.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Sets the page size of GetStatementResult.
    pub fn set_page_rows(&self, rows: usize) {
        self.faults().page_rows = rows;
    }

    /// Sets the limit of unfinished statements for ActiveStatementsExceededException.
    pub fn set_max_active(&self, statements: usize) {
        self.faults().active = statements;
    }

    /// Reports each later statement as running in so many polls without a wait time.
    pub fn set_delayed_polls(&self, times: usize) {
        self.faults().delayed_polls = times;
    }

    /// Fails the next `times` statements that contain `part` with this message.
    pub fn fail(&self, part: &str, times: usize, message: &str) {
        self.faults().failing.push(Failing {
            part: part.into(),
            message: message.into(),
            times,
        });
    }

    /// Holds statements in the state SUBMITTED until [`Self::release`].
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// All statements in order, with those of batches separately.
    pub fn history(&self) -> Vec<RecordedStatement> {
        let log = self.statement_log();
        let seen = |statement: &Statement| -> Vec<RecordedStatement> {
            let part = |part: &statement::Part| RecordedStatement {
                id: statement.id.clone(),
                sql: part.sql.clone(),
                status: part.status.name(),
                user: statement.user.clone(),
                database: statement.submission.target.database.clone(),
                is_batch: statement.submission.is_batch,
            };
            statement.parts.iter().map(part).collect()
        };
        log.statements.iter().flat_map(seen).collect()
    }

    fn scheduled_failure(&self, sql: &str) -> Option<String> {
        let mut faults = self.faults();
        let mut failing = faults.failing.iter_mut();
        let found = failing.find(|f| f.times > 0 && sql.contains(&f.part))?;
        found.times -= 1;
        Some(found.message.clone())
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock()
    }

    fn statement_log(&self) -> MutexGuard<'_, StatementLog> {
        self.statement_log.lock()
    }

    /// Seconds since 1970, the form of times in AWS's JSON.
    #[allow(
        clippy::cast_precision_loss,
        reason = "milliseconds of this century are exact"
    )]
    fn now(&self) -> f64 {
        self.clock.now().timestamp_millis() as f64 / 1000.0
    }
}
