//! What the routes do: read the request, ask the fleet, answer.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::admin::problem::Answer;
use crate::journal::Run;
use crate::rotation::error::RotationError;
use crate::telemetry::AUDIT;
use crate::worker::fleet::Fleet;
use crate::worker::views::RotationView;

/// The longest that a request may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// The longest idempotency key, as of the IETF draft's recommendation to bound it.
const MAX_KEY: usize = 255;

/// Ends requests that take too long, so that they cannot pile up.
pub async fn limit_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(TIME_LIMIT, next.run(request))
        .await
        .unwrap_or_else(|_| {
            Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the request took longer than {} s", TIME_LIMIT.as_secs()),
                "try again; if it persists, look at GET /readyz",
            )
            .into_response()
        })
}

/// What `/healthz` and `/readyz` answer.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

/// `GET /healthz`
pub async fn healthz() -> Json<Health> {
    Json(Health {
        status: "ok",
        problems: Vec::new(),
    })
}

/// `GET /readyz`
pub async fn readyz(State(fleet): State<Fleet>) -> (StatusCode, Json<Health>) {
    let rotator = &fleet.crew.rotator;
    let (journal, store) = tokio::join!(rotator.journal.ping(), rotator.site.store.ping());
    let mut problems = Vec::new();
    if let Err(error) = journal {
        problems.push(error.to_string());
    }
    if let Err(error) = store {
        problems.push(error.to_string());
    }
    if !fleet.is_armed() {
        problems.push("schedules are not armed yet".into());
    }
    let (code, status) = if problems.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    (code, Json(Health { status, problems }))
}

/// `GET /v1/rotations`
///
/// # Errors
/// 503 when the journal cannot be read.
pub async fn rotations(State(fleet): State<Fleet>) -> Result<Json<Vec<RotationView>>, Answer> {
    Ok(Json(fleet.views().await?))
}

/// `GET /v1/rotations/{name}`
///
/// # Errors
/// 404; 503 when the journal cannot be read.
pub async fn rotation(
    State(fleet): State<Fleet>,
    Path(name): Path<String>,
) -> Result<Json<RotationView>, Answer> {
    let rotation = fleet
        .rotation(&name)
        .ok_or_else(|| Answer::nothing_called("rotation", &name))?;
    Ok(Json(fleet.view(&rotation).await?))
}

/// The body of `POST …/rotate`; all of it is optional.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wish {
    force: bool,
    reason: Option<String>,
}

/// `POST /v1/rotations/{name}/rotate`
///
/// # Errors
/// 400, 404, 409 (`already_running`, `too_soon`), 503.
pub async fn rotate(
    State(fleet): State<Fleet>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Answer> {
    let rotation = fleet
        .rotation(&name)
        .ok_or_else(|| Answer::nothing_called("rotation", &name))?;
    let body = body.map_err(|refused| {
        Answer::new(
            refused.status(),
            refused.body_text(),
            "send {\"force\":false,\"reason\":\"…\"}, or nothing",
        )
    })?;
    let wish: Wish = if body.is_empty() {
        Wish::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| {
            Answer::new(
                StatusCode::BAD_REQUEST,
                format!("the body is not what is asked for: {error}"),
                "send {\"force\":false,\"reason\":\"…\"}, or nothing",
            )
        })?
    };
    let key = idempotency_key(&headers)?;
    tracing::info!(target: AUDIT, rotation = %name, force = wish.force, reason = wish.reason.as_deref().unwrap_or_default(), "rotation asked for through the admin endpoint");
    let run = fleet.rotate(rotation, wish.force, wish.reason, key).await?;
    let location = format!("/v1/runs/{}", run.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(run)).into_response())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Answer> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match key.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY => Ok(Some(key)),
        _ => Err(Answer::new(
            StatusCode::BAD_REQUEST,
            "the Idempotency-Key is empty, too long or not ASCII",
            format!("use 1 to {MAX_KEY} visible ASCII characters"),
        )),
    }
}

/// `GET /v1/runs/{id}`
///
/// # Errors
/// 404; 503 when the journal cannot be read.
pub async fn run(State(fleet): State<Fleet>, Path(id): Path<String>) -> Result<Json<Run>, Answer> {
    let nothing = || Answer::nothing_called("run", &id);
    let uuid: Uuid = id.parse().map_err(|_| nothing())?;
    let journal = &fleet.crew.rotator.journal;
    let run = journal.run(uuid).await.map_err(RotationError::from)?;
    Ok(Json(run.ok_or_else(nothing)?))
}
