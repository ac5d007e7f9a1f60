//! Served store: applications read and write the embedded store with their existing clients for
//! Secrets Manager or for AWS's agent.
//!
//! | route | |
//! | --- | --- |
//! | `POST /` | Secrets Manager's API (`store::local::api`), signed with a key |
//! | `GET /secretsmanager/get`, `GET /v1/{secret}` | the interface of AWS's agent, with a key's token |
//! | `GET /ping` | liveness of the process, without authentication |
//!
//! # Failure modes
//! - A caller reads a secret without a key, or with a key that lacks the permission. `signature.rs`
//!   authenticates a request before its body is read. Every action authorizes the key first.
//! - Secrets travel in clear. The config permits listening without TLS on loopback addresses only.
//! - The use of a key leaves no trace. The audit log has every change and every refusal of a known
//!   key, and metrics count every request.
//! - A request is very large or slow. Bodies are limited to the size of the largest value, and
//!   requests to 30 seconds.
//! - Reads delay rotations. They use connections of their own, and the cache serves most of them.

mod agent;
mod audit;
pub mod authorization;
pub mod keys;
pub mod keys_file;
pub mod policy;
mod request_log;
mod signature;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};

use crate::SecretStore;
use crate::listener::PeerAddr;
use crate::local::api::{FunctionRuns, RotationService, Rotations, action_of, perform, respond};
use crate::local::{LocalStore, Refusal, RefusalKind};
use twinkey_core::telemetry::Clock;
use twinkey_core::telemetry::metrics::Metrics;

use self::audit::RefusalLimit;
use self::keys::{AccessKey, AccessKeys};
use self::keys_file::KeysFileError;
use self::request_log::{RequestKey, RequestLog};
use self::signature::SignatureClaim;

/// Limit of a request body: six times 65,536 bytes for a value as JSON (`\u0000`), and the
/// remaining parameters.
const MAX_BODY: usize = 512 * 1024;
/// Time limit of a request.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// State of the served store.
pub struct Served {
    store: Arc<LocalStore>,
    rotations: Rotations,
    keys: ArcSwap<AccessKeys>,
    metrics: Metrics,
    clock: Clock,
    /// Whether each read has an audit line.
    audit_reads: bool,
    refusals: RefusalLimit,
}

impl Served {
    /// Serves a store to the holders of these keys.
    #[must_use]
    pub fn new(store: Arc<LocalStore>, keys: AccessKeys, metrics: Metrics, clock: Clock) -> Self {
        Self {
            store,
            rotations: Rotations::default(),
            keys: ArcSwap::from_pointee(keys),
            metrics,
            clock,
            audit_reads: false,
            refusals: RefusalLimit::default(),
        }
    }

    /// Sets whether each read has an audit line (`secrets.serve.audit_reads`).
    #[must_use]
    pub const fn with_audit_of_reads(mut self, audit_reads: bool) -> Self {
        self.audit_reads = audit_reads;
        self
    }

    /// Sets where descriptions of secrets get their rotations.
    #[must_use]
    pub fn with_rotations(mut self, rotations: Arc<dyn RotationService>) -> Self {
        self.rotations.service = rotations;
        self
    }

    /// Sets the rotation functions that RotateSecret may invoke.
    #[must_use]
    pub fn with_functions(mut self, functions: FunctionRuns) -> Self {
        self.rotations.functions = Some(functions);
        self
    }

    /// Stores the days of the last reads.
    pub async fn record_reads(&self) {
        if let Err(error) = self.store.record_reads().await {
            tracing::warn!(%error, "days of the last reads not stored");
        }
    }

    /// Closes the store.
    pub async fn close(&self) {
        self.refusals.report_now();
        self.record_reads().await;
        self.store.close().await;
    }

    fn keys(&self) -> Arc<AccessKeys> {
        self.keys.load_full()
    }

    /// The file of the keys, as it is now.
    #[must_use]
    pub fn keys_file(self: &Arc<Self>, file: PathBuf) -> KeysFile {
        KeysFile {
            served: Arc::clone(self),
            active: std::fs::read(&file).ok(),
            error: None,
            file,
        }
    }

