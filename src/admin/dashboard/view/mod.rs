//! What the pages look like: pure functions of what there is to show.

pub(super) mod confirm;
mod lanes;
pub(super) mod look;
pub(super) mod overview;
mod pair;
pub(super) mod problem;
pub(super) mod rotation;
pub(super) mod sign_in;
mod standing;
mod steps;
pub(super) mod strip;
mod time;
pub(super) mod timeline;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets::{ICON, SCRIPT, STYLE};
use super::door::Visitor;

/// A page as an answer.
pub(super) fn page(status: StatusCode, page: Markup) -> Response {
    (status, Html(page.into_string())).into_response()
}

/// What is around every page.
#[derive(Default)]
struct Frame<'a> {
    title: &'a str,
    /// `None`: nobody has come in.
    visitor: Option<&'a Visitor>,
    /// What the page follows: the path of a stream of events. Without one it stays as it is.
    follows: Option<&'a str>,
    /// Which process shows this.
    worker: Option<&'a str>,
}

impl Frame<'_> {
    fn around(&self, main: &Markup) -> Markup {
        let signed_in = self.visitor.filter(|visitor| visitor.signed_in);
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
                    @if self.follows.is_some() {
                        script src=(SCRIPT) defer {}
                        noscript { meta http-equiv="refresh" content="30"; }
                    }
                }
                body data-follows=[self.follows] {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        a.brand href="/" { img src=(ICON) alt="" width="28" height="28"; "twinkey" }
                        nav aria-label="Pages" {
                            @if self.visitor.is_some() { a href="/" { "Rotations" } }
                        }
                        @if self.follows.is_some() {
                            p #live .live data-state="off" hidden {
                                span.dot aria-hidden="true" {} span.live-word { "Not live" }
                            }
                        }
                        @if let Some(visitor) = signed_in {
                            form method="post" action="/sign-out" {
                                input type="hidden" name="mark" value=(visitor.mark);
                                button.plain type="submit" { "Sign out" }
                            }
                        }
                    }
                    main #main tabindex="-1" { (main) }
                    // Told to those who cannot see that something has moved.
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

/// Good, bad or neither.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Good,
    Warning,
    Bad,
}

impl Tone {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// Something that a person is told: what, the code where there is one, and what to do.
fn notice(tone: Tone, what: &str, code: Option<&str>, hint: Option<&str>) -> Markup {
    let role = if tone == Tone::Good {
        "status"
    } else {
        "alert"
    };
    html! {
        div.notice data-tone=(tone.as_str()) role=(role) {
            p { @if let Some(code) = code { code { (code) } " " } (what) }
            @if let Some(hint) = hint.filter(|hint| !hint.is_empty()) { p.hint { (hint) } }
        }
    }
}

/// A count with its noun.
fn count(n: usize, one: &str, many: &str) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {}", if n == 1 { one } else { many })
}

/// A rotation that has run, for tests.
#[cfg(test)]
pub(super) fn example(name: &str) -> crate::worker::views::RotationView {
    use crate::worker::views::{RotationState, RotationView};
    RotationView {
        name: name.into(),
        secret: format!("prod/{name}/db"),
        engine: Some("postgres".into()),
        host: Some("db.example".into()),
        active_user: Some("app_clone".into()),
        standby_user: Some("app".into()),
        state: RotationState::Idle,
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
    fn a_page_holds_no_script_and_no_style_of_its_own_and_asks_nobody_else() {
        let frame = Frame {
            title: "<t>",
            follows: Some("/v1/events"),
            ..Frame::default()
        };
        let page = frame.around(&html! { p { "<script>" } }).into_string();
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
        assert_eq!(scripts.len(), 1, "the one that is served");
        let refresh = "<noscript><meta http-equiv=\"refresh\"";
        assert!(
            page.contains(refresh),
            "it loads itself anew where there is no script"
        );
    }

    #[test]
    fn a_count_is_written_as_people_write_it() {
        assert_eq!(count(1, "window", "windows"), "1 window");
        assert_eq!(count(0, "window", "windows"), "0 windows");
        assert_eq!(count(1_234_567, "window", "windows"), "1,234,567 windows");
    }
}
