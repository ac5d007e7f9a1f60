//! Cache of idle admin connections, which the next run on the same server reuses.
//!
//! A reused connection saves a TLS handshake and the 4,096 rounds of SCRAM in each run.
//!
//! # Failure modes
//! - Two runs use one connection at the same time. [`IdleAdmins::take`] removes the connection from
//!   the cache, so it has one owner.
//! - A run inherits the pair's lock or session settings of an earlier run. [`Admin::reset`]
//!   restores the state after sign-in before the connection enters the cache. If that or the run
//!   failed, the connection is closed.
//! - A run gets a connection to another server or as another user. [`AdminKey`] must be equal: the
//!   server, database, TLS settings, engine, options, user and version of the master secret. Each
//!   run reads the master secret, so a changed password has another version.
//! - A cached connection is dead. Its first command is the pair's lock; without an answer within
//!   [`CHECKOUT_TIMEOUT`] the run opens a new connection.
//! - Idle connections occupy the server's connection slots. A service closes them after a few seconds
//!   ([`IdleAdmins::close_idle`]), at most one per concurrent run is kept, and none is used for longer than [`MAX_AGE`].
//! - A password stays in memory. The cache holds only what an open connection holds.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use twinkey_core::secret::pair::Pair;
use twinkey_engines::{Admin, EngineKind, EngineOptions, PairLock, Target};
use twinkey_stores::VersionId;

/// Age limit since sign-in; what the server reported about the master then is not read again.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Time limit for the first command; equals that of a new connection.
const CHECKOUT_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle admin connections. Cheap to clone.
#[derive(Clone)]
pub struct IdleAdmins {
    idle: Duration,
    per_host: usize,
    connections: Arc<Mutex<Vec<IdleAdmin>>>,
    added: Arc<Notify>,
}

/// Identity of an admin connection: two runs share a connection only if their keys are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminKey {
    pub engine: EngineKind,
    pub options: EngineOptions,
    pub target: Target,
    pub user: String,
    /// The master secret.
    pub secret: String,
    /// The version of the master secret that signed in.
    pub version: VersionId,
}

/// An admin connection and the time of its sign-in.
pub(crate) struct AdminSession {
    pub admin: Box<dyn Admin>,
    pub since: Instant,
}

struct IdleAdmin {
    key: AdminKey,
    session: AdminSession,
    idle_since: Instant,
}

impl IdleAdmins {
    /// A cache that keeps a connection for `idle` and at most `per_host` connections per host.
    #[must_use]
    pub fn new(idle: Duration, per_host: usize) -> Self {
        Self {
            idle,
            per_host,
            connections: Arc::default(),
            added: Arc::default(),
        }
    }

    /// A cache that keeps nothing, for processes that carry out one run.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Duration::ZERO, 0)
    }

    /// A cached connection for `key` that still answers, and its attempt at the pair's lock.
    pub(crate) async fn take(
        &self,
        key: &AdminKey,
        pair: &Pair,
    ) -> Option<(AdminSession, PairLock)> {
        let mut session = {
            let mut connections = self.connections();
            // The server is least likely to have closed the most recent one.
            let at = connections.iter().rposition(|idle| idle.key == *key)?;
            connections.remove(at).session
        };
        match timeout(CHECKOUT_TIMEOUT, session.admin.lock(pair)).await {
            Ok(Ok(lock)) => Some((session, lock)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "idle admin connection discarded");
                None
            }
            Err(_) => None,
        }
    }

    /// Returns a connection after a run that succeeded.
    pub(crate) async fn give_back(&self, key: AdminKey, mut session: AdminSession) {
        let young = session.since.elapsed() < MAX_AGE;
        if self.per_host == 0 || !young || !session.admin.reset().await {
            session.admin.close().await;
            return;
        }
        let idle_since = Instant::now();
        let host = key.target.host.clone();
        let displaced = {
            let mut connections = self.connections();
            connections.push(IdleAdmin {
                key,
                session,
                idle_since,
            });
            let same_host = |idle: &&IdleAdmin| idle.key.target.host.eq_ignore_ascii_case(&host);
            let surplus = connections.iter().filter(same_host).count() > self.per_host;
            let oldest = connections.iter().position(|idle| same_host(&idle));
            oldest.filter(|_| surplus).map(|at| connections.remove(at))
        };
        if let Some(idle) = displaced {
            idle.session.admin.close().await;
        }
        self.added.notify_one();
    }

    /// Closes each connection when its idle time is over. It does not return.
    pub async fn close_idle(&self) {
        loop {
            let oldest = self.connections().iter().map(|idle| idle.idle_since).min();
            let Some(oldest) = oldest else {
                self.added.notified().await;
                continue;
            };
            sleep_until(oldest + self.idle).await;
            self.close(|idle| idle.idle_since <= oldest).await;
        }
    }

    /// Closes all connections.
    pub async fn close_all(&self) {
        self.close(|_| true).await;
    }

    async fn close(&self, selected: impl Fn(&IdleAdmin) -> bool) {
        let closing: Vec<IdleAdmin> = {
            let mut connections = self.connections();
            let (closing, remaining) = connections.drain(..).partition(selected);
            *connections = remaining;
            closing
        };
        // At once: a server that does not respond delays none of the others.
        join_all(closing.into_iter().map(|idle| idle.session.admin.close())).await;
    }

    fn connections(&self) -> MutexGuard<'_, Vec<IdleAdmin>> {
        self.connections.lock()
    }
}
