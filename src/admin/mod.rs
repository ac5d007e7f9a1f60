//! The admin endpoint. Its routes, all of them:
//!
//! | route | |
//! | --- | --- |
//! | `GET /healthz` | this process is alive; open to all |
//! | `GET /readyz` | journal and store answer, schedules are armed; open to all |
//! | `GET /v1/rotations`, `GET /v1/rotations/{name}` | as `status --json` |
//! | `POST /v1/rotations/{name}/rotate` | begins a run |
//! | `GET /v1/runs/{id}` | a run with its steps |
//!
//! What can go wrong, and what prevents it:
//! - somebody without the token does something: the token is asked for in one layer around every
//!   route under `/v1`, the unknown ones too, and compared in constant time;
//! - a token is guessable or empty: refused at the start;
//! - a huge or slow request: bodies are limited to 16 KiB and requests to 30 seconds;
//! - an error that a program cannot read: every error is `application/problem+json` (RFC 9457).

pub mod auth;
pub mod problem;
pub mod routes;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};

use crate::admin::auth::Token;
use crate::worker::fleet::Fleet;

const MAX_BODY: usize = 16 * 1024;

/// The endpoint's routes. `token` is `None` only where it listens on loopback alone.
pub fn router(fleet: Fleet, token: Option<Arc<Token>>) -> Router {
    let guarded = Router::new()
        .route("/v1/rotations", get(routes::rotations))
        .route("/v1/rotations/{name}", get(routes::rotation))
        .route("/v1/rotations/{name}/rotate", post(routes::rotate))
        .route("/v1/runs/{id}", get(routes::run))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(token, auth::require));
    Router::new()
        .route("/healthz", get(routes::healthz))
        .route("/readyz", get(routes::readyz))
        .merge(guarded)
        .layer(middleware::from_fn(routes::limit_time))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(fleet)
}
