//! The served store: applications read and write the embedded store with the clients that they have for
//! Secrets Manager, or for AWS's own agent on a machine.
//!
//! | route | |
//! | --- | --- |
//! | `POST /` | Secrets Manager's API (`store::local::api`), signed with a key |
//! | `GET /secretsmanager/get`, `GET /v1/{secret}` | the interface of AWS's agent, with a key's token |
//! | `GET /ping` | this process is alive; open to all |
//!
//! What can go wrong, and what prevents it:
//! - somebody without a key reads a secret, or with a key more than it may: `signature.rs` says whose a request
//!   is before its body is read, and every action asks the key before it looks at a secret;
//! - secrets travel in clear: only loopback is listened to without TLS, which the config sees to;
//! - a key is not known here for what it may do, or who used it: every change and every refusal of a known key
//!   is in the audit log, and everything is counted;
//! - a huge or slow request: bodies are limited to what the largest value takes, and requests to 30 seconds;
//! - reads get in the way of rotations: they have connections of their own, and most of them are answered from
//!   memory.

mod agent;
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
use crate::local::api::{action_of, perform, respond};
use crate::local::{LocalStore, Refusal, RefusalKind};
use twinkey_core::telemetry::Clock;
use twinkey_core::telemetry::metrics::Metrics;

use self::keys::{AccessKey, AccessKeys};
use self::keys_file::KeysFileError;
use self::request_log::RequestLog;
use self::signature::SignatureClaim;

/// A value of 65,536 bytes as JSON takes at most six times that (`\u0000`), and the rest of a request less
/// than this leaves.
const MAX_BODY: usize = 512 * 1024;
/// The longest that a request may take to be answered.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How often the file of the keys is looked at.
const PACE: Duration = Duration::from_secs(5);

/// What requests are answered from.
pub struct Served {
    store: Arc<LocalStore>,
    keys: ArcSwap<AccessKeys>,
    metrics: Metrics,
    clock: Clock,
}

impl Served {
    /// Serves this store to those who have one of these keys.
    #[must_use]
    pub fn new(store: Arc<LocalStore>, keys: AccessKeys, metrics: Metrics, clock: Clock) -> Self {
        Self {
            store,
            keys: ArcSwap::from_pointee(keys),
            metrics,
            clock,
        }
    }

    /// Closes the store.
    pub async fn close(&self) {
        self.store.close().await;
    }

    fn keys(&self) -> Arc<AccessKeys> {
        self.keys.load_full()
    }

    /// Reads the keys again whenever their file has changed, for as long as it is not dropped. A file that
    /// cannot be used leaves the old keys in force.
    pub async fn renew_keys(&self, file: PathBuf) {
        let mut was = std::fs::read(&file).ok();
        loop {
            self.clock.sleep(PACE).await;
            let is = std::fs::read(&file).ok();
            if is == was {
                continue;
            }
            was = is;
            match self.read_keys(&file) {
                Ok(keys) => {
                    let keys_now = keys.len();
                    self.keys.store(Arc::new(keys));
                    tracing::info!(
                        keys = keys_now,
                        "the keys of the served store were read again"
                    );
                }
                Err(error) => {
                    tracing::error!(%error, "the new keys of the served store are refused, the old ones stay in force");
                }
            }
        }
    }

    fn read_keys(&self, file: &std::path::Path) -> Result<AccessKeys, KeysFileError> {
        keys_file::read(file, &self.store)
    }
}

/// The served store's routes.
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

/// Ends requests that take too long, so that they cannot pile up.
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
    let mut log = RequestLog::new(&served.metrics, "api", peer);
    let (answer, body) = match authenticated(&served, request).await {
        Ok((key, head, body)) => {
            log.key = Some(Arc::clone(&key));
            let answer = match action_of(&head.headers) {
                Ok(action) => {
                    log.action = Some(action);
                    perform(&served.store, &*key, action, &body).await
                }
                Err(refusal) => Err(refusal),
            };
            (answer, body)
        }
        Err(refusal) => (Err(refusal), Bytes::new()),
    };
    log.finish(answer.as_ref().err(), || request_log::secret_of(&body));
    respond(answer)
}

/// Whose request it is, and its body.
async fn authenticated(
    served: &Served,
    request: Request,
) -> Result<(Arc<AccessKey>, axum::http::request::Parts, Bytes), Refusal> {
    let (head, body) = request.into_parts();
    let claim = SignatureClaim::read(&head)?;
    let key = served
        .keys()
        .by_id(claim.key_id())
        .ok_or_else(signature::unrecognized)?;
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
