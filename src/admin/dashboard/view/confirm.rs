//! Confirmation page: a description of an action, and its form.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::Frame;
use super::parts::notice::problem_notice;
use super::parts::pair;
use super::parts::status::END_OF_PAUSE;
use super::parts::time::{config_duration, when};
use crate::admin::dashboard::action::Action;
use crate::admin::dashboard::session_context::SessionContext;
use crate::admin::problem::ApiError;
use crate::config::settings::Rotation;
use crate::journal::Pause;
use crate::worker::views::RotationView;

/// The content of the page.
pub(in crate::admin::dashboard) struct ConfirmPage<'a> {
    pub context: &'a SessionContext,
    pub worker: &'a str,
    pub now: DateTime<Utc>,
    pub action: Action,
    pub rotation: &'a Rotation,
    pub view: &'a RotationView,
    /// The idempotency key of the form.
    pub key: &'a str,
    /// The error of the last attempt, and the reason entered then.
    pub refused: Option<&'a ApiError>,
    pub reason: &'a str,
}

/// The page.
pub(in crate::admin::dashboard) fn page(confirm: &ConfirmPage) -> Markup {
    let (action, view) = (confirm.action, confirm.view);
    let name = &view.name;
    let main = html! {
        nav.trail aria-label="Breadcrumb" {
            a href="/" { "Rotations" } " / " a href={ "/rotations/" (name) } { (name) }
            " / " span aria-current="page" { (action.as_str()) }
        }
        div.narrow {
            h1 { (action.title()) " " (name) "?" }
            @if let Some(refused) = confirm.refused {
                div #refused tabindex="-1" { (problem_notice(refused)) }
            }
            (pair::picture(view))
            ul.will { @for sentence in effects(confirm) { li { (sentence) } } }
            form.card method="post" action={ "/rotations/" (name) "/" (action.as_str()) } {
                input type="hidden" name="csrf_token" value=(confirm.context.csrf_token);
                input type="hidden" name="key" value=(confirm.key);
                @if action == Action::Rotate {
                    p.check {
                        input #force type="checkbox" name="force" value="yes";
                        label for="force" {
                            "Even inside " code { "min_interval" } " or while sessions of the standby are open: "
                            "clients that hold its old credentials are locked out"
                        }
                    }
                }
                label for="reason" { "Reason, for the history" }
                input #reason type="text" name="reason" maxlength="1000" autocomplete="off" value=(confirm.reason);
                div.actions {
                    button #confirm type="submit" .primary[action != Action::Rollback]
                        .danger[action == Action::Rollback] { (action.title()) " " (name) }
                    a.button href={ "/rotations/" (name) } { "Cancel" }
                }
            }
        }
    };
    let title = format!("{} {name}", action.title());
    let frame = Frame {
        title: &title,
        context: Some(confirm.context),
        worker: Some(confirm.worker),
        ..Frame::default()
    };
    frame.wrap(&main)
}

/// The effects of the action, in sentences.
fn effects(confirm: &ConfirmPage) -> Vec<Markup> {
    let view = confirm.view;
    let active = view.active_user.as_deref().unwrap_or("the active user");
    let standby = view.standby_user.as_deref().unwrap_or("the standby");
    match confirm.action {
        Action::Rotate => vec![
            html! { b { (standby) } " gets a new password and exactly the privileges of " b { (active) } "." },
            html! { "After a test that it signs in, AWSCURRENT moves to it." },
            html! { b { (active) } " can sign in until the next run: no client is locked out." },
            html! { "If the last flip was less than " (config_duration(confirm.rotation.min_interval)) " ago, this is refused." },
        ],
        Action::Rollback => vec![
            html! { "A test checks that " b { (standby) } ", the user of AWSPREVIOUS, signs in and has all privileges of " b { (active) } "." },
            html! { "Then AWSCURRENT moves back from " b { (active) } " to it. No password changes." },
            html! { "If it does not sign in, nothing is changed." },
        ],
        Action::Pause => vec![
            html! { "No scheduled run starts until this is resumed. A running one continues; a waiting one is not tried." },
            html! { "It can still be rotated by hand." },
            html! {
                @match view.next_window {
                    Some(window) => { "The next window, " (when(window.opens, confirm.now)) ", passes without a run." },
                    None => "It has no next window.",
                }
            },
        ],
        Action::Resume if view.paused.as_ref().is_some_and(Pause::is_by_config) => {
            vec![html! { "It stays paused by the config. " (END_OF_PAUSE) }]
        }
        Action::Resume => {
            vec![html! { "Scheduled runs start again, in the next window that opens." }]
        }
    }
}
