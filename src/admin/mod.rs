//! Admin endpoint of the worker. All routes:
//!
//! | route | |
//! | --- | --- |
//! | `GET /healthz` | this process is alive; public |
//! | `GET /readyz` | journal and store respond, schedules are armed; public |
//! | `GET /openapi.json` | this table, for programs; public |
//! | `GET /metrics` | for Prometheus |
//! | `GET /v1/rotations`, `GET /v1/rotations/{name}` | as `status --json` |
//! | `POST /v1/rotations/{name}/rotate` | starts a run |
//! | `POST /v1/rotations/{name}/rollback` | moves AWSCURRENT back to AWSPREVIOUS |
//! | `POST /v1/rotations/{name}/pause`, `…/resume` | pauses or resumes the schedule |
//! | `GET /v1/rotations/{name}/plan`, `…/check` | as the commands of this name |
//! | `GET /v1/runs`, `GET /v1/runs/{id}` | runs with their steps |
//! | `GET /v1/events` | a stream of every step of every run |
//! | `GET /` and paths below it | the `dashboard`, which lists its routes |
//!
//! # Failure modes
//! - A client without a token calls a route: one middleware around all routes but the three public ones,
//!   unknown paths included, requires a token and compares it in constant time.
//! - A viewer changes something: the same middleware requires an operator for every method but `GET` and
//!   `HEAD`.
//! - A token sees rotations that are not its own: [`routes::request::RotationPath`] finds only its own, and
//!   each list is filtered by [`auth::Authenticated`].
//! - A token is short or empty: the worker refuses it at start.
//! - Clients without a token make the worker call the store: `/readyz` does so once a second at most.
//! - A request is huge or slow: bodies are limited to 16 KiB and requests to 30 seconds.
//! - A program cannot parse an error: every error is `application/problem+json` (RFC 9457).
//! - A route and its description differ: a test compares them.

mod address;
pub mod auth;
#[cfg(feature = "dashboard")]
pub mod dashboard;
mod exposition;
pub mod exposure;
pub mod idempotency;
pub mod metrics;
pub mod openapi;
pub mod problem;
pub mod reload;
pub mod routes;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};

use crate::admin::auth::TokenAuth;
use crate::admin::routes::health::ReadinessCache;
use crate::admin::routes::{audit, discovery, events, health, rotations, runs};
use crate::worker::state::WorkerState;

/// The longest request body, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// A method, a path and its handler.
type Route = (&'static str, &'static str, MethodRouter<WorkerState>);

/// The routes without authentication.
fn public_routes() -> Vec<Route> {
    vec![
        ("GET", "/healthz", get(health::healthz)),
        ("GET", "/readyz", get(health::readyz)),
        ("GET", "/openapi.json", get(openapi::document)),
    ]
}

/// The routes that require a token.
fn authenticated_routes() -> Vec<Route> {
    vec![
        ("GET", "/metrics", get(metrics::metrics)),
        ("GET", "/v1/rotations", get(rotations::rotations)),
        ("GET", "/v1/rotations/{name}", get(rotations::rotation)),
        (
            "POST",
            "/v1/rotations/{name}/rotate",
            post(rotations::rotate),
        ),
        (
            "POST",
            "/v1/rotations/{name}/rollback",
            post(rotations::rollback),
        ),
        ("POST", "/v1/rotations/{name}/pause", post(rotations::pause)),
        (
            "POST",
            "/v1/rotations/{name}/resume",
            post(rotations::resume),
        ),
        ("GET", "/v1/rotations/{name}/plan", get(rotations::plan)),
        ("GET", "/v1/rotations/{name}/check", get(rotations::check)),
        ("GET", "/v1/audit", get(audit::records)),
        ("GET", "/v1/discovered", get(discovery::discovered)),
        ("GET", "/v1/runs", get(runs::runs)),
        ("GET", "/v1/runs/{id}", get(runs::run)),
        ("GET", "/v1/events", get(events::events)),
    ]
}

/// The method and the path of every route, including the dashboard's.
#[must_use]
pub fn all_routes() -> Vec<(&'static str, &'static str)> {
    let all = public_routes().into_iter().chain(authenticated_routes());
    let all = all.map(|(method, path, _)| (method, path));
    #[cfg(feature = "dashboard")]
    let all = all.chain(dashboard::all_routes());
    all.collect()
}

fn build_router(routes: Vec<Route>) -> Router<WorkerState> {
    let add = |router: Router<WorkerState>, (_, path, handler): Route| router.route(path, handler);
    routes.into_iter().fold(Router::new(), add)
}

/// The router of the endpoint.
pub fn router(state: WorkerState, auth: Arc<TokenAuth>) -> Router {
    let authenticated = build_router(authenticated_routes())
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&auth),
            auth::require,
        ));
    let router = build_router(public_routes())
        .merge(authenticated)
        .layer(Extension(Arc::<ReadinessCache>::default()));
    #[cfg(feature = "dashboard")]
    let router = router.merge(dashboard::router(&auth));
    router
        .layer(middleware::from_fn(routes::limit_time))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}
