//! The preflight: everything that speaks against a run, and everything that a person should know,
//! found without changing anything.

use serde::{Deserialize, Serialize};

use crate::config::settings::InUse;
use crate::rotation::decide::Refusal;
use crate::rotation::error::RotationError;
use crate::rotation::explain::{described, explain};
use crate::rotation::observe::observe;
use crate::rotation::scene::{Scene, Task};
use crate::rotation::site::Site;
use twinkey_engines::{Change, Finding, Session, Severity, TlsMode};

/// What a preflight of one rotation found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    pub rotation: String,
    /// What was looked at and is in order.
    pub passed: Vec<String>,
    pub findings: Vec<Finding>,
    /// Who is signed in as the standby; `None` where it cannot be known.
    pub standby_sessions: Option<Vec<Session>>,
}

impl Report {
    /// Whether a run would fail.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Error)
    }
}

/// What the config alone says about a rotation.
#[must_use]
pub fn offline(rotation: &crate::config::settings::Rotation) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(plan) = &rotation.windows
        && let Some(why) = plan.schedule.aws_refuses(plan.length)
    {
        findings.push(Finding {
            severity: Severity::Note,
            code: None,
            what: format!("AWS's own rotation would not take this schedule: {why}"),
            fix: None,
        });
    }
    if rotation.tls.mode == Some(TlsMode::Disable) {
        findings.push(Finding {
            severity: Severity::Warning,
            code: None,
            what: "tls.mode = \"disable\": passwords' proofs and statements cross the network in clear".into(),
            fix: Some("set tls.mode = \"verify-full\"".into()),
        });
    }
    findings
}

/// Looks at one rotation without changing anything. What cannot be observed is a finding too.
pub async fn check(site: &Site, task: &Task<'_>) -> Report {
    let mut report = Report {
        rotation: task.rotation.name.clone(),
        passed: Vec::new(),
        findings: offline(task.rotation),
        standby_sessions: None,
    };
    match observe(site, task).await {
        Ok(scene) => look(task, &scene, &mut report),
        Err(error) => report.findings.push(failure(&error)),
    }
    report
}

fn failure(error: &RotationError) -> Finding {
    Finding {
        severity: Severity::Error,
        code: Some(error.code()),
        what: error.to_string(),
        fix: Some(error.hint()),
    }
}

fn look(task: &Task<'_>, scene: &Scene, report: &mut Report) {
    let guards = scene.observed.guards;
    let pair = &scene.located.pair;
    report.passed.push(format!(
        "secret {:?} is readable and well-formed ({})",
        task.rotation.secret, scene.located.kind
    ));
    let mut passed = |ok: bool, what: String| {
        if ok {
            report.passed.push(what);
        }
    };
    passed(
        !guards.managed_elsewhere,
        "no other rotator is switched on".into(),
    );
    passed(
        !guards.current_refused,
        format!("{:?} signs in (AWSCURRENT)", pair.active_user()),
    );
    passed(
        !guards.master_refused,
        format!("{:?} signs in (master)", scene.master.credentials.username),
    );
    passed(
        scene.located.target.tls.mode == TlsMode::VerifyFull,
        format!(
            "TLS to {}: chain and name verified",
            scene.located.target.host
        ),
    );
    if let Some(inspection) = &scene.inspection {
        passed(
            inspection.missing.is_empty(),
            "the master may do all that is needed".into(),
        );
        passed(
            scene.observed.standby.equal,
            format!(
                "{:?} is equal to {:?}",
                pair.standby_user(),
                pair.active_user()
            ),
        );
        report.findings.extend(inspection.findings.iter().cloned());
        report.findings.extend(inspection.missing.iter().cloned());
        if inspection.standby_exists && !inspection.differences.is_empty() && !guards.differs {
            report.findings.push(Finding {
                severity: Severity::Note,
                code: None,
                what: format!(
                    "{:?} differs from {:?}, and the next run makes it equal: {}",
                    pair.standby_user(),
                    pair.active_user(),
                    first_of(&inspection.differences)
                ),
                fix: Some(format!("see `twinkey plan {}`", task.rotation.name)),
            });
        }
    }
    // Unfit and MasterLacks are there already, finding by finding.
    for refusal in guards.refusals() {
        if !matches!(refusal, Refusal::Unfit | Refusal::MasterLacks) {
            report
                .findings
                .push(failure(&explain(refusal, task, scene)));
        }
    }
    report.findings.extend(sessions(task, scene));
    report.standby_sessions.clone_from(&scene.sessions);
}

/// The first few changes, and how many more there are.
fn first_of(changes: &[Change]) -> String {
    const SHOWN: usize = 5;
    let mut all: Vec<String> = changes
        .iter()
        .take(SHOWN)
        .map(|change| change.statement.to_string())
        .collect();
    if let Some(more) = changes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        all.push(format!("and {more} more"));
    }
    all.join("; ")
}

fn sessions(task: &Task<'_>, scene: &Scene) -> Option<Finding> {
    let standby = scene.located.pair.standby_user();
    let Some(sessions) = &scene.sessions else {
        return Some(Finding {
            severity: Severity::Note,
            code: None,
            what: format!("whether somebody is signed in as {standby:?} cannot be known"),
            fix: None,
        });
    };
    if sessions.is_empty() {
        return None;
    }
    let who: Vec<String> = sessions.iter().map(described).collect();
    Some(Finding {
        severity: if task.rotation.in_use == InUse::Ignore {
            Severity::Note
        } else {
            Severity::Warning
        },
        code: Some(twinkey_core::code::Code::StandbyInUse),
        what: format!(
            "still signed in as the standby {standby:?}: {}",
            who.join("; ")
        ),
        fix: Some("restart those clients: they hold credentials from two rotations ago".into()),
    })
}
