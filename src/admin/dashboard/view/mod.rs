//! HTML of the pages: pure functions of the data to show.

pub(super) mod bulk_confirm;
pub(super) mod confirm;
pub(super) mod database_check;
pub(super) mod events_page;
pub(super) mod overview;
pub(super) mod parts;
pub(super) mod problem;
pub(super) mod rotation_page;
pub(super) mod sign_in;
pub(super) mod timeline;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::EVENTS;
use super::assets::{ICON, SCRIPT, STYLE};
use super::session_context::SessionContext;

/// A page as an HTTP response.
pub(super) fn page(status: StatusCode, page: Markup) -> Response {
    (status, Html(page.into_string())).into_response()
}

/// The frame around every page.
#[derive(Default)]
struct Frame<'a> {
    title: &'a str,
    /// `None` on pages without a session.
    context: Option<&'a SessionContext>,
    /// The path of the event stream that updates the page; `None` for a static page.
    events: Option<&'a str>,
    /// The worker that renders the page.
    worker: Option<&'a str>,
    /// The path of the page, if the navigation has it.
    path: &'a str,
}

impl Frame<'_> {
    fn wrap(&self, main: &Markup) -> Markup {
        let signed_in = self.context.filter(|context| context.signed_in);
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · twinkey" }
                    link rel="icon" type="image/svg+xml" href=(ICON);
                    link rel="stylesheet" href=(STYLE);
                    @if self.events.is_some() {
                        script src=(SCRIPT) defer {}
                        noscript { meta http-equiv="refresh" content="30"; }
                    }
                }
                body data-events=[self.events] {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        a.brand href="/" { img src=(ICON) alt="" width="28" height="28"; "twinkey" }
                        nav aria-label="Pages" {
                            @if self.context.is_some() {
                                @for (path, title) in [("/", "Rotations"), (EVENTS, "Events")] {
                                    a href=(path) aria-current=[(self.path == path).then_some("page")] {
                                        (title)
                                    }
                                }
                            }
                        }
                        @if self.events.is_some() {
                            p #live .live data-state="off" hidden {
                                span.dot aria-hidden="true" {} span.live-word { "Not live" }
                            }
                        }
                        @if let Some(context) = signed_in {
                            form method="post" action="/sign-out" {
                                input type="hidden" name="csrf_token" value=(context.csrf_token);
                                button.plain type="submit" { "Sign out" }
                            }
                        }
                    }
                    main #main tabindex="-1" { (main) }
                    // Screen readers announce changes from here.
                    p #announcer .unseen role="status" aria-live="polite" {}
                    footer {
                        "twinkey " (env!("CARGO_PKG_VERSION"))
                        @if let Some(worker) = self.worker { " · worker " (worker) }
                        " · all times are UTC"
                    }
                }
            }
        }
    }
}

/// A rotation after a run, for tests.
#[cfg(test)]
pub(super) fn example(name: &str) -> crate::worker::views::RotationView {
    use crate::worker::views::{RotationState, RotationView};
    RotationView {
        paused: None,
        discovered_by: None,
        name: name.into(),
        secret: format!("prod/{name}/db"),
        store: None,
        engine: Some("postgres".into()),
        host: Some("db.example".into()),
        active_user: Some("app_clone".into()),
        standby_user: Some("app".into()),
        state: RotationState::Idle,
        since: None,
        problem: None,
        master_secret: None,
        password_age: None,
        open_window: None,
        next_try: None,
        endpoints: vec![crate::rotation::context::endpoint_states::EndpointStatus {
            host: "db.example:5432".into(),
            kind: crate::rotation::context::endpoint_states::EndpointKind::Secret,
            state: crate::rotation::context::endpoint_states::EndpointState::Up,
        }],
        last_success: "2026-11-25T07:00:05Z".parse().ok(),
        last_run: None,
        next_window: None,
        standby_sessions: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_no_inline_script_or_style_and_no_foreign_url() {
        let frame = Frame {
            title: "<t>",
            events: Some("/v1/events"),
            ..Frame::default()
        };
        let page = frame.wrap(&html! { p { "<script>" } }).into_string();
        assert!(page.contains("&lt;t&gt;") && page.contains("<p>&lt;script&gt;</p>"));
        for not in [
            "style=",
            "<style",
            "onclick",
            "http://",
            "https://",
            "javascript:",
        ] {
            assert!(!page.contains(not), "{not}");
        }
        let scripts: Vec<_> = page.matches("<script").collect();
        assert_eq!(scripts.len(), 1, "only the served script");
        let refresh = "<noscript><meta http-equiv=\"refresh\"";
        assert!(page.contains(refresh), "it reloads without script");
    }
}
