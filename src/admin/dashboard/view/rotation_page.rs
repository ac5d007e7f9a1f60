//! Page of one rotation.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::parts::notice::{Tone, notice};
use super::parts::status::{END_OF_PAUSE, STILL_PAUSED, badge, notices};
use super::parts::time::{config_duration, length, when};
use super::parts::{pair, steps};
use super::{Frame, timeline};
use crate::admin::dashboard::action::Action;
use crate::admin::dashboard::session_context::SessionContext;
use crate::config::settings::{InUse, Rotation};
use crate::journal::{AuditRecord, Pause, Run, RunState};
use crate::worker::views::RotationView;

/// The content of the page.
pub(in crate::admin::dashboard) struct RotationPage<'a> {
    pub context: &'a SessionContext,
    pub worker: &'a str,
    pub now: DateTime<Utc>,
    pub rotation: &'a Rotation,
    pub view: &'a RotationView,
    /// Whether the last heartbeat refused AWSCURRENT; `None` without a heartbeat.
    pub refused: Option<bool>,
    /// The action that was just executed.
    pub done: Option<Action>,
    /// Newest first; one more than shown if there are older runs.
    pub runs: &'a [Run],
    /// Other actions, newest first.
    pub records: &'a [AuditRecord],
    /// Whether these are the newest runs.
    pub is_first_page: bool,
}

/// The page.
pub(in crate::admin::dashboard) fn page(page: &RotationPage) -> Markup {
    let (view, now) = (page.view, page.now);
    let name = &view.name;
    let main = html! {
        nav.trail aria-label="Breadcrumb" { a href="/" { "Rotations" } " / " span aria-current="page" { (name) } }
        @if let Some(action) = page.done { div #done { (done(action, view)) } }
        div #status data-live data-rotation=(name) {
            div.title { h1 { (name) } (badge(view.state.as_str())) }
            @for notice in notices(view) { (notice.render()) }
            (pair::picture(view))
            (facts(page))
            @if page.context.session.principal().is_operator() { (actions(view)) }
            @if let Some(run) = &view.last_run {
                section.card aria-labelledby="run-heading" {
                    h2 #run-heading {
                        @if run.state == RunState::Running { "The current run" } @else { "The last run" }
                    }
                    (steps::list(run, now))
                }
            } @else {
                // The script fills it when the first run starts.
                section.card aria-labelledby="run-heading" {
                    h2 #run-heading { "The first run" }
                    (steps::line(None))
                }
            }
        }
        section #database-check .card aria-labelledby="database-check-heading" data-source={ "/rotations/" (name) "/database-check" } {
            h2 #database-check-heading { "At the database" }
            p { "The sessions of the standby, the findings that would stop a run, and the plan of the next run." }
            p { a.button href={ "/rotations/" (name) "/database-check" } { "Check now" } }
        }
        (timeline::history(page.runs, page.records, name, now, page.is_first_page))
    };
    let events = format!("/v1/events?rotation={name}");
    let frame = Frame {
        title: name,
        context: Some(page.context),
        events: Some(&events),
        worker: Some(page.worker),
        ..Frame::default()
    };
    frame.wrap(&main)
}

/// What the action did. A resume does not end a pause of the config.
fn done(action: Action, view: &RotationView) -> Markup {
    let is_by_config = view.paused.as_ref().is_some_and(Pause::is_by_config);
    if action == Action::Resume && is_by_config {
        return notice(Tone::Warning, STILL_PAUSED, None, Some(END_OF_PAUSE));
    }
    notice(Tone::Good, action.success_message(), None, None)
}

fn facts(page: &RotationPage) -> Markup {
    let (view, rotation, now) = (page.view, page.rotation, page.now);
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl.facts {
            (fact("Secret", html! { (view.secret) @if let Some(store) = &view.store { " in " (store) } }))
            @if let Some(master) = &view.master_secret {
                (fact("Master secret", html! { (master) }))
            }
            @if let Some(engine) = &view.engine {
                (fact("Engine", html! { (engine) @if let Some(host) = &view.host { " on " (host) } }))
            }
            @if view.endpoints.len() > 1 {
                (fact("Endpoints", html! {
                    @for (n, one) in view.endpoints.iter().enumerate() {
                        @if n > 0 { br; }
                        (one.kind.as_str()) " " (one.host) ": " (one.state.as_str())
                    }
                }))
            }
            (fact("Last success", view.last_success.map_or(html! { "never" }, |at| when(at, now))))
            @if let Some(window) = view.open_window {
                (fact("Open window", html! { "until " (when(window.closes, now)) }))
            }
            @if let Some(next) = view.next_try {
                (fact("Next try", when(next, now)))
            }
            (fact("Next window", match view.next_window {
                Some(window) => html! {
                    (when(window.opens, now)) ", for " (length(window.closes - window.opens))
                },
                None if view.paused.is_some() => html! { "none while paused" },
                None => html! { "none: on demand only" },
            }))
            @if let Some(plan) = &rotation.windows {
                (fact("Schedule", html! { code { (plan.schedule) } }))
            }
            (fact("Shortest time between flips", html! { (config_duration(rotation.min_interval)) }))
            (fact("Standby in use", html! {
                (match rotation.in_use {
                    InUse::Wait => "the run waits inside its window",
                    InUse::Refuse => "the run is refused",
                    InUse::Ignore => "ignored",
                })
            }))
            @if let Some(after) = rotation.retire_after {
                (fact("AWSPREVIOUS is locked", html! { (config_duration(after)) " after a flip" }))
            }
            @if let Some(refused) = page.refused {
                (fact("AWSCURRENT between the windows", html! {
                    @if refused { "does not sign in" } @else { "signs in" }
                }))
            }
        }
    }
}

fn actions(view: &RotationView) -> Markup {
    html! {
        div.actions role="group" aria-label="Actions" {
            @for action in Action::ALL.into_iter().filter(|action| action.is_offered(view.paused.as_ref())) {
                a.button .primary[action == Action::Rotate] id={ "do-" (action.as_str()) }
                    href={ "/rotations/" (view.name) "/" (action.as_str()) } { (action.title()) "…" }
            }
        }
    }
}
