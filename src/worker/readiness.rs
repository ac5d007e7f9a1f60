//! Readiness of a worker: what would fail its runs, whichever rotation they are of.
//!
//! # Failure modes
//! - The worker starts without credentials of AWS, without a region or with a missing file of roots,
//!   and its first window fails. All are tried at the start and for `/readyz`.
//! - Thousands of rotations name one file of roots, or one master. Each is read once, and of the
//!   masters at most [`MAX_MASTERS`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::worker::state::WorkerState;
use twinkey_core::code::{Code, Diagnostic, Problem};
use twinkey_engines::tls::client_config;
use twinkey_stores::{Selector, stage};

/// Master secrets that are read at the start.
const MAX_MASTERS: usize = 20;

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

impl WorkerState {
    /// Tries the journal, the store and the files.
    pub async fn readiness(&self) -> Readiness {
        let rotator = &self.runner.rotator;
        let roots: BTreeSet<PathBuf> = (self.rotations().iter())
            .filter_map(|rotation| rotation.tls.ca_file.clone())
            .collect();
        let files = tokio::task::spawn_blocking(move || {
            roots.iter().filter_map(|file| unusable(file)).collect()
        });
        let (journal, store, files) =
            tokio::join!(rotator.journal.ping(), rotator.context.store.ping(), files);
        Readiness {
            journal: journal.err().map(|error| error.problem()),
            store: store.err().map(|error| error.problem()),
            files: files.unwrap_or_default(),
        }
    }

    /// Logs at the start of the worker what would fail its runs.
    pub async fn log_readiness(&self) {
        let readiness = self.readiness().await;
        for problem in readiness.problems() {
            tracing::error!(code = %problem.code, error = %problem.message, hint = %problem.hint, "worker not ready");
        }
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

/// The problem of a file of roots.
fn unusable(file: &Path) -> Option<Problem> {
    let error = client_config(Some(file)).err()?;
    Some(Problem {
        code: Code::ConfigInvalid,
        message: format!("tls.ca_file: {error}"),
        hint: "name a readable PEM file with at least one certificate".into(),
    })
}
