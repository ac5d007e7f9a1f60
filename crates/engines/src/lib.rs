//! The database engines that twinkey rotates, behind the traits [`Engine`] and [`Admin`].
//!
//! A run takes the same five steps on every engine: it signs in, takes the lock of the pair,
//! compares the standby with the active user, makes the two equal, and lists the standby's
//! sessions. The folders of the engines have the same file names: `connect.rs`, `inspect`
//! (read-only facts), `plan` (pure: facts to changes), `apply.rs`, `sessions.rs`. Each engine has a
//! Cargo feature of its name; `registry.rs` says which engines a build has.
//!
//! # Failure modes
//! - Two runs set two passwords on one standby: changes are applied on the connection that holds
//!   the pair's lock, so a run that lost the lock can change nothing.
//! - An incomplete standby signs in: a new standby cannot sign in, and its password is set last.
//! - An SQL text leaks a password: a [`Statement`] has a placeholder, which only [`render_changes`]
//!   replaces, with a hash where the engine takes one. Every other output shows `***`.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "documentdb")]
pub mod documentdb;
mod engine_context;
mod error;
mod kind;
#[cfg(any(feature = "documentdb", feature = "mysql", feature = "postgres"))]
mod local_socket;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod mark;
pub mod master;
#[cfg(feature = "mysql")]
pub mod mysql;
mod one_user;
mod pair_lock;
#[cfg(feature = "postgres")]
pub mod postgres;
mod printable;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod proxy;
pub mod rds_host;
#[cfg(feature = "redshift")]
pub mod redshift;
mod registry;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redshift"))]
mod session_ending;
mod statement;
#[cfg(any(feature = "documentdb", feature = "mysql", feature = "postgres"))]
mod stream;
#[cfg(any(feature = "documentdb", feature = "mysql", feature = "postgres"))]
mod timeouts;
pub mod tls;
#[cfg(any(feature = "documentdb", feature = "postgres"))]
mod user_name;

pub use engine_context::{EngineContext, MasterRequirement};
pub use error::{EngineError, TlsRemedy};
pub use kind::{
    EngineKind, EngineOptions, MysqlOptions, PostgresOptions, RedshiftOptions, RedshiftProbe,
    RedshiftTarget,
};
pub use one_user::{PasswordChange, UserInspection, UserRequest};
pub use pair_lock::{LockHolder, PairLock};
pub use registry::{engine, grants_for_master, is_in_build, remove_leftovers};
pub use statement::{
    Change, ChangeKind, PasswordForm, RenderedChange, Statement, render_changes,
    unfinished_password,
};
pub use twinkey_core::secret::Credentials;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use twinkey_core::code::Code;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::pair::Pair;

/// Protection of a connection, the strictest first. A connection never falls back to a weaker mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// The certificate chain and the host name are verified.
    VerifyFull,
    /// The certificate chain is verified.
    VerifyCa,
    /// The connection is encrypted; nothing is verified.
    Require,
    /// Plain text.
    Disable,
}

/// TLS settings of a rotation's connections, resolved from the config and the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tls {
    pub mode: TlsMode,
    /// PEM file with roots that are trusted in addition to the RDS roots and the system's.
    pub ca_file: Option<PathBuf>,
}

/// Address, database and TLS settings of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    /// Where to connect, if the name of the host has several addresses; the certificate names the
    /// host. `None`: the first address of the host that answers.
    pub address: Option<IpAddr>,
    /// `None`: the engine's default port.
    pub port: Option<u16>,
    /// `None`: the engine's default database.
    pub dbname: Option<String>,
    pub tls: Tls,
}

/// Checks of a sign-in besides the user name. Each costs a round trip, so callers choose.
#[derive(Debug, Clone, Copy, Default)]
pub struct SignInChecks<'a> {
    /// Statements that must succeed.
    pub probes: &'a [String],
    /// Read [`SignedIn::server_identity`].
    pub identity: bool,
    /// The role that the session must have: see [`Inspection::session_role`].
    pub role: Option<&'a str>,
    /// Read [`SignedIn::replication`], with the sessions of this user.
    pub replication: Option<&'a str>,
    /// Read [`SignedIn::sees_mark`]: the result of [`Admin::mark_server`].
    pub mark: Option<&'a str>,
}

