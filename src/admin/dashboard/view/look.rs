//! What a look at a rotation's database finds: sessions on the standby, findings, and the plan.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::time::when;
use super::{Frame, Tone, count, notice, problem};
use crate::admin::dashboard::door::Visitor;
use crate::admin::problem::Answer;
use crate::rotation::check::Report;
use crate::rotation::plan::{Plan, PlannedChange};
use twinkey_engines::{Finding, Session, Severity};

/// How many lines of one kind are shown at the most.
const LINES: usize = 200;

/// What the page shows.
pub(in crate::admin::dashboard) struct Look<'a> {
    pub visitor: &'a Visitor,
    pub worker: &'a str,
    pub now: DateTime<Utc>,
    pub name: &'a str,
    pub report: &'a Report,
    pub plan: &'a Result<Plan, Answer>,
}

/// The page; the script takes the section out of it.
pub(in crate::admin::dashboard) fn page(look: &Look) -> Markup {
    let name = look.name;
    let main = html! {
        nav.trail aria-label="Breadcrumb" {
            a href="/" { "Rotations" } " / " a href={ "/rotations/" (name) } { (name) }
            " / " span aria-current="page" { "at the database" }
        }
        h1 { (name) }
        section #look .card aria-labelledby="look-heading" data-look={ "/rotations/" (name) "/look" } {
            h2 #look-heading { "At the database" }
            p.faint {
                "Looked at " (when(look.now, look.now)) ". "
                span #look-stale hidden { "A run has ended since. " }
                a #look-again href={ "/rotations/" (name) "/look" } { "Look again" }
            }
            (sessions(look.report.standby_sessions.as_deref(), look.now))
            (findings(look.report))
            @match look.plan {
                Ok(plan) => (planned(plan)),
                Err(answer) => { h3 { "Plan" } (problem::told(answer)) }
            }
        }
    };
    let frame = Frame {
        title: name,
        visitor: Some(look.visitor),
        worker: Some(look.worker),
        ..Frame::default()
    };
    frame.around(&main)
}

fn sessions(sessions: Option<&[Session]>, now: DateTime<Utc>) -> Markup {
    html! {
        h3 { "Sessions on the standby" }
        @match sessions {
            None => p { "Whether anybody is signed in as the standby cannot be known." },
            Some([]) => p.fine { "Nobody is signed in as the standby." },
            Some(all) => {
                table {
                    thead { tr {
                        th scope="col" { "User" } th scope="col" { "From" }
                        th scope="col" { "Application" } th scope="col" { "Since" }
                    } }
                    tbody {
                        @for session in all.iter().take(LINES) {
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
        @if all > LINES { p.faint { "and " (count(all - LINES, "more", "more")) } }
    }
}

fn findings(report: &Report) -> Markup {
    let mut findings: Vec<&Finding> = report.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    html! {
        h3 { "Findings" }
        @if findings.is_empty() { p.fine { "Nothing speaks against a run." } }
        ul.findings {
            @for finding in findings.iter().take(LINES) {
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
            summary { (count(report.passed.len(), "thing is in order", "things are in order")) }
            ul { @for passed in report.passed.iter().take(LINES) { li { (passed) } } }
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
                @for change in plan.changes.iter().take(LINES) { (statement(change)) }
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
