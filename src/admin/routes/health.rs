//! Routes `GET /healthz` and `GET /readyz`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use crate::rotation::error::RotationError;
use crate::worker::readiness::Readiness;
use crate::worker::state::WorkerState;
use twinkey_core::code::Diagnostic;

/// How long a check is valid.
const MAX_AGE: TimeDelta = TimeDelta::seconds(1);

/// The state of the worker.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ready")]
    status: &'static str,
    /// The reasons why it is not ready, and the stores of `[[store]]` that do not respond, each with its
    /// code where it has one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

/// This process is alive.
#[utoipa::path(get, path = "/healthz", tag = "worker", responses((status = 200, body = Health)))]
pub async fn healthz() -> Json<Health> {
    Json(Health {
        status: "ok",
        problems: Vec::new(),
    })
}

/// Whether the journal and the store of `[secrets]` respond, files of roots can be read, and the schedules
/// are armed. A `[[store]]` that does not respond is reported only.
#[utoipa::path(
    get, path = "/readyz", tag = "worker",
    responses(
        (status = 200, description = "They do", body = Health),
        (status = 503, description = "They do not: see `problems`", body = Health),
    )
)]
pub async fn readyz(
    State(state): State<WorkerState>,
    Extension(cache): Extension<Arc<ReadinessCache>>,
) -> (StatusCode, Json<Health>) {
    let readiness = cache.readiness(&state).await;
    let mut problems: Vec<String> = (readiness.problems())
        .map(|problem| format!("{}: {}", problem.code, problem.message))
        .collect();
    if !state.is_armed() {
        problems.push("schedules are not armed yet".into());
    }
    let (code, status) = if readiness.is_ready() && state.is_armed() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    (code, Json(Health { status, problems }))
}

type Check = Shared<BoxFuture<'static, Arc<Readiness>>>;

/// The last check, which all requests of one second share.
#[derive(Default)]
pub struct ReadinessCache(Mutex<Option<(DateTime<Utc>, Check)>>);

impl ReadinessCache {
    /// The readiness of the worker. A check that a request started is finished without it.
    pub async fn readiness(&self, state: &WorkerState) -> Arc<Readiness> {
        let readiness = {
            let mut last = self.0.lock();
            let now = state.now();
            let is_valid = |(started, check): &(DateTime<Utc>, Check)| {
                check.peek().is_none() || (*started <= now && now - *started < MAX_AGE)
            };
            match last.as_ref().filter(|last| is_valid(last)) {
                Some((_, check)) => check.clone(),
                None => {
                    let checked = state.clone();
                    let work = async move { checked.readiness().await };
                    let check = state.tasks.spawn_owned("readiness check", "", work);
                    let check = async move { Arc::new(check.await.unwrap_or_else(failed)) };
                    let check = check.boxed().shared();
                    *last = Some((now, check.clone()));
                    check
                }
            }
        };
        readiness.await
    }
}

/// The readiness if the check panicked.
fn failed() -> Readiness {
    let error = "the check of journal and store failed; the log has the reason";
    Readiness {
        journal: Some(RotationError::Internal(error.into()).problem()),
        ..Readiness::default()
    }
}
