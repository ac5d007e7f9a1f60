//! Requests with an `Idempotency-Key`: each is executed once, and its answer is repeated.
//!
//! # Failure modes
//! - The client disconnects before the answer. The request is a task of the worker, continues, and
//!   records its answer.
//! - The same request arrives again while the first one is executed, also at another worker. It waits
//!   for that answer, and executes nothing.
//! - The worker exits during a request, so that its effect is not known. Later requests with that key
//!   are refused; the key is forgotten after a week.
//! - A request is refused, and the same one is sent again when its cause is gone. A refused request
//!   changed nothing, and its key is forgotten at once.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admin::problem::ApiError;
use crate::config::settings::Rotation;
use crate::journal::{KeyedRequest, KeyedState};
use crate::rotation::error::RotationError;
use crate::worker::state::WorkerState;
use twinkey_core::code::Code;
use twinkey_core::tasks::Tasks;

/// Time for which a request waits for the answer of the first one with its key. It is below the limit
/// of a request.
const WAIT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// A request that may have an idempotency key.
pub struct Keyed {
    pub state: WorkerState,
    pub rotation: Arc<Rotation>,
    pub key: Option<String>,
    /// The action and the parameters that change its effect.
    pub request: String,
    /// Whether executing it again is safe after a failure that may have had an effect.
    pub is_repeatable: bool,
}

impl Keyed {
    /// Executes the request once, in a task of the worker; the same request later gets the same answer.
    ///
    /// # Errors
    /// Those of `work`; 409 if the key belongs to another request, or the answer of the first
    /// request is not known.
    pub async fn once<T, W>(self, work: W) -> Result<T, ApiError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        W: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        let (tasks, name) = (self.state.tasks.clone(), self.rotation.name.clone());
        as_task(&tasks, &name, async move {
            let Some(request) = self.request() else {
                return work.await;
            };
            match self.first_answer(&request).await? {
                Some(answer) => serde_json::from_value(answer).map_err(|error| internal(&error)),
                None => self.execute(&request, work).await,
            }
        })
        .await
    }

    /// As [`Keyed::once`], for a request that recognises its repetitions itself: it is executed each
    /// time, unless its key belongs to another request.
    ///
    /// # Errors
    /// Those of `work`; 409 if the key belongs to another request.
    pub async fn each_time<T, W>(self, work: W) -> Result<T, ApiError>
    where
        T: Serialize + Send + 'static,
        W: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        let (tasks, name) = (self.state.tasks.clone(), self.rotation.name.clone());
        as_task(&tasks, &name, async move {
            let Some(request) = self.request() else {
                return work.await;
            };
            match self.begin(&request).await? {
                KeyedState::Other { request: other } => Err(used_by(&request.key, &other)),
                KeyedState::New | KeyedState::Open { .. } | KeyedState::Ended(_) => {
                    self.execute(&request, work).await
                }
            }
        })
        .await
    }

    fn request(&self) -> Option<KeyedRequest> {
        Some(KeyedRequest {
            rotation: self.rotation.name.clone(),
            key: self.key.clone()?,
            request: self.request.clone(),
            worker: self.state.runner.rotator.worker.clone(),
            at: self.state.now(),
        })
    }

    async fn begin(&self, request: &KeyedRequest) -> Result<KeyedState, ApiError> {
        let begun = self.state.runner.rotator.journal.begin_keyed(request).await;
        Ok(begun.map_err(RotationError::from)?)
    }

    /// The answer of the first request with this key; `None` if this one is the first.
    async fn first_answer(&self, request: &KeyedRequest) -> Result<Option<Value>, ApiError> {
        let mut waited = Duration::ZERO;
        loop {
            let (worker, at) = match self.begin(request).await? {
                KeyedState::New => return Ok(None),
                KeyedState::Ended(answer) => return Ok(Some(answer)),
                KeyedState::Other { request: other } => return Err(used_by(&request.key, &other)),
                KeyedState::Open { worker, at } => (worker, at),
            };
            if waited >= WAIT {
                return Err(ApiError::new(
                    StatusCode::CONFLICT,
                    format!(
                        "a request with this Idempotency-Key began at {at} in worker {worker:?}, and its end is not recorded"
                    ),
                    "read GET /v1/audit and the rotation for its effect; then use a new key for a new request",
                ));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
            waited += POLL_INTERVAL;
        }
    }

    async fn execute<T: Serialize>(
        &self,
        request: &KeyedRequest,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let result = work.await;
        let journal = &self.state.runner.rotator.journal;
        let recorded = match &result {
            Ok(answer) => {
                let answer = serde_json::to_value(answer).map_err(|error| internal(&error))?;
                journal.end_keyed(request, Some(&answer)).await
            }
            Err(error) if !self.is_repeatable && may_have_changed(error) => Ok(()),
            Err(_) => journal.end_keyed(request, None).await,
        };
        if let Err(error) = recorded {
            tracing::warn!(rotation = %request.rotation, %error, "answer of a keyed request not recorded");
        }
        result
    }
}

/// The result of a task, which completes even if the caller stops waiting.
async fn as_task<T: Send + 'static>(
    tasks: &Tasks,
    rotation: &str,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tasks.spawn("action", rotation, work).await.ok().flatten();
    done.unwrap_or_else(|| Err(RotationError::Internal("the action did not end".into()).into()))
}

/// Whether a request may have had an effect although it failed.
fn may_have_changed(error: &ApiError) -> bool {
    matches!(
        error.code(),
        Some(
            Code::JournalUnavailable
                | Code::StoreUnavailable
                | Code::StoreThrottled
                | Code::Internal
        )
    )
}

fn internal(error: &dyn std::error::Error) -> ApiError {
    RotationError::Internal(error.to_string()).into()
}

fn used_by(key: &str, request: &str) -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        format!("the Idempotency-Key {key:?} belongs to another request: {request}"),
        "use a new key for each request; repeat a key only with the same request",
    )
}
