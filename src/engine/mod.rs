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
//! - SQL text carries a password: a [`Statement`] has a slot, filled only by `apply`, with a hash
//!   wherever the engine takes one; what is shown has `***` there.

pub mod postgres;
pub mod tls;

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use std::path::PathBuf;

use crate::code::Code;
use crate::secret::Sensitive;
use crate::secret::pair::Pair;

/// The engines that twinkey knows by name. Which of them this build can rotate: [`EngineKind::engine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    Postgres,
    Mysql,
    Mariadb,
    Documentdb,
    Redshift,
}

impl EngineKind {
    /// As the config and the metrics write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Documentdb => "documentdb",
            Self::Redshift => "redshift",
        }
    }

    /// The engine itself, or `None` where this build cannot rotate it.
    #[must_use]
    pub fn engine(self, options: &EngineOptions) -> Option<Box<dyn Engine>> {
        match self {
            Self::Postgres => Some(Box::new(postgres::Postgres::new(options.postgres.clone()))),
            Self::Mysql | Self::Mariadb | Self::Documentdb | Self::Redshift => None,
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EngineKind {
    type Err = ();

    /// Reads the config's names and those that AWS writes into secrets (`aurora-postgresql`, `mongo`, …).
    fn from_str(s: &str) -> Result<Self, ()> {
        match s {
            "postgres" | "postgresql" | "aurora-postgresql" => Ok(Self::Postgres),
            "mysql" | "aurora-mysql" => Ok(Self::Mysql),
            "mariadb" => Ok(Self::Mariadb),
            "documentdb" | "docdb" | "mongo" | "mongodb" => Ok(Self::Documentdb),
            "redshift" => Ok(Self::Redshift),
            _ => Err(()),
        }
    }
}

/// What a rotation's config says to its engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EngineOptions {
    pub postgres: PostgresOptions,
}

/// `postgres = { … }`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostgresOptions {
    /// Every session of the clone becomes the base user (`ALTER ROLE clone SET role = base`).
    pub set_role: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { set_role: true }
    }
}

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

/// Somebody who may sign in.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub username: String,
    pub password: Sensitive,
}

/// What a successful sign-in told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Who the server says has signed in (not whose privileges the session has).
    pub user: String,
    /// What tells this server, with its replicas, from every other one; `None` where it cannot be known.
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
    /// What a person should know, for `check` and `plan`.
    pub findings: Vec<Finding>,
    /// What the master lacks to carry out the changes; each with the statement that mends it.
    pub missing: Vec<Finding>,
}

/// One change of the standby, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// The database in which it is carried out, where that is not the rotation's own.
    pub database: Option<String>,
    pub statement: Statement,
    pub why: String,
}

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// The standby is created, unable to sign in.
    Create,
    /// A privilege or membership that the active user has and the standby lacks.
    Grant,
    /// One that the standby has and the active user lacks.
    Revoke,
    /// Attributes, limits, login-time settings, TLS demands.
    Setting,
    /// Objects change their owner.
    Ownership,
    /// The pending password; permission to sign in.
    Password,
}

/// One statement or command, with at most one slot for a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    before: String,
    slot: Option<(Slot, String)>,
}

/// In which form a statement takes the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// A SCRAM-SHA-256 verifier as PostgreSQL stores it.
    ScramSha256,
    /// PostgreSQL's `md5…` of the password and this user name.
    PostgresMd5 { username: String },
}

impl Statement {
    /// A statement without a password.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            before: text.into(),
            slot: None,
        }
    }

    /// A statement with a password, in the form that `slot` says, between `before` and `after`.
    #[must_use]
    pub fn with_password(before: impl Into<String>, slot: Slot, after: impl Into<String>) -> Self {
        Self {
            before: before.into(),
            slot: Some((slot, after.into())),
        }
    }

    /// The slot, if there is one.
    #[must_use]
    pub fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref().map(|(slot, _)| slot)
    }

    /// The statement as it is carried out, with `filling` in the slot.
    #[must_use]
    pub fn filled(&self, filling: &Sensitive) -> Sensitive {
        SecretString::from(self.render(filling.expose_secret()))
    }

    fn render(&self, filling: &str) -> String {
        match &self.slot {
            None => self.before.clone(),
            Some((_, after)) => format!("{}{filling}{after}", self.before),
        }
    }
}

