//! Dashboard: server-rendered pages that use the functions of the API.
//!
//! | route | |
//! | --- | --- |
//! | `GET /assets/…` | style, script and icon; public |
//! | `GET /sign-in`, `POST /sign-in` | sign-in with a token; public |
//! | `POST /sign-out` | ends the session in this browser |
//! | `GET /` | every rotation, and the windows of the next 24 hours |
//! | `GET /pause`, `GET /resume` | the rotations of the list's filter that the action would change |
//! | `POST /pause`, `POST /resume` | executes the action on them |
//! | `GET /events` | runs and other actions of all rotations |
//! | `GET /rotations/{name}` | one rotation with its history |
//! | `GET /rotations/{name}/database-check` | the result of a database check: sessions, findings, plan |
//! | `GET /rotations/{name}/rotate`, `…/rollback`, `…/pause`, `…/resume` | a description of the action |
//! | `POST /rotations/{name}/rotate`, `…` | executes the action |
//!
//! # Failure modes
//! - A client without a token opens a page: [`access::require_session`] is one middleware around all routes
//!   but the public ones, and requires a session. It refuses a viewer's forms.
//! - Another site sends a form in the user's browser: the cookie is `SameSite=Strict`, a foreign `Origin` is
//!   refused, and the middleware, not each route, requires the CSRF token with every `POST`.
//! - The name of a database or secret contains script: all text is escaped when it is rendered, and the
//!   Content-Security-Policy allows only the script that is served here.
//! - A page grows with the number of rotations: it shows at most 50 rows, 20 runs, 50 events
//!   and 96 columns.
//! - A page differs from what an action does: it renders the views, plans and findings of the API.
//! - The browser runs no script or loses the stream: the pages are complete without it and reload.

mod access;
mod action;
mod action_pages;
mod assets;
mod bulk;
mod events;
mod filter;
mod form;
mod pages;
mod session_context;
mod view;

use std::sync::Arc;

use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router, middleware};

use crate::admin::Route;
use crate::admin::auth::TokenAuth;
use crate::admin::dashboard::action::{Action, BulkAction};
use crate::admin::problem::ApiError;
use crate::worker::state::WorkerState;

/// The route of the page of recent events.
const EVENTS: &str = "/events";

/// The routes without authentication.
fn public_routes() -> Vec<Route> {
    vec![
        ("GET", assets::STYLE, get(assets::style)),
        ("GET", assets::SCRIPT, get(assets::script)),
        ("GET", assets::ICON, get(assets::icon)),
        ("GET", "/sign-in", get(access::redirect_to_start)),
        ("POST", "/sign-in", post(access::sign_in)),
    ]
}

/// The routes that require a session.
fn session_routes() -> Vec<Route> {
    let mut routes: Vec<Route> = vec![
        ("GET", "/", get(pages::overview)),
        ("GET", EVENTS, get(events::events)),
        ("GET", "/rotations/{name}", get(pages::rotation)),
        (
            "GET",
            "/rotations/{name}/database-check",
            get(pages::database_check),
        ),
        ("POST", access::SIGN_OUT, post(access::sign_out)),
    ];
    for action in Action::ALL {
        let confirm =
            get(move |state, context, path| action_pages::confirm(action, state, context, path));
        let execute = post(move |state, context, caller, path, form| {
            action_pages::execute(action, state, context, caller, path, form)
        });
        routes.push(("GET", action.route(), confirm));
        routes.push(("POST", action.route(), execute));
    }
    for action in BulkAction::ALL {
        let confirm =
            get(move |state, context, query| bulk::confirm(action, state, context, query));
        let execute = post(move |state, context, caller, query, form| {
            bulk::execute(action, state, context, caller, query, form)
        });
        routes.push(("GET", action.path(), confirm));
        routes.push(("POST", action.path(), execute));
    }
    routes
}

/// The method and the path of every route of the dashboard; the OpenAPI document describes the others.
#[must_use]
pub fn all_routes() -> Vec<(&'static str, &'static str)> {
    let all = public_routes().into_iter().chain(session_routes());
    all.map(|(method, path, _)| (method, path)).collect()
}

pub(super) fn router(auth: &Arc<TokenAuth>) -> Router<WorkerState> {
    let require_session = middleware::from_fn_with_state(Arc::clone(auth), access::require_session);
    let security_headers =
        middleware::from_fn_with_state(Arc::clone(auth), access::security_headers);
    super::build_router(session_routes())
        .method_not_allowed_fallback(method_not_allowed)
        .layer(require_session)
        .merge(super::build_router(public_routes()).method_not_allowed_fallback(method_not_allowed))
        .layer(Extension(Arc::clone(auth)))
        .layer(security_headers)
}

/// An error as a page.
struct ErrorPage(ApiError);

impl<T: Into<ApiError>> From<T> for ErrorPage {
    fn from(problem: T) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for ErrorPage {
    fn into_response(self) -> Response {
        view::page(self.0.status(), view::problem::page(&self.0))
    }
}

async fn method_not_allowed(method: Method, uri: Uri) -> ErrorPage {
    ErrorPage(ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} has no method {method}", uri.path()),
        "open the list of rotations",
    ))
}
