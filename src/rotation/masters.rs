//! Master connections that the next run on the same server goes on with, instead of signing in anew: a TLS handshake and
//! SCRAM's 4,096 rounds, for each of a thousand runs in one window.
//!
//! What can go wrong, and what prevents it:
//! - two runs use one connection at once: who takes it owns it, until it is given back;
//! - a run finds the lock, or anything else, of the one before it: [`Admin::reset`] gives the lock back and makes the
//!   session what it was after its sign-in, before anybody else can have it. One that cannot, or whose run failed, is
//!   closed;
//! - it is the wrong one: it must agree in the server, the database, how it is protected, the engine and its options, the
//!   master's name, and in the version of the master secret, which each run reads anew. A password that was changed is
//!   another version;
//! - it is dead when it is needed: its first word is the pair's lock, within [`FIRST_WORD`], and who gets no answer signs in;
//! - it takes a place at a server that the application needs: it is closed after a few seconds ([`Masters::new`]), at most
//!   one is kept for each run that may be on at a host, and none is used for longer than [`LONGEST`];
//! - a password lives on in memory: none is here but what an open connection holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::config::settings::Rotation;
use crate::rotation::locate::{Located, Master};
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{Admin, EngineKind, EngineOptions, Target};
use twinkey_stores::VersionId;

/// Since the sign-in. What the server has told of the master then is not asked again.
const LONGEST: Duration = Duration::from_secs(60);
/// As long as a new connection may take.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// The connections that are kept. Cheap to clone.
#[derive(Clone)]
pub struct Masters {
    idle: Duration,
    per_host: usize,
    kept: Arc<Mutex<Vec<Kept>>>,
}

/// What two runs must agree in to use one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    engine: EngineKind,
    options: EngineOptions,
    target: Target,
    user: String,
    /// Where the master secret is, and which version of it signed in.
    secret: String,
    version: VersionId,
}

impl Key {
    /// `None` where no secret tells who the master is.
    pub(crate) fn of(rotation: &Rotation, located: &Located, master: &Master) -> Option<Self> {
        (!master.secret.is_empty()).then(|| Self {
            engine: located.kind,
            options: rotation.options.clone(),
            target: master.target.clone(),
            user: master.credentials.username.clone(),
            secret: master.secret.clone(),
            version: master.version_id.clone(),
        })
    }
}

/// A master that is signed in, and since when.
pub(crate) struct SignedInMaster {
    pub admin: Box<dyn Admin>,
    pub since: Instant,
}

struct Kept {
    key: Key,
    master: SignedInMaster,
    given_back: Instant,
}

impl Masters {
    /// Keeps a connection for `idle` after a run has given it back, and at most `per_host` of them at one host.
    #[must_use]
    pub fn new(idle: Duration, per_host: usize) -> Self {
        Self {
            idle,
            per_host,
            kept: Arc::default(),
        }
    }

    /// Keeps none: for who runs once and is gone.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Duration::ZERO, 0)
    }

    /// A connection that agrees with `key`, if one is kept that still answers, and whether it has the pair's lock.
    pub(crate) async fn take(&self, key: &Key, pair: &Pair) -> Option<(SignedInMaster, bool)> {
        let mut master = {
            let mut kept = self.kept();
            // The one that was given back last is the least likely to have been closed by the server.
            let at = kept.iter().rposition(|kept| kept.key == *key)?;
            kept.remove(at).master
        };
        match timeout(FIRST_WORD, master.admin.lock(pair)).await {
            Ok(Ok(locked)) => Some((master, locked)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a master connection that was kept is of no use any more");
                None
            }
            Err(_) => None,
        }
    }

    /// Gives a connection back after a run that succeeded.
    pub(crate) async fn give_back(&self, key: Key, mut master: SignedInMaster) {
        let young = master.since.elapsed() < LONGEST;
        if self.per_host == 0 || !young || !master.admin.reset().await {
            master.admin.close().await;
            return;
        }
        let given_back = Instant::now();
        let host = key.target.host.clone();
        let displaced = {
            let mut kept = self.kept();
            kept.push(Kept {
                key,
                master,
                given_back,
            });
            let here = |kept: &&Kept| kept.key.target.host.eq_ignore_ascii_case(&host);
            let surplus = kept.iter().filter(here).count() > self.per_host;
            let oldest = kept.iter().position(|kept| here(&kept));
            oldest.filter(|_| surplus).map(|at| kept.remove(at))
        };
        if let Some(kept) = displaced {
            kept.master.admin.close().await;
        }
        let this = self.clone();
        tokio::spawn(async move {
            sleep(this.idle).await;
            this.close(|kept| kept.given_back <= given_back).await;
        });
    }

    /// Closes all of them.
    pub async fn close_all(&self) {
        self.close(|_| true).await;
    }

    async fn close(&self, which: impl Fn(&Kept) -> bool) {
        let closing: Vec<Kept> = {
            let mut kept = self.kept();
            let (closing, staying) = kept.drain(..).partition(which);
            *kept = staying;
            closing
        };
        for kept in closing {
            kept.master.admin.close().await;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
