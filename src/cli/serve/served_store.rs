//! Served store inside `twinkey serve`: bound before the worker starts, and stopped with it.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::reload::CertificateFiles;
use crate::config::settings::SecretsBackend;
use crate::worker::housekeeping::HousekeepingJob;
use crate::worker::rotation_functions::HttpFunctions;
use crate::worker::served_rotations::ServedRotations;
use crate::worker::state::WorkerState;
use twinkey_core::code::Code;
use twinkey_core::tasks::Tasks;
use twinkey_stores::listener::{Identity, Listener};
use twinkey_stores::local::LocalStore;
use twinkey_stores::local::api::FunctionRuns;
use twinkey_stores::served::{Served, keys_file, router};

use crate::cli::context::Context;
use crate::cli::failure::Failure;

/// A bound listener that does not accept connections yet.
pub(super) struct BoundStore {
    served: Arc<Served>,
    listener: Listener,
    identity: Option<Arc<Identity>>,
    keys_file: PathBuf,
}

/// Opens the served store of a config, if it has one. It describes the rotations of `state`.
pub(in crate::cli) async fn open(
    context: &Context,
    state: &WorkerState,
) -> Result<Option<BoundStore>, Failure> {
    let SecretsBackend::Local {
        path,
        key_file,
        serve: Some(serve),
    } = &context.settings.secrets
    else {
        return Ok(None);
    };
    // Separate connections, so that no run waits for a connection of an application.
    let store = Arc::new(LocalStore::open(path, key_file).await?);
    let keys = keys_file::read(&serve.keys_file, &store)?;
    if keys.is_empty() {
        tracing::warn!(file = %serve.keys_file.display(), "served store has no access key; create one with `twinkey keys add`");
    }
    let identity = serve.tls.clone().map(Identity::read).transpose();
    let identity = identity.map_err(|error| {
        Failure::usage(
            format!("secrets.serve.tls: {error}"),
            "see [secrets] serve in the config: PEM files, a certificate with its chain and its key",
        )
    })?;
    let identity = identity.map(Arc::new);
    let listener = Listener::bind(serve.listen, identity.clone()).await;
    let listener = listener.map_err(|error| {
        Failure::problem(
            Code::Internal,
            format!(
                "the served store cannot listen on {}: {error}",
                serve.listen
            ),
            "another worker may be running here; set secrets.serve.listen to a free address",
        )
    })?;
    let listener = listener.with_tasks(context.rotator.context.tasks.clone());
    tracing::info!(listen = %serve.listen, keys = keys.len(), "served store listening");
    let clock = context.rotator.context.clock.clone();
    let mut served = Served::new(store, keys, context.metrics.clone(), clock)
        .with_audit_of_reads(serve.audit_reads)
        .with_rotations(Arc::new(ServedRotations::new(state.clone())));
    if !serve.functions.is_empty() {
        let functions = HttpFunctions::new(serve.functions.clone()).map_err(|error| {
            let hint = "install the root certificates of the system (ca-certificates)";
            Failure::problem(Code::Internal, error.to_string(), hint)
        })?;
        let tasks = context.rotator.context.tasks.clone();
        served = served.with_functions(FunctionRuns::new(Arc::new(functions), tasks));
    }
    Ok(Some(BoundStore {
        served: Arc::new(served),
        listener,
        identity,
        keys_file: serve.keys_file.clone(),
    }))
}

impl BoundStore {
    /// The reload of its files.
    pub(in crate::cli) fn jobs(&self) -> Vec<Box<dyn HousekeepingJob>> {
        let mut jobs: Vec<Box<dyn HousekeepingJob>> = vec![
            Box::new(self.served.keys_file(self.keys_file.clone())),
            Box::new(LastReads(Arc::clone(&self.served))),
        ];
        if let Some(identity) = &self.identity {
            let identity = Arc::clone(identity);
            jobs.push(Box::new(CertificateFiles::new(
                "served certificate",
                identity,
            )));
        }
        jobs
    }

    /// Accepts connections until `closing`.
    pub(in crate::cli) fn start(self, closing: &CancellationToken, tasks: &Tasks) -> RunningStore {
        let router = router(Arc::clone(&self.served));
        let closed = closing.clone().cancelled_owned();
        let endpoint = self.listener.serve(router, closed);
        RunningStore {
            served: self.served,
            endpoint: tasks.spawn_service("served store", endpoint),
        }
    }
}

/// The days of the last reads of secrets.
struct LastReads(Arc<Served>);

#[async_trait]
impl HousekeepingJob for LastReads {
    fn name(&self) -> &'static str {
        "last reads"
    }

    fn schedule(&self) -> &'static str {
        "*/5 * * * * *"
    }

    async fn run(&mut self) {
        self.0.record_reads().await;
    }
}

/// A running served store; dropping it aborts open responses.
pub(super) struct RunningStore {
    served: Arc<Served>,
    endpoint: JoinHandle<()>,
}

impl RunningStore {
    /// Waits until open responses have finished.
    pub(super) async fn finish(&mut self) {
        // A panicked task has also finished.
        let _ = (&mut self.endpoint).await;
    }

    /// Closes the store that was served.
    pub(in crate::cli) async fn close(&self) {
        self.served.close().await;
    }
}

impl Drop for RunningStore {
    fn drop(&mut self) {
        self.endpoint.abort();
    }
}
