//! Page of the runs and other actions of all rotations, newest first.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::parts::status::badge;
use super::parts::time::when;
use super::{EVENTS, Frame};
use crate::admin::address::with_query;
use crate::admin::dashboard::events::{EVENTS_PER_PAGE, EventsFilter};
use crate::admin::dashboard::session_context::SessionContext;
use crate::journal::history::{HistoryEntry, merged};
use crate::journal::{AuditAction, AuditOutcome, AuditRecord, Run};

/// The content of the page.
pub(in crate::admin::dashboard) struct EventsPage<'a> {
    pub context: &'a SessionContext,
    pub worker: &'a str,
    pub now: DateTime<Utc>,
    pub filter: &'a EventsFilter,
    /// Runs that have not ended, and so have no record.
    pub open_runs: &'a [Run],
    /// Newest first; one more than shown if there are older records.
    pub records: &'a [AuditRecord],
}

/// The page.
pub(in crate::admin::dashboard) fn page(events: &EventsPage) -> Markup {
    let is_first_page = events.filter.before.is_none();
    let shown = &events.records[..events.records.len().min(EVENTS_PER_PAGE)];
    let entries = merged(events.open_runs, shown.iter());
    let main = html! {
        div.section-head {
            h1 #events-heading { "Events" }
            (filter_form(events.filter))
        }
        div #events data-live[is_first_page] {
            @if entries.is_empty() {
                p.empty {
                    "No event matches. "
                    @if *events.filter != EventsFilter::default() { a href=(EVENTS) { "Show all" } }
                }
            } @else {
                (table(&entries, events.now))
            }
            nav.pages aria-label="Pages of events" {
                @if !is_first_page {
                    a.button #events-newest href=(address(events.filter, None)) { "Newest" }
                }
                @if let (Some(last), true) = (shown.last(), events.records.len() > shown.len()) {
                    a.button #events-older rel="next" href=(address(events.filter, Some(last))) { "Older" }
                }
            }
        }
    };
    let frame = Frame {
        title: "Events",
        context: Some(events.context),
        events: Some("/v1/events"),
        worker: Some(events.worker),
        path: EVENTS,
    };
    frame.wrap(&main)
}

fn filter_form(filter: &EventsFilter) -> Markup {
    html! {
        form.filter method="get" action=(EVENTS) role="search" aria-label="Filter the events" {
            label.unseen for="rotation" { "Rotation" }
            input #rotation type="search" name="rotation" placeholder="name of a rotation"
                value=(filter.rotation.as_deref().unwrap_or_default());
            label.unseen for="action" { "Action" }
            select #action name="action" {
                option value="" { "any action" }
                @for action in AuditAction::ALL {
                    option value=(action.as_str()) selected[filter.action == Some(action)] {
                        (action.as_str())
                    }
                }
            }
            label.unseen for="outcome" { "Outcome" }
            select #outcome name="outcome" {
                option value="" { "any outcome" }
                @for outcome in AuditOutcome::ALL {
                    option value=(outcome.as_str()) selected[filter.outcome == Some(outcome)] {
                        (outcome.as_str())
                    }
                }
            }
            button type="submit" { "Filter" }
        }
    }
}

fn table(entries: &[HistoryEntry<'_>], now: DateTime<Utc>) -> Markup {
    // Explicit roles, because the card layout of narrow screens drops the implicit ones.
    html! {
        table.rotations role="table" aria-labelledby="events-heading" {
            thead role="rowgroup" {
                tr role="row" {
                    @for head in ["Time", "Rotation", "Action", "Outcome", "Actor", "Reason"] {
                        th role="columnheader" scope="col" { (head) }
                    }
                }
            }
            tbody role="rowgroup" {
                @for entry in entries {
                    @match entry {
                        HistoryEntry::Run(run) => { (open_run(run, now)) }
                        HistoryEntry::Record(record) => { (record_row(record, now)) }
                    }
                }
            }
        }
    }
}

/// The cells of a row, without those that a run and a record have in common.
struct Row<'a> {
    at: DateTime<Utc>,
    rotation: Option<&'a str>,
    action: AuditAction,
    /// The outcome, or the state of a run that has not ended.
    outcome: &'a str,
    code: Option<&'a str>,
    actor: String,
    reason: Option<&'a str>,
}

