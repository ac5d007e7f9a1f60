//! Database engines behind one seam.
//!
//! A run does the same five things whatever the engine: sign in as somebody, take the pair's lock,
//! find out by how much the standby differs from the active user, make it equal, and see who is
//! signed in as the standby. Everything that one engine does in its own way stays in its folder:
//! `connect.rs`, `inspect.rs` (facts, read-only), `plan.rs` (pure: facts -> changes), `apply.rs`,
//! `sessions.rs`, mirrored in every engine.
//!
//! What can go wrong, and what prevents it:
//! - two runs give one standby two passwords: changes are applied on the very connection that holds
//!   the pair's lock, so whoever lost the lock can no longer change anything;
//! - a half-made standby signs in: a standby is made unable to sign in and gets its password last;
//! - SQL text carries a password: a [`Statement`] has a slot, filled only by [`fill`], with a hash
//!   wherever the engine takes one; what is shown has `***` there.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod change;
pub mod documentdb;
mod error;
mod filled;
mod kind;
pub mod master;
pub mod mysql;
mod name;
pub mod postgres;
mod proof;
mod proxy;
pub mod redshift;
mod slot;
mod surroundings;
pub mod tls;

pub use change::{Change, ChangeKind, Statement};
pub use error::EngineError;
pub use filled::{Filled, fill};
pub use kind::{
    DocumentdbOptions, EngineKind, EngineOptions, PostgresOptions, RedshiftOptions, RedshiftProbe,
    RedshiftTarget,
};
pub use slot::Slot;
pub use surroundings::{MasterNeeds, Surroundings};
pub use twinkey_core::secret::Credentials;

use std::path::PathBuf;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use twinkey_core::code::Code;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::pair::Pair;

/// How a connection is protected. There is no fall-back from one to a weaker one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// The chain and the name are verified.
    VerifyFull,
    /// The chain is verified.
    VerifyCa,
    /// Encrypted, nothing verified.
    Require,
    /// Plain text.
    Disable,
}

/// TLS of one rotation's connections, as resolved from config and secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tls {
    pub mode: TlsMode,
    /// PEM file with roots that are trusted besides the RDS roots and the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where a database listens and how to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    /// `None`: the engine's default port.
    pub port: Option<u16>,
    /// `None`: the engine's default database.
    pub dbname: Option<String>,
    pub tls: Tls,
}

/// What a sign-in is asked besides who has signed in. Of what nobody needs to know, the server is spared the answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Questions<'a> {
    /// Statements that must succeed.
    pub probes: &'a [String],
    /// Which server this is: [`SignedIn::server_identity`].
    pub identity: bool,
}

impl<'a> Questions<'a> {
    /// These probes, and no more.
    #[must_use]
    pub const fn probes(probes: &'a [String]) -> Self {
        Self {
            probes,
            identity: false,
        }
    }
}

/// What a successful sign-in told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Who the server says has signed in (not whose privileges the session has).
    pub user: String,
    /// What tells this server, with its replicas, from every other one; `None` where it cannot be known, or was not
    /// asked.
    pub server_identity: Option<String>,
}

/// How to make the pair equal, and what to tell about it.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// For messages, for example `PostgreSQL 16.4`.
    pub server: String,
    pub standby_exists: bool,
    /// By how much the standby differs, as what would make it equal, in order. Empty: equal. The
    /// change of the password is not among them: it is [`Inspection::set_password`].
    pub differences: Vec<Change>,
    /// Gives the standby the pending password and, if it could not, lets it sign in. Always last.
    pub set_password: Vec<Change>,
    /// Takes the standby's sign-in away until it is given a password again: nothing else changes, and
    /// sessions go on. Empty: there is no standby, or it cannot sign in already.
    pub retire: Vec<Change>,
    /// Whether all that the server stores for the standby is made of the password that was asked about.
    /// A sign-in proves one account; where a user has several, only this tells that none was left out.
    /// `None` where the stored form cannot be read, or no password was asked about.
    pub holds_password: Option<bool>,
    /// What a person should know, for `check` and `plan`.
    pub findings: Vec<Finding>,
    /// What the master lacks to carry out the changes; each with the statement that mends it.
    pub missing: Vec<Finding>,
}

