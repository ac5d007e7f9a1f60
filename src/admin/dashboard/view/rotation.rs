//! The page of one rotation.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::standing::{badge, told};
use super::time::{length, when};
use super::{Frame, Tone, notice, pair, steps, timeline};
use crate::admin::dashboard::actions::Action;
use crate::admin::dashboard::door::Visitor;
use crate::config::settings::{InUse, Rotation};
use crate::journal::{Run, RunState};
use crate::worker::views::{RotationState, RotationView};

/// What the page shows.
pub(in crate::admin::dashboard) struct Shown<'a> {
    pub visitor: &'a Visitor,
    pub worker: &'a str,
    pub now: DateTime<Utc>,
    pub rotation: &'a Rotation,
    pub view: &'a RotationView,
    /// What the heartbeat says of AWSCURRENT: `None` where it was not tried.
    pub refused: Option<bool>,
    /// What somebody has just done.
    pub done: Option<Action>,
    /// Newest first; one more than is shown where there are more.
    pub runs: &'a [Run],
    /// Whether these are the newest.
    pub from_the_newest: bool,
}

/// The page.
pub(in crate::admin::dashboard) fn page(shown: &Shown) -> Markup {
    let (view, now) = (shown.view, shown.now);
    let name = &view.name;
    let main = html! {
        nav.trail aria-label="Breadcrumb" { a href="/" { "Rotations" } " / " span aria-current="page" { (name) } }
        @if let Some(done) = shown.done { div #done { (notice(Tone::Good, done.done(), None, None)) } }
        div #standing data-live data-rotation=(name) {
            div.title { h1 { (name) } (badge(view.state.as_str())) }
            @for told in told(view, shown.refused == Some(true)) { (told.notice()) }
            (pair::picture(view))
            (facts(shown))
            (actions(view))
            @if let Some(run) = &view.last_run {
                section.card aria-labelledby="run-heading" {
                    h2 #run-heading {
                        @if run.state == RunState::Running { "The run that is on" } @else { "The last run" }
                    }
                    (steps::list(run, now))
                }
            } @else {
                // For the script, which fills it when the first run begins.
                section.card aria-labelledby="run-heading" {
                    h2 #run-heading { "The first run" }
                    (steps::line(None))
                }
            }
        }
        section #look .card aria-labelledby="look-heading" data-look={ "/rotations/" (name) "/look" } {
            h2 #look-heading { "At the database" }
            p { "Who is signed in as the standby, what speaks against a run, and what the next one would do." }
            p { a.button href={ "/rotations/" (name) "/look" } { "Look now" } }
        }
        (timeline::history(shown.runs, name, now, shown.from_the_newest))
    };
    let follows = format!("/v1/events?rotation={name}");
    let frame = Frame {
        title: name,
        visitor: Some(shown.visitor),
        follows: Some(&follows),
        worker: Some(shown.worker),
    };
    frame.around(&main)
}

fn facts(shown: &Shown) -> Markup {
    let (view, rotation, now) = (shown.view, shown.rotation, shown.now);
    let fact = |what: &str, is: Markup| html! { div { dt { (what) } dd { (is) } } };
    html! {
        dl.facts {
            (fact("Secret", html! { (view.secret) }))
            @if let Some(engine) = &view.engine {
                (fact("Engine", html! { (engine) @if let Some(host) = &view.host { " on " (host) } }))
            }
            (fact("Last success", view.last_success.map_or(html! { "never" }, |at| when(at, now))))
            (fact("Next window", match view.next_window {
                Some(window) => html! {
                    (when(window.opens, now)) ", for " (length(window.closes - window.opens))
                },
                None if view.state == RotationState::Paused => html! { "none while paused" },
                None => html! { "none: on demand only" },
            }))
            @if let Some(plan) = &rotation.windows {
                (fact("Schedule", html! { code { (plan.schedule) } }))
            }
            (fact("At least between two flips", html! { (of(rotation.min_interval)) }))
            (fact("Standby in use", html! {
                (match rotation.in_use {
                    InUse::Wait => "the run waits inside its window",
                    InUse::Refuse => "the run is refused",
                    InUse::Ignore => "no matter",
                })
            }))
            @if let Some(after) = rotation.retire_after {
                (fact("AWSPREVIOUS is locked", html! { (of(after)) " after a flip" }))
            }
            @if let Some(refused) = shown.refused {
                (fact("AWSCURRENT between the windows", html! {
                    @if refused { "does not sign in" } @else { "signs in" }
                }))
            }
        }
    }
}

/// A length of time of the config.
pub(super) fn of(duration: Duration) -> String {
    if duration.is_zero() {
        return "no time".into();
    }
    TimeDelta::from_std(duration).map_or_else(|_| format!("{duration:?}"), length)
}

fn actions(view: &RotationView) -> Markup {
    html! {
        div.actions role="group" aria-label="What can be done" {
            @for action in Action::ALL.into_iter().filter(|action| action.fits(view.state)) {
                a.button .primary[action == Action::Rotate] id={ "do-" (action.as_str()) }
                    href={ "/rotations/" (view.name) "/" (action.as_str()) } { (action.title()) "…" }
            }
        }
    }
}