impl Row<'_> {
    fn render(&self, now: DateTime<Utc>) -> Markup {
        html! {
            tr role="row" data-action=(self.action.as_str()) {
                td role="cell" { (when(self.at, now)) }
                td.name role="cell" {
                    @match self.rotation {
                        Some(name) => a href={ "/rotations/" (name) } { (name) },
                        None => span.faint { "the worker" },
                    }
                }
                td role="cell" { (self.action.as_str()) }
                td role="cell" {
                    (badge(self.outcome))
                    @if let Some(code) = self.code { br; code { (code) } }
                }
                td.text role="cell" { span.label { "By " } (self.actor) }
                td.text role="cell" {
                    @if let Some(reason) = self.reason.filter(|reason| !reason.is_empty()) {
                        q { (reason) }
                    }
                }
            }
        }
    }
}

fn record_row(record: &AuditRecord, now: DateTime<Utc>) -> Markup {
    let row = Row {
        at: record.at,
        rotation: record.rotation.as_deref(),
        action: record.action,
        outcome: record.outcome.as_str(),
        code: record.code.map(|code| code.as_str()),
        actor: record.shown_actor(),
        reason: record.reason.as_deref(),
    };
    row.render(now)
}

fn open_run(run: &Run, now: DateTime<Utc>) -> Markup {
    let row = Row {
        at: run.started,
        rotation: Some(&run.rotation),
        action: AuditAction::Rotate,
        outcome: run.state.as_str(),
        code: run.error.as_ref().map(|error| error.code.as_str()),
        actor: run.shown_actor(),
        reason: run.reason.as_deref(),
    };
    row.render(now)
}

/// The address of a page with this filter: the newest events, or those before a record.
fn address(filter: &EventsFilter, before: Option<&AuditRecord>) -> String {
    let before = before.map(|record| record.id.to_string());
    let query = [
        ("rotation", filter.rotation.as_deref()),
        ("action", filter.action.map(AuditAction::as_str)),
        ("outcome", filter.outcome.map(AuditOutcome::as_str)),
        ("before", before.as_deref()),
    ];
    with_query(EVENTS, query)
}

#[cfg(test)]
mod tests {
    use super::super::timeline::tests::{failed, now};
    use super::*;
    use crate::admin::auth::TokenAuth;
    use crate::admin::auth::session::Session;
    use crate::journal::{Actor, Cause};
    use twinkey_core::code::Code;

    fn shown(filter: &EventsFilter, open_runs: &[Run], records: &[AuditRecord]) -> String {
        let auth = TokenAuth::new(None, Vec::new()).unwrap();
        let session = Session::start(auth.anonymous().unwrap(), now());
        let events = EventsPage {
            context: &SessionContext {
                csrf_token: session.csrf_token(),
                session,
                signed_in: true,
            },
            worker: "w-1",
            now: now(),
            filter,
            open_runs,
            records,
        };
        page(&events).into_string()
    }

    fn record() -> AuditRecord {
        let cause = Cause {
            actor: Actor::worker("w-1"),
            reason: Some("<script>".into()),
        };
        AuditRecord::done(AuditAction::Pause, "<b>", cause, now()).refused(Code::TooSoon)
    }

    #[test]
    fn an_event_has_actor_action_reason_outcome_and_code() {
        let page = shown(&EventsFilter::default(), &[failed()], &[record()]);
        for part in [
            "worker w-1",
            "data-action=\"pause\"",
            "data-state=\"refused\"",
            "too_soon",
            "&lt;script&gt;",
            "data-action=\"rotate\"",
            "token grafana at 10.0.3.7",
            "aria-current=\"page\">Events",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<b>"), "names are escaped");
        assert!(!page.contains("id=\"events-older\""), "nothing is older");
    }

    #[test]
    fn a_page_has_a_bound_and_links_to_older_events() {
        let records: Vec<_> = (0..=EVENTS_PER_PAGE).map(|_| record()).collect();
        let filter = EventsFilter {
            action: Some(AuditAction::Pause),
            ..EventsFilter::default()
        };
        let page = shown(&filter, &[], &records);
        assert_eq!(page.matches("data-action=").count(), EVENTS_PER_PAGE);
        let last = records[EVENTS_PER_PAGE - 1].id;
        let older = format!("href=\"/events?action=pause&amp;before={last}\"");
        assert!(page.contains(&older), "{page}");
        let empty = shown(&filter, &[], &[]);
        assert!(empty.contains("No event matches."), "{empty}");
    }
}
