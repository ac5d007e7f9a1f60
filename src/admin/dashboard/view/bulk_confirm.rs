//! Confirmation page of a pause or a resume of several rotations.

use maud::{Markup, html};

use super::Frame;
use super::parts::notice::{count, problem_notice};
use super::parts::status::END_OF_PAUSE;
use crate::admin::dashboard::action::BulkAction;
use crate::admin::dashboard::filter::RotationFilter;
use crate::admin::dashboard::session_context::SessionContext;
use crate::admin::problem::ApiError;

/// The number of names that are shown.
const NAMES: usize = 50;

/// The content of the page.
pub(in crate::admin::dashboard) struct BulkPage<'a> {
    pub context: &'a SessionContext,
    pub worker: &'a str,
    pub action: BulkAction,
    pub filter: &'a RotationFilter,
    /// The rotations that the action changes.
    pub names: Vec<&'a str>,
    /// The number of rotations that it cannot resume, because the config pauses them.
    pub prevented: usize,
    pub fingerprint: &'a str,
    /// The error of the last attempt, and the reason entered then.
    pub refused: Option<&'a ApiError>,
    pub reason: &'a str,
}

/// The page.
pub(in crate::admin::dashboard) fn page(bulk: &BulkPage) -> Markup {
    let action = bulk.action.action();
    let title = match bulk.names.len() {
        0 => format!("No rotation to {}", action.as_str()),
        n => format!("{} {}", action.title(), count(n, "rotation", "rotations")),
    };
    let list = bulk.filter.address("/", None);
    let main = html! {
        nav.trail aria-label="Breadcrumb" {
            a href=(list) { "Rotations" } " / " span aria-current="page" { (action.as_str()) }
        }
        div.narrow {
            h1 { (title) @if !bulk.names.is_empty() { "?" } }
            @if let Some(refused) = bulk.refused {
                div #refused tabindex="-1" { (problem_notice(refused)) }
            }
            @if bulk.names.is_empty() {
                p { "No rotation of this selection would change. " (prevented(bulk)) a href=(list) { "Back" } }
            } @else {
                ul.will {
                    li { (effect(bulk.action)) }
                    li {
                        (bulk.names[..bulk.names.len().min(NAMES)].join(", "))
                        @if bulk.names.len() > NAMES { ", and " (bulk.names.len() - NAMES) " more" }
                    }
                    @if bulk.prevented > 0 { li { (prevented(bulk)) } }
                }
                form.card method="post" action=(bulk.filter.address(bulk.action.path(), None)) {
                    input type="hidden" name="csrf_token" value=(bulk.context.csrf_token);
                    input type="hidden" name="fingerprint" value=(bulk.fingerprint);
                    label for="reason" { "Reason, for the history" }
                    input #reason type="text" name="reason" maxlength="1000" autocomplete="off" value=(bulk.reason);
                    div.actions {
                        button #confirm type="submit" .primary { (title) }
                        a.button href=(list) { "Cancel" }
                    }
                }
            }
        }
    };
    let frame = Frame {
        title: &title,
        context: Some(bulk.context),
        worker: Some(bulk.worker),
        ..Frame::default()
    };
    frame.wrap(&main)
}

/// The rotations that stay paused.
fn prevented(bulk: &BulkPage) -> Markup {
    html! {
        @if bulk.prevented > 0 {
            (count(bulk.prevented, "rotation stays", "rotations stay")) " paused by the config. "
            (END_OF_PAUSE) " "
        }
    }
}

fn effect(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Pause => {
            "No scheduled run of these starts until they are resumed. A running one continues; a waiting one is not tried."
        }
        BulkAction::Resume => {
            "Scheduled runs of these start again, each in the next window that opens."
        }
    }
}
