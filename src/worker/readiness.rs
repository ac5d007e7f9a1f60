//! Readiness of a worker: what would fail its runs, whichever rotation they are of.
//!
//! # Failure modes
//! - The worker starts without credentials of AWS, without a region or with a missing file of roots,
//!   and its first window fails. All are tried at the start and for `/readyz`.
//! - The journal or the store stops responding later, and the log has only the runs that fail by it.
//!   Each problem is logged when a check finds it first, and when it has passed.
//! - One of many accounts is down, and a platform withdraws the worker, which rotates in the others. The
//!   problem of a `[[store]]` is reported, and the worker stays ready; that of `[secrets]` counts.
//! - A part does not answer, and neither does `/readyz`. It counts as unavailable after
//!   [`PATIENCE`].
//! - Thousands of rotations name one file of roots, or one master. Each is read once, and of the
//!   masters at most [`MAX_MASTERS`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::config::settings::DEFAULT_STORE;
use crate::store::OpenStore;
use crate::worker::state::WorkerState;
use twinkey_core::code::{Code, Diagnostic, Problem};
use twinkey_engines::tls::client_config;
use twinkey_stores::{Selector, stage};

/// Master secrets that are read at the start.
const MAX_MASTERS: usize = 20;

/// Time in which the journal and the store must answer. Most monitors wait for five seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// Problems of the parts that all rotations use.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    pub journal: Option<Problem>,
    /// `[secrets]` first.
    pub stores: Vec<StoreHealth>,
    /// Problems of the files of roots that rotations name.
    pub files: Vec<Problem>,
}

/// Whether a store responds.
#[derive(Debug, Clone)]
pub struct StoreHealth {
    pub name: String,
    /// `None` if it responds.
    pub problem: Option<Problem>,
}

impl Readiness {
    /// The problems, if there are any.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let stores = self
            .stores
            .iter()
            .filter_map(|store| store.problem.as_ref());
        self.journal.iter().chain(stores).chain(&self.files)
    }

    /// The problems with the name of their further store; empty for what all rotations use.
    fn named_problems(&self) -> impl Iterator<Item = (String, &Problem)> {
        let of_store = |store: &StoreHealth| match &*store.name {
            DEFAULT_STORE => String::new(),
            further => further.to_owned(),
        };
        let stores = (self.stores.iter())
            .filter_map(move |store| Some((of_store(store), store.problem.as_ref()?)));
        let others = self.journal.iter().chain(&self.files);
        stores.chain(others.map(|problem| (String::new(), problem)))
    }

    /// Whether what all rotations use is available: all but the further stores.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let is_down = |store: &StoreHealth| store.name == DEFAULT_STORE && store.problem.is_some();
        self.journal.is_none() && self.files.is_empty() && !self.stores.iter().any(is_down)
    }
}

/// The codes of the problems that were logged and have not passed, with the names of further stores.
#[derive(Clone, Default)]
pub(super) struct LoggedProblems(Arc<Mutex<BTreeSet<LoggedProblem>>>);

