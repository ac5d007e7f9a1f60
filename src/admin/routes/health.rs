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

use crate::worker::state::WorkerState;

/// How long a check of journal and store is valid.
const MAX_AGE: TimeDelta = TimeDelta::seconds(1);

/// The state of the worker.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ready")]
    status: &'static str,
    /// The reasons why it is not ready.
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

/// Whether journal and store respond and the schedules are armed.
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
    let mut problems = cache.problems(&state).await;
    if !state.is_armed() {
        problems.push("schedules are not armed yet".into());
    }
    let (code, status) = if problems.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    (code, Json(Health { status, problems }))
}

type Problems = Shared<BoxFuture<'static, Vec<String>>>;

/// The last check of journal and store, which all requests of one second share.
#[derive(Default)]
pub struct ReadinessCache(Mutex<Option<(DateTime<Utc>, Problems)>>);

impl ReadinessCache {
    /// The problems of journal and store. A check that a request started is finished without it.
    async fn problems(&self, state: &WorkerState) -> Vec<String> {
        let problems = {
            let mut last = self.0.lock();
            let now = state.now();
            let is_valid = |(started, check): &(DateTime<Utc>, Problems)| {
                check.peek().is_none() || (*started <= now && now - *started < MAX_AGE)
            };
            match last.as_ref().filter(|last| is_valid(last)) {
                Some((_, check)) => check.clone(),
                None => {
                    let check = tokio::spawn(check(state.clone()));
                    let failed = |_| vec!["the check of journal and store failed".to_owned()];
                    let check = async move { check.await.unwrap_or_else(failed) };
                    let check = check.boxed().shared();
                    *last = Some((now, check.clone()));
                    check
                }
            }
        };
        problems.await
    }
}

async fn check(state: WorkerState) -> Vec<String> {
    let rotator = &state.runner.rotator;
    let (journal, store) = tokio::join!(rotator.journal.ping(), rotator.context.store.ping());
    let journal = journal.err().map(|error| error.to_string());
    let store = store.err().map(|error| error.to_string());
    journal.into_iter().chain(store).collect()
}
