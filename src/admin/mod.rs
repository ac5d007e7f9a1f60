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
pub mod listen;
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
use crate::worker::fleet::Fleet;

const MAX_BODY: usize = 16 * 1024;

/// A method, a path, and what answers there.
type Route = (&'static str, &'static str, MethodRouter<Fleet>);

/// The routes that are open to all.
fn open() -> Vec<Route> {
    vec![
        ("GET", "/healthz", get(routes::healthz)),
        ("GET", "/readyz", get(routes::readyz)),
    ]
}

/// The routes for those who have the token.
fn guarded() -> Vec<Route> {
    vec![
        ("GET", "/v1/rotations", get(routes::rotations)),
        ("GET", "/v1/rotations/{name}", get(routes::rotation)),
        ("POST", "/v1/rotations/{name}/rotate", post(routes::rotate)),
        ("GET", "/v1/runs/{id}", get(routes::run)),
    ]
}

/// The method and the path of every route there is.
#[must_use]
pub fn every_route() -> Vec<(&'static str, &'static str)> {
    let all = open().into_iter().chain(guarded());
    all.map(|(method, path, _)| (method, path)).collect()
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
        .layer(middleware::from_fn_with_state(gate, auth::require));
    of(open())
        .merge(guarded)
        .layer(middleware::from_fn(routes::limit_time))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(fleet)
}
