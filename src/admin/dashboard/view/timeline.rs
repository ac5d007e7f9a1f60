//! Run history of a rotation, newest first.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::parts::notice::{Tone, notice};
use super::parts::status::badge;
use super::parts::steps;
use super::parts::time::{instant, length, when};
use crate::journal::history::{HistoryEntry, merged};
use crate::journal::{AuditOutcome, AuditRecord, Run, RunState};

/// The number of runs of a page.
pub(in crate::admin::dashboard) const RUNS: usize = 20;

/// The number of other actions that the pages show.
pub(in crate::admin::dashboard) const RECORDS: u32 = 500;

/// The runs, and the other actions of the same time. One run more than [`RUNS`] indicates that there
/// are older ones.
pub(super) fn history(
    runs: &[Run],
    records: &[AuditRecord],
    name: &str,
    now: DateTime<Utc>,
    is_first_page: bool,
) -> Markup {
    let older = runs.get(RUNS).and_then(|_| runs.get(RUNS - 1));
    html! {
        section #history data-live[is_first_page] aria-labelledby="history-heading" {
            h2 #history-heading { "History" }
            @if runs.is_empty() && records.is_empty() {
                p.empty { @if is_first_page { "No run yet." } @else { "No older runs." } }
            }
            ol.timeline {
                @for entry in entries(runs, records, is_first_page) {
                    @match entry {
                        HistoryEntry::Run(run) => { (run_entry(run, now)) }
                        HistoryEntry::Record(record) => { (record_entry(record, now)) }
                    }
                }
            }
            nav.pages aria-label="Pages of the history" {
                @if !is_first_page { a.button href={ "/rotations/" (name) "#history" } { "Newest" } }
                @if let Some(last) = older {
                    a #history-older .button href={ "/rotations/" (name) "?before=" (last.id) "#history" } { "Older" }
                }
            }
        }
    }
}

/// The runs of a page, and the records from the page's newest run to the next page's, newest first.
fn entries<'a>(
    runs: &'a [Run],
    records: &'a [AuditRecord],
    is_first_page: bool,
) -> Vec<HistoryEntry<'a>> {
    let newest = runs.first().map(|run| run.started);
    let oldest = runs.get(RUNS).map(|run| run.started);
    let records = records.iter().filter(|record| {
        (is_first_page || newest.is_some_and(|newest| record.at <= newest))
            && oldest.is_none_or(|oldest| record.at > oldest)
    });
    merged(&runs[..runs.len().min(RUNS)], records)
}

fn record_entry(record: &AuditRecord, now: DateTime<Utc>) -> Markup {
    let done = record.outcome == AuditOutcome::Done;
    html! {
        li.record data-action=(record.action.as_str()) {
            div.run-head {
                (badge(if done { record.action.as_str() } else { record.outcome.as_str() }))
                span { (when(record.at, now)) }
            }
            p.why {
                (record.action.as_str()) " by " (record.shown_actor())
                @if let Some(code) = record.code { ": " code { (code) } }
                @if let Some(reason) = record.reason.as_deref().filter(|r| !r.is_empty()) { ": " q { (reason) } }
            }
        }
    }
}

fn run_entry(run: &Run, now: DateTime<Utc>) -> Markup {
    html! {
        li.run data-state=(run.state.as_str()) {
            div.run-head {
                (badge(run.state.as_str()))
                span { (when(run.started, now)) }
                @if let (Some(from), Some(to)) = (&run.from_user, &run.to_user) {
                    span.flip {
                        span.user-name { (from) }
                        span aria-hidden="true" { " → " } span.unseen { " to " }
                        span.user-name { (to) }
                    }
                }
                @if let Some(finished) = run.finished { span.far { "took " (length(finished - run.started)) } }
            }
            p.why {
                "by " (run.shown_actor())
                @if let Some(window) = run.window {
                    ", window " (instant(window.opens, now)) " to " (instant(window.closes, now))
                }
                @if run.attempt > 1 { ", attempt " (run.attempt) }
                @if let Some(reason) = run.reason.as_deref().filter(|r| !r.is_empty()) { ": " q { (reason) } }
            }
            @if let Some(error) = &run.error {
                (notice(
                    if run.state == RunState::Deferred { Tone::Warning } else { Tone::Bad },
                    &error.message, Some(error.code.as_str()), Some(&error.hint),
                ))
            }
            @if !run.steps.is_empty() {
                details id={ "steps-" (run.id) } {
                    summary { "Steps" }
                    (steps::list(run, now))
                    p.faint { "run " code { (run.id) } ", worker " (run.worker) }
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::journal::{Actor, ActorKind, Step, StepName, StepState, Trigger};
    use twinkey_core::code::{Code, Problem};
    use twinkey_stores::VersionId;

    pub(in crate::admin::dashboard) fn now() -> DateTime<Utc> {
        "2026-11-25T10:00:00Z".parse().unwrap()
    }

    /// A run that failed in its step `test`.
    pub(in crate::admin::dashboard) fn failed() -> Run {
        let step = |name, state, detail: &str| Step {
            name,
            state,
            started: now(),
            finished: Some(now()),
            detail: Some(detail.into()),
        };
        Run {
            id: uuid::Uuid::nil(),
            rotation: "orders".into(),
            trigger: Trigger::Manual,
            actor: Some(Actor {
                kind: ActorKind::Token,
                name: "grafana".into(),
                address: Some("10.0.3.7".into()),
            }),
            reason: Some("<deploy>".into()),
            window: None,
            state: RunState::Failed,
            worker: "w-1".into(),
            version_id: VersionId("v".into()),
            from_user: Some("app".into()),
            to_user: Some("app_clone".into()),
            started: now(),
            finished: Some(now()),
            attempt: 2,
            steps: vec![
                step(StepName::Create, StepState::Succeeded, "a new password"),
                step(StepName::Test, StepState::Failed, "refused"),
            ],
            error: Some(Problem {
                code: Code::DbRefused,
                message: "the probe failed".into(),
                hint: "fix the probe".into(),
            }),
        }
    }

    #[test]
    fn a_run_shows_its_reason_error_hint_and_steps() {
        let html = history(&[failed()], &[], "orders", now(), true).into_string();
        for part in [
            "by token grafana at 10.0.3.7",
            "&lt;deploy&gt;",
            "db_refused",
            "the probe failed",
            "fix the probe",
            "attempt 2",
            "a new password",
            "data-step=\"test\" data-state=\"failed\"",
            "data-step=\"finish\" data-state=\"waiting\"",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("?before="), "there is nothing older");
    }

    #[test]
    fn a_page_links_to_older_runs() {
        let runs: Vec<Run> = (0..=RUNS)
            .map(|n| Run {
                id: uuid::Uuid::from_u128(n as u128),
                ..failed()
            })
            .collect();
        let html = history(&runs, &[], "orders", now(), true).into_string();
        assert_eq!(html.matches("<li class=\"run\"").count(), RUNS);
        let last = runs[RUNS - 1].id;
        assert!(html.contains(&format!("?before={last}#history")), "{html}");
    }
}