/// A code, and the name of a further store; empty for what all rotations use.
type LoggedProblem = (&'static str, String);

impl LoggedProblems {
    /// Logs new problems, and those that passed.
    fn update(&self, readiness: &Readiness) {
        let found: Vec<(String, &Problem)> = readiness.named_problems().collect();
        let key = |(store, problem): &(String, &Problem)| (problem.code.as_str(), store.clone());
        let present: BTreeSet<LoggedProblem> = found.iter().map(key).collect();
        let logged = self.0.lock().clone();
        for (code, store) in logged.difference(&present) {
            self.passed(code, store);
        }
        for (store, problem) in found {
            self.found(&store, problem);
        }
    }

    /// Logs a problem, unless one with its code was logged and has not passed.
    fn found(&self, store: &str, problem: &Problem) {
        let is_new = (self.0.lock()).insert((problem.code.as_str(), store.to_owned()));
        if is_new && store.is_empty() {
            tracing::error!(code = %problem.code, error = %problem.message, hint = %problem.hint, "worker not ready");
        } else if is_new {
            tracing::error!(store, code = %problem.code, error = %problem.message, hint = %problem.hint, "store not available");
        }
    }

    /// Logs that a problem has passed, if it was logged.
    fn passed(&self, code: &'static str, store: &str) {
        let was_logged = self.0.lock().remove(&(code, store.to_owned()));
        if was_logged && store.is_empty() {
            tracing::info!(code, "worker ready again");
        } else if was_logged {
            tracing::info!(store, code, "store available again");
        }
    }
}

impl WorkerState {
    /// Tries the journal, the stores and the files, and logs what changed.
    pub async fn readiness(&self) -> Readiness {
        let rotator = &self.runner.rotator;
        let roots: BTreeSet<PathBuf> = (self.rotations().iter())
            .filter_map(|rotation| rotation.tls.ca_file.clone())
            .collect();
        let files = tokio::task::spawn_blocking(move || {
            roots.iter().filter_map(|file| unusable(file)).collect()
        });
        let journal = timeout(PATIENCE, rotator.journal.ping());
        let stores = join_all(rotator.context.stores.all().into_iter().map(health));
        let (journal, stores, files) = tokio::join!(journal, stores, files);
        let readiness = Readiness {
            journal: problem_of(journal, Code::JournalUnavailable),
            stores,
            files: files.unwrap_or_default(),
        };
        self.logged_problems.update(&readiness);
        readiness
    }

    /// Tries the journal alone, and logs what changed.
    pub(super) async fn check_journal(&self) {
        let answer = timeout(PATIENCE, self.runner.rotator.journal.ping()).await;
        match problem_of(answer, Code::JournalUnavailable) {
            Some(problem) => self.logged_problems.found("", &problem),
            None => self
                .logged_problems
                .passed(Code::JournalUnavailable.as_str(), ""),
        }
    }

    /// Logs at the start of the worker what would fail its runs.
    pub async fn log_readiness(&self) {
        let readiness = self.readiness().await;
        let responds = |name: &str| {
            let mut stores = readiness.stores.iter();
            stores.any(|store| store.name == name && store.problem.is_none())
        };
        self.log_masters(responds).await;
    }

    /// Logs which master secrets of the config cannot be read, in the stores that respond.
    async fn log_masters(&self, responds: impl Fn(&str) -> bool) {
        let rotations = self.rotations();
        let mut masters = BTreeMap::new();
        for rotation in rotations.iter() {
            let store = rotation.store_name().unwrap_or(DEFAULT_STORE);
            if let Some(secret) = rotation.master_secret.as_deref()
                && responds(store)
            {
                masters.insert((store, secret), rotation);
            }
        }
        for ((store, secret), rotation) in masters.into_iter().take(MAX_MASTERS) {
            let opened = self.runner.rotator.context.of(rotation).store;
            let read = opened.get(secret, Selector::Stage(stage::CURRENT)).await;
            if let Err(error) = read {
                tracing::error!(secret, store, code = %error.code(), %error, hint = %error.hint(), "master secret not readable");
            }
        }
    }
}

/// Tries a store.
async fn health((name, store): (String, OpenStore)) -> StoreHealth {
    let answer = timeout(PATIENCE, store.secrets.ping()).await;
    let mut problem = problem_of(answer, Code::StoreUnavailable);
    if let Some(problem) = problem.as_mut().filter(|_| name != DEFAULT_STORE) {
        problem.message = format!("store {name:?}: {}", problem.message);
    }
    StoreHealth { name, problem }
}

/// The problem of a part that failed, or that did not answer in time.
fn problem_of<E: Diagnostic>(
    answer: Result<Result<(), E>, Elapsed>,
    silent: Code,
) -> Option<Problem> {
    match answer {
        Ok(answer) => answer.err().map(|error| error.problem()),
        Err(Elapsed { .. }) => Some(Problem {
            code: silent,
            message: format!("no answer within {} s", PATIENCE.as_secs()),
            hint: "see its own error in the log, and whether its server answers".into(),
        }),
    }
}

/// The problem of a file of roots.
fn unusable(file: &Path) -> Option<Problem> {
    let error = client_config(Some(file)).err()?;
    Some(Problem {
        code: Code::ConfigInvalid,
        message: format!("tls.ca_file: {error}"),
        hint: "name a readable PEM file with at least one certificate".into(),
    })
}
