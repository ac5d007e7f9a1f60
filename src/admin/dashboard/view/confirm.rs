//! What an action would do, and the form that does it.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::rotation::of;
use super::time::when;
use super::{Frame, pair, problem};
use crate::admin::dashboard::actions::Action;
use crate::admin::dashboard::door::Visitor;
use crate::admin::problem::Answer;
use crate::config::settings::Rotation;
use crate::worker::views::RotationView;

/// What the page shows.
pub(in crate::admin::dashboard) struct Confirm<'a> {
    pub visitor: &'a Visitor,
    pub worker: &'a str,
    pub now: DateTime<Utc>,
    pub action: Action,
    pub rotation: &'a Rotation,
    pub view: &'a RotationView,
    /// Makes a form that is sent twice do one thing.
    pub key: &'a str,
    /// Why it was not done when it was asked for, and the reason that was given then.
    pub refused: Option<&'a Answer>,
    pub reason: &'a str,
}

/// The page.
pub(in crate::admin::dashboard) fn page(confirm: &Confirm) -> Markup {
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
                div #refused tabindex="-1" { (problem::told(refused)) }
            }
            (pair::picture(view))
            ul.will { @for sentence in what(confirm) { li { (sentence) } } }
            form.card method="post" action={ "/rotations/" (name) "/" (action.as_str()) } {
                input type="hidden" name="mark" value=(confirm.visitor.mark);
                @if action == Action::Rotate {
                    input type="hidden" name="key" value=(confirm.key);
                    p.check {
                        input #force type="checkbox" name="force" value="yes";
                        label for="force" {
                            "Even inside " code { "min_interval" } " or while somebody is signed in as the standby: "
                            "clients that hold its old credentials are locked out"
                        }
                    }
                }
                label for="reason" { "Reason, for the log" @if action == Action::Rotate { " and the history" } }
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
        visitor: Some(confirm.visitor),
        worker: Some(confirm.worker),
        ..Frame::default()
    };
    frame.around(&main)
}

/// What it will do, in sentences.
fn what(confirm: &Confirm) -> Vec<Markup> {
    let view = confirm.view;
    let active = view.active_user.as_deref().unwrap_or("the active user");
    let standby = view.standby_user.as_deref().unwrap_or("the standby");
    match confirm.action {
        Action::Rotate => vec![
            html! { b { (standby) } " gets a new password and exactly the privileges of " b { (active) } "." },
            html! { "When it has been proved that it signs in, AWSCURRENT moves to it." },
            html! { b { (active) } " goes on signing in until the next run: nobody is locked out." },
            html! { "If the last flip was less than " (of(confirm.rotation.min_interval)) " ago, this is refused." },
        ],
        Action::Rollback => vec![
            html! { "It is proved that " b { (standby) } ", which is in AWSPREVIOUS, still signs in and can do all that " b { (active) } " can." },
            html! { "Then AWSCURRENT moves back from " b { (active) } " to it. No password changes." },
            html! { "If it does not sign in, nothing is changed." },
        ],
        Action::Pause => vec![
            html! { "No scheduled run begins until this is resumed. A run that is on goes on." },
            html! { "It can still be rotated by hand." },
            html! {
                @match view.next_window {
                    Some(window) => { "The next window, " (when(window.opens, confirm.now)) ", goes by without a run." },
                    None => "It has no window that would go by.",
                }
            },
        ],
        Action::Resume => {
            vec![html! { "Scheduled runs begin again, in the next window that opens." }]
        }
    }
}
