//! The dashboard: pages for people, made on the server, of the same functions that the API asks.
//!
//! | route | |
//! | --- | --- |
//! | `GET /assets/…` | style, script and icon; open to all |
//! | `GET /sign-in`, `POST /sign-in` | the token, once; open to all |
//! | `POST /sign-out` | ends the session in this browser |
//! | `GET /` | every rotation, and the windows of the next 24 hours |
//! | `GET /rotations/{name}` | one rotation with its history |
//! | `GET /rotations/{name}/look` | what a look at its database finds: sessions, findings, plan |
//! | `GET /rotations/{name}/rotate`, `…/rollback`, `…/pause`, `…/resume` | what it would do |
//! | `POST /rotations/{name}/rotate`, `…` | does it |
//!
//! What can go wrong, and what prevents it:
//! - somebody without the token sees or does something: [`door`] is one layer around every route but those that
//!   are open, and lets nobody in without a session;
//! - another site sends a form in somebody's browser: the cookie is `SameSite=Strict`, a foreign `Origin` is
//!   refused, and the door, not each route, asks every `POST` for the session's mark;
//! - what a database or a secret is called becomes script: everything is escaped where it is written, and
//!   the Content-Security-Policy lets no script run but the one that is served here;
//! - a page grows with the number of rotations: 50 rows, 20 runs and 96 columns are the most that is drawn;
//! - the page shows something else than what is done: it draws the views, plans and findings that the API gives;
//! - the browser runs no script, or loses the stream: the pages are whole without, and load themselves anew.

mod actions;
mod assets;
mod door;
mod pages;
mod select;
mod view;

use std::sync::Arc;

use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router, middleware};

use crate::admin::Route;
use crate::admin::auth::Gate;
use crate::admin::dashboard::actions::Action;
use crate::admin::problem::Answer;
use crate::worker::fleet::Fleet;

/// The routes that are open to all.
pub(super) fn open() -> Vec<Route> {
    vec![
        ("GET", assets::STYLE, get(assets::style)),
        ("GET", assets::SCRIPT, get(assets::script)),
        ("GET", assets::ICON, get(assets::icon)),
        ("GET", "/sign-in", get(door::to_the_start)),
        ("POST", "/sign-in", post(door::sign_in)),
    ]
}

/// The routes for those who have signed in.
pub(super) fn guarded() -> Vec<Route> {
    let mut routes: Vec<Route> = vec![
        ("GET", "/", get(pages::overview)),
        ("GET", "/rotations/{name}", get(pages::rotation)),
        ("GET", "/rotations/{name}/look", get(pages::look)),
        ("POST", "/sign-out", post(door::sign_out)),
    ];
    for action in Action::ALL {
        let confirm =
            get(move |fleet, visitor, named| actions::confirm(action, fleet, visitor, named));
        let carry_out = post(move |fleet, visitor, peer, named, form| {
            actions::carry_out(action, fleet, visitor, peer, named, form)
        });
        routes.push(("GET", action.route(), confirm));
        routes.push(("POST", action.route(), carry_out));
    }
    routes
}

/// The method and the path of every page and what belongs to it: what [`super::every_route`] has besides the
/// API, which the OpenAPI document describes.
#[must_use]
pub fn every_route() -> Vec<(&'static str, &'static str)> {
    let all = open().into_iter().chain(guarded());
    all.map(|(method, path, _)| (method, path)).collect()
}

pub(super) fn router(gate: &Arc<Gate>) -> Router<Fleet> {
    let door = middleware::from_fn_with_state(Arc::clone(gate), door::door);
    let threshold = middleware::from_fn_with_state(Arc::clone(gate), door::threshold);
    super::of(guarded())
        .method_not_allowed_fallback(method_not_allowed)
        .layer(door)
        .merge(super::of(open()).method_not_allowed_fallback(method_not_allowed))
        .layer(Extension(Arc::clone(gate)))
        .layer(threshold)
}

/// A problem as a page.
struct Trouble(Answer);

impl<T: Into<Answer>> From<T> for Trouble {
    fn from(problem: T) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        view::page(self.0.status(), view::problem::page(&self.0))
    }
}

async fn method_not_allowed(method: Method, uri: Uri) -> Trouble {
    Trouble(Answer::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} has no method {method}", uri.path()),
        "begin at the list of rotations",
    ))
}
