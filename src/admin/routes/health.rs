//! Routes `GET /healthz` and `GET /readyz`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::worker::state::WorkerState;

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
pub async fn readyz(State(state): State<WorkerState>) -> (StatusCode, Json<Health>) {
    let rotator = &state.runner.rotator;
    let (journal, store) = tokio::join!(rotator.journal.ping(), rotator.context.store.ping());
    let mut problems = Vec::new();
    if let Err(error) = journal {
        problems.push(error.to_string());
    }
    if let Err(error) = store {
        problems.push(error.to_string());
    }
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
