//! The admin endpoint. Its routes, all of them:
//!
//! | route | |
//! | --- | --- |
//! | `GET /healthz` | this process is alive; open to all |
//! | `GET /readyz` | journal and store answer, schedules are armed; open to all |
//! | `GET /openapi.json` | what this table says, for programs; open to all |
//! | `GET /metrics` | for Prometheus |
//! | `GET /v1/rotations`, `GET /v1/rotations/{name}` | as `status --json` |
//! | `POST /v1/rotations/{name}/rotate` | begins a run |
//! | `POST /v1/rotations/{name}/rollback` | back to AWSPREVIOUS |
//! | `POST /v1/rotations/{name}/pause`, `…/resume` | its schedule |
//! | `GET /v1/rotations/{name}/plan`, `…/check` | as the commands |
//! | `GET /v1/runs`, `GET /v1/runs/{id}` | runs with their steps |
//! | `GET /v1/events` | every step of every run, as it happens |
//! | `GET /` and what is below it | the [`dashboard`], which lists its own |
//!
//! What can go wrong, and what prevents it:
//! - somebody without the token does something: the token is asked for in one layer around every
//!   route but the three that are open, the unknown ones too, and compared in constant time;
//! - a token is guessable or empty: refused at the start;
//! - a huge or slow request: bodies are limited to 16 KiB and requests to 30 seconds;
//! - an error that a program cannot read: every error is `application/problem+json` (RFC 9457);
//! - a route and its description drift apart: a test holds the two together.

pub mod auth;
pub mod dashboard;
pub mod metrics;
pub mod openapi;
pub mod problem;
pub mod renew;
pub mod routes;
pub mod session;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};

use crate::admin::auth::Gate;
use crate::admin::routes::{events, health, rotations, runs};
use crate::worker::fleet::Fleet;

const MAX_BODY: usize = 16 * 1024;

/// A method, a path, and what answers there.
type Route = (&'static str, &'static str, MethodRouter<Fleet>);

/// The routes that are open to all.
fn open() -> Vec<Route> {
    vec![
        ("GET", "/healthz", get(health::healthz)),
        ("GET", "/readyz", get(health::readyz)),
        ("GET", "/openapi.json", get(openapi::document)),
    ]
}

/// The routes for those who have the token.
fn guarded() -> Vec<Route> {
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
        ("GET", "/v1/runs", get(runs::runs)),
        ("GET", "/v1/runs/{id}", get(runs::run)),
        ("GET", "/v1/events", get(events::events)),
    ]
}

/// The method and the path of every route there is, the dashboard's included.
#[must_use]
pub fn every_route() -> Vec<(&'static str, &'static str)> {
    let all = open().into_iter().chain(guarded());
    let all = all.map(|(method, path, _)| (method, path));
    all.chain(dashboard::every_route()).collect()
}

fn of(routes: Vec<Route>) -> Router<Fleet> {
    let add = |router: Router<Fleet>, (_, path, answer): Route| router.route(path, answer);
    routes.into_iter().fold(Router::new(), add)
}

/// The endpoint's routes.
pub fn router(fleet: Fleet, gate: Arc<Gate>) -> Router {
    let guarded = of(guarded())
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&gate),
            auth::require,
        ));
    of(open())
        .merge(guarded)
        .merge(dashboard::router(&gate))
        .layer(middleware::from_fn(routes::limit_time))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(fleet)
}
