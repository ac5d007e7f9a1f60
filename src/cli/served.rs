//! The served store inside `twinkey serve`: opened and listening before the worker begins, and ended with it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::reload::reload_certificate;
use crate::config::settings::SecretsBackend;
use twinkey_core::code::Code;
use twinkey_core::telemetry::Clock;
use twinkey_stores::listener::{Identity, Listener, Peer};
use twinkey_stores::local::LocalStore;
use twinkey_stores::served::{Served, keys_file, router};

use super::context::Context;
use super::failure::Failure;

/// It listens, and takes no connection yet.
pub(super) struct Bound {
    served: Arc<Served>,
    listener: Listener,
    identity: Option<Arc<Identity>>,
    keys_file: PathBuf,
}

/// Opens the served store of a config, if it has one.
pub(super) async fn open(context: &Context) -> Result<Option<Bound>, Failure> {
    let SecretsBackend::Local {
        path,
        key_file,
        serve: Some(serve),
    } = &context.settings.secrets
    else {
        return Ok(None);
    };
    // On connections of its own: no run waits for one that an application has.
    let store = Arc::new(LocalStore::open(path, key_file).await?);
    let keys = keys_file::read(&serve.keys_file, &store)?;
    if keys.is_empty() {
        tracing::warn!(file = %serve.keys_file.display(), "nobody has a key of the served store yet; `twinkey keys add` makes one");
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
    tracing::info!(listen = %serve.listen, keys = keys.len(), "the store is served");
    let clock = context.rotator.context.clock.clone();
    Ok(Some(Bound {
        served: Arc::new(Served::new(store, keys, context.metrics.clone(), clock)),
        listener,
        identity,
        keys_file: serve.keys_file.clone(),
    }))
}

impl Bound {
    /// Answers from now on, until `closing`.
    pub(super) fn start(self, closing: &CancellationToken, clock: &Clock) -> Running {
        let service =
            router(Arc::clone(&self.served)).into_make_service_with_connect_info::<Peer>();
        let closed = closing.clone().cancelled_owned();
        let endpoint = tokio::spawn(async move {
            let serving = axum::serve(self.listener, service).with_graceful_shutdown(closed);
            if let Err(error) = serving.await {
                tracing::error!(%error, "the store is served no more");
            }
        });
        let served = Arc::clone(&self.served);
        let mut renewals = vec![tokio::spawn(async move {
            served.renew_keys(self.keys_file).await;
        })];
        if let Some(identity) = self.identity {
            renewals.push(tokio::spawn(reload_certificate(identity, clock.clone())));
        }
        Running {
            served: self.served,
            endpoint,
            renewals,
        }
    }
}

/// It answers. Dropping it ends what is still under way.
pub(super) struct Running {
    served: Arc<Served>,
    endpoint: JoinHandle<()>,
    renewals: Vec<JoinHandle<()>>,
}

impl Running {
    /// Waits until the answers under way are given.
    pub(super) async fn end(&mut self) {
        // A task that has panicked has ended as well.
        let _ = (&mut self.endpoint).await;
    }

    /// Closes the store that was served.
    pub(super) async fn close(&self) {
        self.served.close().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.endpoint.abort();
        self.renewals.iter().for_each(JoinHandle::abort);
    }
}