impl fmt::Display for Statement {
    /// The statement with `***` for the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render("***"))
    }
}

/// One line of a preflight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The code with which a run would fail because of it.
    pub code: Option<Code>,
    pub what: String,
    /// What to do, as one statement or sentence.
    pub fix: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    pub user: String,
    /// The client's address, `None` for a local socket.
    pub client: Option<String>,
    /// What the client calls itself.
    pub application: Option<String>,
    pub since: Option<DateTime<Utc>>,
}

/// Who is asked to be made equal, and how far it may go.
#[derive(Debug, Clone)]
pub struct InspectRequest<'a> {
    pub pair: &'a Pair,
    /// The database of the secret, in which unqualified changes take place.
    pub dbname: Option<&'a str>,
}

/// One engine. Holds no connection.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Whether the engine can have a user of this name.
    ///
    /// # Errors
    /// [`EngineError::UserName`], which names the limit.
    fn check_user_name(&self, name: &str) -> Result<(), EngineError>;

    /// Opens a new connection with exactly these credentials, asks who it is, runs the `probes`,
    /// and closes it.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::SignIn`] if and only if the server refused the credentials.
    async fn sign_in(
        &self,
        target: &Target,
        credentials: &Credentials,
        probes: &[String],
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

/// One connection of the master. Dropping it ends the connection and frees the lock.
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

    /// Carries the changes out in order, `password` in their slots. Repeating it changes nothing more.
    ///
    /// # Errors
    /// [`EngineError`]; what was done before it is harmless, because the password comes last.
    async fn apply(&mut self, changes: &[Change], password: &Sensitive) -> Result<(), EngineError>;

    /// Who is signed in as `user` now; `None` where that cannot be known.
    ///
    /// # Errors
    /// [`EngineError`]
    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError>;
}

/// What a database can answer. Messages never hold a password or a statement that holds one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No connection, or it was cut: worth another try.
    #[error("{host}:{port} cannot be reached: {reason}")]
    Unreachable {
        host: String,
        port: u16,
        reason: String,
    },
    /// The TLS handshake failed: wrong name, unknown root, no TLS on the server.
    #[error("TLS with {host}:{port} failed: {reason}")]
    Tls {
        host: String,
        port: u16,
        reason: String,
    },
    /// The server refused these credentials.
    #[error("{host}:{port} refused the sign-in of {user:?}: {reason}")]
    SignIn {
        host: String,
        port: u16,
        user: String,
        reason: String,
    },
    /// A lock or a time limit: worth another try inside the window.
    #[error("{what} was not possible now: {reason}")]
    Busy { what: String, reason: String },
    /// The server refused a statement; `hint` says what to do.
    #[error("{what} was refused: {reason}")]
    Refused {
        what: String,
        reason: String,
        hint: String,
    },
    /// The engine cannot have such a user.
    #[error("{name:?} cannot be a user name here: {reason}")]
    UserName { name: String, reason: String },
    /// The TLS roots cannot be read.
    #[error("the TLS roots {file:?} cannot be used: {reason}")]
    Roots { file: PathBuf, reason: String },
}

impl EngineError {
    /// The code of the contract. For a refused sign-in the caller knows better which of the three it is.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } => Code::DbUnreachable,
            Self::Tls { .. } | Self::Roots { .. } => Code::TlsFailed,
            Self::SignIn { .. } => Code::CurrentSigninFailed,
            Self::Busy { .. } | Self::Refused { .. } => Code::DbRefused,
            Self::UserName { .. } => Code::UsernameTooLong,
        }
    }

    /// What to do now.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unreachable { host, port, .. } => format!(
                "check that {host} resolves here and that a connection to port {port} is let through (security group, route, listen address)"
            ),
            Self::Tls { .. } => "connect by the name in the server's certificate, and give its root in tls.ca_file; twinkey never falls back to plain text".into(),
            Self::SignIn { .. } => "make the secret's user name and password those that the database knows".into(),
            Self::Busy { .. } => "it is tried again while the window is open; find the session that holds the lock".into(),
            Self::Refused { hint, .. } => hint.clone(),
            Self::UserName { .. } => "use another user name, or a shorter clone_suffix".into(),
            Self::Roots { .. } => "make tls.ca_file a readable PEM file with at least one certificate".into(),
        }
    }

    /// Whether another try inside the window may succeed without anybody doing anything.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Busy { .. })
    }
}