impl<'a> SignInChecks<'a> {
    /// The probes without the server's identity.
    #[must_use]
    pub const fn probes(probes: &'a [String]) -> Self {
        Self {
            probes,
            identity: false,
            role: None,
            replication: None,
            mark: None,
        }
    }
}

/// Result of a successful sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// User that signed in, as the server reports it; not the user whose privileges are active.
    pub user: String,
    /// Identity that the server and its replicas share, and no other server has. `None` where the
    /// server has none, or [`SignInChecks::identity`] is false.
    pub server_identity: Option<String>,
    /// Whether a pooler signed the user in, and not the server itself.
    pub is_pooled: bool,
    /// How the server stores the user's password, as its request shows. `None` where the request
    /// shows nothing.
    pub stored_form: Option<StoredForm>,
    /// Empty unless [`SignInChecks::replication`] is set.
    pub replication: Replication,
    /// Whether the server is the one that has [`SignInChecks::mark`]. `None`: not known, or not read.
    pub sees_mark: Option<bool>,
}

/// Form in which a server stores a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredForm {
    Md5,
    ScramSha256,
}

/// The changes for a form of the active user's password that [`Inspection::set_password`] does not
/// assume. Only engines whose master may be unable to read that form have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherForm {
    pub form: StoredForm,
    pub set_password: Vec<Change>,
    /// The finding about this form, and the one about the assumed form.
    pub finding: Option<Finding>,
    pub replaces: Option<Finding>,
}

impl OtherForm {
    /// Puts the changes and the finding of this form in place of those of the assumed one.
    fn replace(self, set_password: &mut Vec<Change>, findings: &mut Vec<Finding>) {
        *set_password = self.set_password;
        findings.retain(|one| Some(one) != self.replaces.as_ref());
        findings.extend(self.finding);
    }
}

/// What a server reports of itself as a replica, and the sessions of one user there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replication {
    /// `None`: the signed-in user cannot read it.
    pub is_replica: Option<bool>,
    /// How far it is behind its primary; `None`: not known.
    pub lag: Option<Duration>,
    /// `None`: the signed-in user does not see them.
    pub sessions: Option<Vec<Session>>,
}

/// Comparison of the standby with the active user, and the changes that make them equal.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// For messages, for example `PostgreSQL 16.4`.
    pub server: String,
    pub standby_exists: bool,
    /// The master can read the pair's users. Otherwise nothing about the standby is known, and a
    /// privilege is in [`Inspection::missing`].
    pub readable: bool,
    /// Whether any client can sign in as the standby.
    pub standby_access: StandbyAccess,
    /// The active clone is a member of the base user and has no setting of twinkey's: AWS's rotation
    /// function made this pair, so the base user is its other half.
    pub cloned_by_aws: bool,
    /// Changes that make the standby equal, in order; empty where it is. The password is not among
    /// them: see [`Inspection::set_password`].
    pub differences: Vec<Change>,
    /// Sets the pending password and, where the standby could not sign in, lets it. Always last.
    pub set_password: Vec<Change>,
    /// `None`: the master reads how the active user's password is stored, or the engine has one form.
    pub other_form: Option<OtherForm>,
    /// Disables the standby's sign-in until it gets a password again. Privileges and sessions stay.
    /// Empty where there is no standby, or it cannot sign in already.
    pub retire: Vec<Change>,
    /// The role that a new session of the standby must have, where users and roles of sessions
    /// differ. A sign-in proves it with [`SignInChecks::role`].
    pub session_role: Option<String>,
    /// Whether every stored hash of the standby matches [`InspectRequest::password`]. A sign-in
    /// proves one account only; where a user has several, this covers the others. `None` where the
    /// stored form cannot be read, or the request has no password.
    pub holds_password: Option<bool>,
    /// Findings for `check` and `plan`.
    pub findings: Vec<Finding>,
    /// Causes of a refused sign-in of the active user that the master sees. They matter only if that
    /// sign-in was refused.
    pub obstacles: Vec<Finding>,
    /// The same for the standby. They matter only if no version of the secret signs in as it.
    pub standby_obstacles: Vec<Finding>,
    /// Privileges that the master lacks for the changes, each with the statement that grants it.
    pub missing: Vec<Finding>,
}