/// One line of a preflight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    pub severity: Severity,
    /// The code with which a run would fail because of it.
    pub code: Option<Code>,
    pub what: String,
    /// What to do, as one statement or sentence.
    pub fix: Option<String>,
}

impl Finding {
    /// A finding; one that fails a run does so with `db_refused`.
    pub(crate) fn new(severity: Severity, what: String, fix: Option<String>) -> Self {
        Self {
            severity,
            code: (severity == Severity::Error).then_some(Code::DbRefused),
            what,
            fix,
        }
    }

    /// A privilege that the master lacks, and the statement that gives it.
    pub(crate) fn lacks(what: String, fix: String) -> Self {
        Self {
            severity: Severity::Error,
            code: Some(Code::PrivilegesMissing),
            what,
            fix: Some(fix),
        }
    }
}

/// How bad a finding is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// A run succeeds; somebody should look.
    Warning,
    /// A run fails.
    Error,
}

/// A live session of the standby.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Session {
    pub user: String,
    /// The client's address, `None` for a local socket.
    pub client: Option<String>,
    /// What the client calls itself.
    pub application: Option<String>,
    pub since: Option<DateTime<Utc>>,
}

/// What is asked of an inspection.
#[derive(Debug, Clone)]
pub struct InspectRequest<'a> {
    pub pair: &'a Pair,
    /// The pending password, where there is one already: see [`Inspection::holds_password`].
    pub password: Option<&'a Sensitive>,
    /// Look too at what no run depends on and may take a while to find (who is named in DEFINER
    /// clauses): for `check`.
    pub thorough: bool,
}

/// One engine. Holds no connection.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Whether the engine can have a user of this name.
    ///
    /// # Errors
    /// [`EngineError::UserName`], which names the limit.
    fn check_user_name(&self, name: &str) -> Result<(), EngineError>;

    /// Who signs in as the admin: the user of the master secret, unless the engine needs none.
    fn master(&self) -> MasterNeeds {
        MasterNeeds::Secret
    }

    /// Opens a new connection with exactly these credentials, asks who it is and the `questions`, and closes it.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::SignIn`] if and only if the server refused the credentials.
    async fn sign_in(
        &self,
        target: &Target,
        credentials: &Credentials,
        questions: Questions<'_>,
    ) -> Result<SignedIn, EngineError>;

    /// Signs in with the master credentials, for the length of a run.
    ///
    /// # Errors
    /// As [`Engine::sign_in`].
    async fn admin(
        &self,
        target: &Target,
        master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError>;
}

/// What the master is signed in with. Dropping it ends the connection and frees the lock; where the lock is
/// no connection's, [`Admin::close`] frees it at once, and a while after it was dropped it is free too.
#[async_trait]
pub trait Admin: Send + Sync {
    /// What tells this server from every other one, as in [`SignedIn::server_identity`].
    fn server_identity(&self) -> Option<&str>;

    /// Takes the pair's lock for as long as this connection lives. `false`: somebody else has it.
    ///
    /// # Errors
    /// [`EngineError`]
    async fn lock(&mut self, pair: &Pair) -> Result<bool, EngineError>;

    /// By how much the standby differs from the active user. Read-only.
    ///
    /// # Errors
    /// [`EngineError`]
    async fn inspect(&mut self, request: &InspectRequest<'_>) -> Result<Inspection, EngineError>;

    /// Carries the changes out in order, as [`fill`] has made them ready. Repeating it changes nothing more.
    ///
    /// # Errors
    /// [`EngineError`]; what was done before it is harmless, because the password comes last.
    async fn apply(&mut self, changes: &[Filled]) -> Result<(), EngineError>;

    /// Who is signed in as `user` now; `None` where that cannot be known.
    ///
    /// # Errors
    /// [`EngineError`]
    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError>;

    /// Frees the lock, and makes the session as it was after its sign-in, so that another run may go on with it.
    /// `false`: it cannot; then it is to be closed.
    async fn reset(&mut self) -> bool {
        false
    }

    /// Ends it, and frees the lock. What fails of that is made good by the lock's own end.
    async fn close(self: Box<Self>) {}
}
