//! Readiness of a worker: what would fail its runs, whichever rotation they are of.
//!
//! # Failure modes
//! - The worker starts without credentials of AWS, without a region or with a missing file of roots,
//!   and its first window fails. All are tried at the start and for `/readyz`.
//! - The journal or the store stops responding later, and the log has only the runs that fail by it.
//!   Each problem is logged when a check finds it first, and when it has passed.
//! - A part does not answer, and neither does `/readyz`. It counts as unavailable after
//!   [`PATIENCE`].
//! - Thousands of rotations name one file of roots, or one master. Each is read once, and of the
//!   masters at most [`MAX_MASTERS`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

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
    pub store: Option<Problem>,
    /// Problems of the files of roots that rotations name.
    pub files: Vec<Problem>,
}

impl Readiness {
    /// The problems, if there are any.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.journal.iter().chain(&self.store).chain(&self.files)
    }
}

/// The codes of the problems that were logged and have not passed.
#[derive(Clone, Default)]
pub(super) struct LoggedProblems(Arc<Mutex<BTreeSet<&'static str>>>);

impl LoggedProblems {
    /// Logs new problems, and those that passed.
    fn update(&self, readiness: &Readiness) {
        let logged = self.0.lock().clone();
        let codes = readiness.problems().map(|problem| problem.code.as_str());
        let codes: BTreeSet<_> = codes.collect();
        for code in logged.difference(&codes) {
            self.passed(code);
        }
        for problem in readiness.problems() {
            self.found(problem);
        }
    }

    /// Logs a problem, unless one with its code was logged and has not passed.
    fn found(&self, problem: &Problem) {
        if self.0.lock().insert(problem.code.as_str()) {
            tracing::error!(code = %problem.code, error = %problem.message, hint = %problem.hint, "worker not ready");
        }
    }

    /// Logs that a problem has passed, if it was logged.
    fn passed(&self, code: &'static str) {
        if self.0.lock().remove(code) {
            tracing::info!(code, "worker ready again");
        }
    }
}

impl WorkerState {
    /// Tries the journal, the store and the files, and logs what changed.
    pub async fn readiness(&self) -> Readiness {
        let rotator = &self.runner.rotator;
        let roots: BTreeSet<PathBuf> = (self.rotations().iter())
            .filter_map(|rotation| rotation.tls.ca_file.clone())
            .collect();
        let files = tokio::task::spawn_blocking(move || {
            roots.iter().filter_map(|file| unusable(file)).collect()
        });
        let journal = timeout(PATIENCE, rotator.journal.ping());
        let store = timeout(PATIENCE, rotator.context.store.ping());
        let (journal, store, files) = tokio::join!(journal, store, files);
        let readiness = Readiness {
            journal: problem_of(journal, Code::JournalUnavailable),
            store: problem_of(store, Code::StoreUnavailable),
            files: files.unwrap_or_default(),
        };
        self.logged_problems.update(&readiness);
        readiness
    }

    /// Tries the journal alone, and logs what changed.
    pub(super) async fn check_journal(&self) {
        let answer = timeout(PATIENCE, self.runner.rotator.journal.ping()).await;
        match problem_of(answer, Code::JournalUnavailable) {
            Some(problem) => self.logged_problems.found(&problem),
            None => self
                .logged_problems
                .passed(Code::JournalUnavailable.as_str()),
        }
    }

    /// Logs at the start of the worker what would fail its runs.
    pub async fn log_readiness(&self) {
        let readiness = self.readiness().await;
        if readiness.store.is_none() {
            self.log_masters().await;
        }
    }

    /// Logs which master secrets of the config cannot be read.
    async fn log_masters(&self) {
        let rotations = self.rotations();
        let masters: BTreeSet<&str> = (rotations.iter())
            .filter_map(|rotation| rotation.master_secret.as_deref())
            .collect();
        let store = &self.runner.rotator.context.store;
        for secret in masters.into_iter().take(MAX_MASTERS) {
            let read = store.get(secret, Selector::Stage(stage::CURRENT)).await;
            if let Err(error) = read {
                tracing::error!(secret, code = %error.code(), %error, hint = %error.hint(), "master secret not readable");
            }
        }
    }
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