impl Inspection {
    /// Sets the pending password in the form of the active user's, as its sign-in showed it. Without
    /// an alternative, or if the sign-in showed nothing, the inspection stays as it is.
    pub fn use_form_of(&mut self, active: Option<StoredForm>) {
        if let Some(other) = self.other_form.take_if(|other| Some(other.form) == active) {
            other.replace(&mut self.set_password, &mut self.findings);
        }
    }
}

/// Whether any client can sign in as the standby, whatever its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandbyAccess {
    Enabled,
    /// It is locked, expired, or has no valid password.
    Disabled,
    /// The master cannot read it.
    Unknown,
}

/// One line of a preflight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    pub severity: Severity,
    /// Error code of a run that fails because of it.
    pub code: Option<Code>,
    pub what: String,
    /// Remedy, as one statement or sentence.
    pub fix: Option<String>,
}

impl Finding {
    /// A finding; with [`Severity::Error`] its code is `db_refused`.
    #[must_use]
    pub fn new(severity: Severity, what: String, fix: Option<String>) -> Self {
        Self {
            severity,
            code: (severity == Severity::Error).then_some(Code::DbRefused),
            what,
            fix,
        }
    }
}

#[cfg(any(feature = "documentdb", feature = "mysql", feature = "postgres"))]
impl Finding {
    /// A privilege that the master lacks, and the statement that grants it.
    pub(crate) fn lacks(what: String, fix: String) -> Self {
        Self {
            severity: Severity::Error,
            code: Some(Code::PrivilegesMissing),
            what,
            fix: Some(fix),
        }
    }
}

/// Severity of a finding.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Information.
    Note,
    /// A run succeeds, but an operator should look.
    Warning,
    /// A run fails.
    Error,
}

/// An open session of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Session {
    pub user: String,
    /// The client's address, `None` for a local socket.
    pub client: Option<String>,
    /// The client's application name.
    pub application: Option<String>,
    pub since: Option<DateTime<Utc>>,
    /// It executes nothing and has no transaction, as far as the server shows it.
    #[serde(default)]
    pub idle: bool,
    /// The pooler that keeps the connection open although it may have no client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooler: Option<String>,
}

/// A session that a pooler keeps open, if its name is not known.
pub const SOME_POOLER: &str = "a pooler";

/// Parameters of an inspection.
#[derive(Debug, Clone)]
pub struct InspectRequest<'a> {
    pub pair: &'a Pair,
    /// The pending password, where there is one: see [`Inspection::holds_password`].
    pub password: Option<&'a Sensitive>,
    /// The active user's password, in AWSCURRENT; `None` where the caller does not have it. Each
    /// account of the active user must hold it.
    pub current: Option<&'a Sensitive>,
    /// Protection of the sign-ins of the pair's users.
    pub tls: TlsMode,
    /// Also run slow queries whose results no run needs, such as DEFINER clauses: for `check`.
    pub thorough: bool,
}

