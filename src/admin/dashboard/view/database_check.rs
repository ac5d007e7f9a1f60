//! Database check page: sessions of the standby, findings, and the plan.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::Frame;
use super::parts::notice::{Tone, count, notice, problem_notice};
use super::parts::time::when;
use crate::admin::dashboard::session_context::SessionContext;
use crate::admin::problem::ApiError;
use crate::rotation::commands::check::Report;
use crate::rotation::commands::plan::{Plan, PlannedChange};
use twinkey_engines::{Finding, Session, Severity};

/// The largest number of lines per list.
const MAX_LINES: usize = 200;

/// The content of the page.
pub(in crate::admin::dashboard) struct DatabaseCheck<'a> {
    pub context: &'a SessionContext,
    pub worker: &'a str,
    pub now: DateTime<Utc>,
    pub name: &'a str,
    pub report: &'a Report,
    pub plan: &'a Result<Plan, ApiError>,
}

/// The page; the script extracts the section from it.
pub(in crate::admin::dashboard) fn page(check: &DatabaseCheck) -> Markup {
    let name = check.name;
    let main = html! {
        nav.trail aria-label="Breadcrumb" {
            a href="/" { "Rotations" } " / " a href={ "/rotations/" (name) } { (name) }
            " / " span aria-current="page" { "at the database" }
        }
        h1 { (name) }
        section #database-check .card aria-labelledby="database-check-heading" data-source={ "/rotations/" (name) "/database-check" } {
            h2 #database-check-heading { "At the database" }
            p.faint {
                "Checked " (when(check.now, check.now)) ". "
                span #database-check-stale hidden { "A run has finished since. " }
                a #database-check-again href={ "/rotations/" (name) "/database-check" } { "Check again" }
            }
            (sessions(check.report.standby_sessions.as_deref(), check.now))
            (findings(check.report))
            @match check.plan {
                Ok(plan) => (planned(plan)),
                Err(error) => { h3 { "Plan" } (problem_notice(error)) }
            }
        }
    };
    let frame = Frame {
        title: name,
        context: Some(check.context),
        worker: Some(check.worker),
        ..Frame::default()
    };
    frame.wrap(&main)
}

fn sessions(sessions: Option<&[Session]>, now: DateTime<Utc>) -> Markup {
    html! {
        h3 { "Sessions on the standby" }
        @match sessions {
            None => p { "The sessions of the standby cannot be listed." },
            Some([]) => p.fine { "No session of the standby is open." },
            Some(all) => {
                table {
                    thead { tr {
                        th scope="col" { "User" } th scope="col" { "From" }
                        th scope="col" { "Application" } th scope="col" { "Since" }
                    } }
                    tbody {
                        @for session in all.iter().take(MAX_LINES) {
                            tr {
                                td { (session.user) }
                                td { (session.client.as_deref().unwrap_or("this machine")) }
                                td { (session.application.as_deref().unwrap_or_default()) }
                                td { @if let Some(since) = session.since { (when(since, now)) } }
                            }
                        }
                    }
                }
                (more(all.len()))
            }
        }
    }
}

fn more(all: usize) -> Markup {
    html! {
        @if all > MAX_LINES { p.faint { "and " (count(all - MAX_LINES, "more", "more")) } }
    }
}

fn findings(report: &Report) -> Markup {
    let mut findings: Vec<&Finding> = report.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    html! {
        h3 { "Findings" }
        @if findings.is_empty() { p.fine { "A run would succeed." } }
        ul.findings {
            @for finding in findings.iter().take(MAX_LINES) {
                @let word = match finding.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                    Severity::Note => "note",
                };
                li data-severity=(word) {
                    span.severity { (word) } " "
                    @if let Some(code) = finding.code { code { (code) } " " }
                    (finding.what)
                    @if let Some(fix) = &finding.fix { p.hint { (fix) } }
                }
            }
        }
        (more(findings.len()))
        details #passed {
            summary { (count(report.passed.len(), "check passed", "checks passed")) }
            ul { @for passed in report.passed.iter().take(MAX_LINES) { li { (passed) } } }
        }
    }
}

fn planned(plan: &Plan) -> Markup {
    html! {
        h3 { "Plan" }
        @if let Some(refused) = &plan.refused {
            (notice(Tone::Bad, &refused.message, Some(refused.code.as_str()), Some(&refused.hint)))
        } @else {
            p {
                "A run would now make " (changes(plan)) " of " b { (plan.standby_user) } ", sign in as it, and move AWSCURRENT from "
                b { (plan.active_user) } " to it."
            }
        }
        @if !plan.changes.is_empty() {
            ol.statements {
                @for change in plan.changes.iter().take(MAX_LINES) { (statement(change)) }
            }
            (more(plan.changes.len()))
        }
    }
}

fn changes(plan: &Plan) -> String {
    count(plan.changes.len(), "change", "changes")
}

fn statement(change: &PlannedChange) -> Markup {
    html! {
        li {
            code { (change.statement) }
            span.hint {
                @if let Some(database) = &change.database { "in " (database) ": " }
                (change.why)
            }
        }
    }
}
