//! Handlers of the API, one file per resource.

pub mod actions;
pub mod audit;
pub mod discovery;
pub mod events;
pub mod health;
pub mod request;
pub mod rotations;
pub mod runs;

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::problem::ApiError;

/// The longest time until the response starts.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Ends requests that take too long, so that they cannot accumulate. A streamed body may continue.
pub async fn limit_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(TIME_LIMIT, next.run(request))
        .await
        .unwrap_or_else(|_| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the request took longer than {} s", TIME_LIMIT.as_secs()),
                "try again; if it persists, check GET /readyz",
            )
            .into_response()
        })
}