/// One engine. Holds no connection.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Checks that the engine allows this user name.
    ///
    /// # Errors
    /// [`EngineError::UserName`], which names the limit.
    fn check_user_name(&self, name: &str) -> Result<(), EngineError>;

    /// Credentials that the admin connection needs.
    fn master_requirement(&self) -> MasterRequirement {
        MasterRequirement::Secret
    }

    /// Whether a database has replicas with an address of their own, at which users sign in too.
    fn has_readers(&self) -> bool {
        true
    }

    /// Whether a sign-in connects to the target's host. `false`: an AWS API signs in.
    fn connects_to_host(&self) -> bool {
        true
    }

    /// Whether the master's password goes to the target's host. `false`: an AWS API passes it to the
    /// database that [`Engine::check_master_database`] checks, or the master has none.
    fn master_uses_host(&self) -> bool {
        true
    }

    /// Checks that the config or the master secret names the database to which an AWS API passes the
    /// master's password.
    ///
    /// # Errors
    /// [`EngineError::Untrusted`]
    fn check_master_database(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Opens a connection with these credentials, reads the signed-in user, runs the checks, and
    /// closes it.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::SignIn`] if and only if the server refused the credentials.
    async fn sign_in(
        &self,
        target: &Target,
        credentials: &Credentials,
        checks: SignInChecks<'_>,
    ) -> Result<SignedIn, EngineError>;

    /// Opens the admin connection of a run.
    ///
    /// # Errors
    /// As [`Engine::sign_in`].
    async fn admin(
        &self,
        target: &Target,
        master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError>;
}

/// The admin connection of a run. Dropping it closes the connection, which frees the lock. Where
/// the lock outlives a connection, [`Admin::close`] frees it at once, and its expiry frees it
/// otherwise.
#[async_trait]
pub trait Admin: Send + Sync {
    /// Identity of the server, as in [`SignedIn::server_identity`].
    fn server_identity(&self) -> Option<&str>;

    /// Marks the running server, so that a sign-in at another address shows whether it is the same
    /// one ([`SignedIn::sees_mark`]). An identity does not: a server that was restored from a
    /// snapshot has that of its origin. `None`: the server has nothing that shows it.
    ///
    /// # Errors
    /// [`EngineError`]
    async fn mark_server(&mut self) -> Result<Option<String>, EngineError> {
        Ok(None)
    }

    /// Removes the mark.
    ///
    /// # Errors
    /// [`EngineError`]; the mark ends with the connection.
    async fn unmark_server(&mut self, _mark: &str) -> Result<(), EngineError> {
        Ok(())
    }

    /// Takes the pair's lock until this connection closes, unless another run may hold it.
    ///
    /// # Errors
    /// [`EngineError`]
    async fn lock(&mut self, pair: &Pair) -> Result<PairLock, EngineError>;

    /// The other holders of the pair's lock, without taking it. Read-only.
    ///
    /// # Errors
    /// [`EngineError`]
    async fn lock_holders(&mut self, pair: &Pair) -> Result<Vec<LockHolder>, EngineError>;

    /// Compares the standby with the active user. Read-only.
    ///
    /// # Errors
    /// [`EngineError`]
    async fn inspect(&mut self, request: &InspectRequest<'_>) -> Result<Inspection, EngineError>;

    /// Reads the one user of `strategy = "single"`. Read-only.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::Refused`] if the engine has no such strategy.
    async fn inspect_user(
        &mut self,
        _request: &UserRequest<'_>,
    ) -> Result<UserInspection, EngineError> {
        Err(EngineError::Refused {
            what: "strategy = \"single\"".into(),
            reason: "this version does not have it for this engine".into(),
            hint: "use strategy = \"alternating\"".into(),
        })
    }

    /// Executes changes of [`render_changes`] in order. Idempotent.
    ///
    /// # Errors
    /// [`EngineError`]. The changes already made are harmless, because the password comes last.
    async fn apply(&mut self, changes: &[RenderedChange]) -> Result<(), EngineError>;

    /// Open sessions of `user`; `None` where the master cannot see them.
    ///
    /// # Errors
    /// [`EngineError`]
    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError>;

    /// What prevents [`Admin::end_sessions`] of `user`: privileges that the master lacks
    /// (`privileges_missing`), or the engine itself. Read-only.
    ///
    /// # Errors
    /// [`EngineError`]
    async fn cannot_end_sessions(&mut self, user: &str) -> Result<Vec<Finding>, EngineError>;

    /// Ends all sessions of `user`, and those that begin meanwhile. Returns their number.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::Busy`] if a session does not end.
    async fn end_sessions(&mut self, user: &str) -> Result<usize, EngineError>;

    /// Frees the lock and resets the session, so that another run can use the connection. `false`:
    /// it cannot be reset, and the caller closes it.
    async fn reset(&mut self) -> bool {
        false
    }

    /// Frees the lock and closes the connection. Errors are ignored: the lock ends by itself.
    async fn close(self: Box<Self>) {}
}
