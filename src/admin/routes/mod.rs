//! What the routes do: read the request, ask the fleet, answer. One file a resource.

pub mod events;
pub mod health;
pub mod rotations;
pub mod runs;
pub mod wish;

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::problem::Answer;

/// The longest that a request may take to be answered.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Ends requests that take too long, so that they cannot pile up. An answer that is a stream may go on.
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
