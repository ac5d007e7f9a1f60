//! The interface of an engine's fixture, without terms of one engine.
//!
//! A *namespace* is where one application works: a database or a schema. Every case has its own, so
//! that cases do not affect each other. A *privilege* has a name that only the fixture knows; tests
//! exercise it on the server and read no catalogue.
//!
//! # Failure modes
//! - A test passes because the fixture did nothing: a fixture panics where it cannot do its task,
//!   and `may` is false only where the server denies permission.
//! - A master with all privileges hides a missing one: the master is as weak as that of its
//!   service.
//! - A password that the fixture sets is found in the log: fixtures set theirs without logging.

use std::any::Any;
use std::net::TcpStream;
use std::path::PathBuf;

use async_trait::async_trait;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{Change, Credentials, Engine, Target};

/// A real server of one engine, with a master like that of its service.
#[async_trait]
pub trait Harness: Sync {
    fn engine(&self) -> &dyn Engine;

    /// A master with the privileges that the documentation demands.
    fn master(&self) -> &Credentials;

    /// An existing namespace in which the master may sign in.
    fn home(&self) -> &str;

    /// A target as in a secret: `localhost`, the name in the certificate, with `verify-full`.
    fn target(&self, namespace: &str) -> Target;

    /// Creates a namespace and a user that works there and that the master may rotate. Also creates
    /// the objects of [`Harness::privileges`], none of which the user has yet.
    async fn prepare(&self, namespace: &str, user: &Credentials);

    /// Signs in and runs the application's workload: creates, alters, writes and reads. It uses the
    /// objects of all earlier rounds, which count from 0.
    async fn run_workload(&self, namespace: &str, who: &Credentials, round: u32);

    /// Opens a session of the application, which ends when the result is dropped.
    async fn open_session(&self, namespace: &str, who: &Credentials) -> Box<dyn Any + Send>;

    /// Names of privileges of different kinds.
    fn privileges(&self) -> &'static [&'static str];

    /// The user to which a DBA grants the active user's privileges.
    fn grantee<'a>(&self, pair: &'a Pair) -> &'a str {
        pair.active_user()
    }

    async fn grant(&self, namespace: &str, user: &str, privilege: &str);

    async fn revoke(&self, namespace: &str, user: &str, privilege: &str);

    /// Whether a new session can use the privilege.
    async fn may(&self, namespace: &str, who: &Credentials, privilege: &str) -> bool;

    /// Revokes privileges that the master needs for this user, or grants the user more than the
    /// master has. Returns the number of findings to expect.
    async fn revoke_from_master(&self, namespace: &str, user: &str) -> usize;

    /// Executes the fix of a finding as a DBA.
    async fn apply_fix(&self, namespace: &str, fix: &str);

    /// Creates users with all privileges, which are never rotated, and returns their names without
    /// the master's.
    async fn administrators(&self) -> Vec<String>;

    /// Names with special characters, each with room for `_clone`.
    fn hostile_names(&self) -> Vec<String>;

    /// Names that the engine does not allow.
    fn impossible_names(&self) -> Vec<String>;

    /// The file in which the server logs statements.
    fn log_path(&self) -> PathBuf;

    /// Whether this part of the log shows the change exactly, but for the password's hash.
    fn is_logged(&self, log: &str, change: &Change) -> bool;

    /// Whether the engine itself connects to the server; otherwise tests of TLS and of unreachable
    /// hosts do not apply.
    fn connects(&self) -> bool {
        true
    }

    /// Whether the engine can end the sessions of a user.
    fn ends_sessions(&self) -> bool {
        true
    }

    /// Whether a run can reuse the admin connection of another.
    fn reuses_connections(&self) -> bool {
        true
    }

    /// Acts as a server without TLS until the client disconnects. Returns the received bytes,
    /// without the request for TLS.
    fn plain_server(&self) -> fn(TcpStream) -> Vec<u8>;
}