    fn read_keys(&self, file: &std::path::Path) -> Result<AccessKeys, KeysFileError> {
        keys_file::read(file, &self.store)
    }
}

/// The file of the access keys.
///
/// # Failure modes
/// - A removed key keeps its rights: the file was refused after the change, and is valid since its mode
///   was corrected. A refused file is read again at each check.
pub struct KeysFile {
    served: Arc<Served>,
    file: PathBuf,
    /// The content with the active keys.
    active: Option<Vec<u8>>,
    /// Why the last check refused the file. Logged once.
    error: Option<KeysFileError>,
}

impl KeysFile {
    /// Reads the keys again if the file has changed. An unusable file leaves the previous keys active.
    pub fn check(&mut self) {
        let served = &self.served;
        served.refusals.report_due(served.clock.now());
        let current = std::fs::read(&self.file).ok();
        if current == self.active && self.error.is_none() {
            return;
        }
        match served.read_keys(&self.file) {
            Ok(keys) => {
                let count = keys.len();
                served.keys.store(Arc::new(keys));
                (self.active, self.error) = (current, None);
                tracing::info!(keys = count, "keys of the served store reloaded");
            }
            Err(error) if self.error.as_ref() == Some(&error) => {}
            Err(error) => {
                tracing::error!(%error, "keys of the served store not reloaded; the previous keys stay active");
                self.error = Some(error);
            }
        }
    }
}

/// Routes of the served store.
pub fn router(served: Arc<Served>) -> Router {
    let agent = Router::new()
        .route("/secretsmanager/get", get(agent::by_query))
        .route("/v1/", get(agent::without_secret))
        .route("/v1/{*secret}", get(agent::by_path))
        .route("/ping", get(agent::ping))
        .fallback(agent::not_found)
        .method_not_allowed_fallback(agent::not_allowed)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&served),
            agent::authenticate,
        ));
    Router::new()
        .route("/", post(api))
        .merge(agent)
        .layer(middleware::from_fn(limit_time))
        .with_state(served)
}

/// Ends slow requests, so that they do not accumulate.
async fn limit_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(TIME_LIMIT, next.run(request))
        .await
        .unwrap_or_else(|_| {
            respond(Err(Refusal::new(
                RefusalKind::ServiceUnavailable,
                format!("The request took longer than {} s.", TIME_LIMIT.as_secs()),
            )))
        })
}

/// Secrets Manager's API.
async fn api(
    State(served): State<Arc<Served>>,
    ConnectInfo(peer): ConnectInfo<PeerAddr>,
    request: Request,
) -> Response {
    let mut log = RequestLog::new(&served, "api", peer);
    let (answer, body) = match authenticate(&served, request, &mut log.key).await {
        Ok((key, head, body)) => {
            log.key = RequestKey::Authenticated(Arc::clone(&key));
            let answer = match action_of(&head.headers) {
                Ok(action) => {
                    log.action = Some(action);
                    perform(&served.store, &served.rotations, &*key, action, &body).await
                }
                Err(refusal) => Err(refusal),
            };
            (answer, body)
        }
        Err(refusal) => (Err(refusal), Bytes::new()),
    };
    log.finish(answer.as_ref(), || request_log::secret_of(&body));
    respond(answer)
}

/// The key of a request, its head and its body. `claimed` receives the key that a refused request
/// names.
async fn authenticate(
    served: &Served,
    request: Request,
    claimed: &mut RequestKey,
) -> Result<(Arc<AccessKey>, axum::http::request::Parts, Bytes), Refusal> {
    let (head, body) = request.into_parts();
    let claim = SignatureClaim::read(&head)?;
    let Some(key) = served.keys().by_id(claim.key_id()) else {
        *claimed = RequestKey::Unknown(claim.key_id().to_owned());
        return Err(signature::unrecognized());
    };
    *claimed = RequestKey::Claimed(Arc::clone(&key));
    claim.check_time(served.clock.now())?;
    let body = to_bytes(body, MAX_BODY).await.map_err(|_| {
        Refusal::new(
            RefusalKind::RequestTooLarge,
            format!("A request can have at most {MAX_BODY} bytes."),
        )
    })?;
    claim.verify(&head, &body, key.identity())?;
    Ok((key, head, body))
}
