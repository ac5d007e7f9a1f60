//! Preflight checks: reasons against a run and other findings, without any change.

use serde::{Deserialize, Serialize};

use crate::config::settings::InUse;
use crate::rotation::commands::readers::{self, failure};
use crate::rotation::context::RunContext;
use crate::rotation::decide::Refusal;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::observe;
use crate::rotation::observe::trust::same_host;
use crate::rotation::refusal::{describe_holder, describe_session, ownership, refusal_error};
use twinkey_core::code::Code;
use twinkey_engines::{Change, Finding, Session, Severity, TlsMode, rds_host};

/// Result of the preflight checks of one rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    pub rotation: String,
    /// Checks that passed.
    pub passed: Vec<String>,
    pub findings: Vec<Finding>,
    /// Sessions of the standby; `None` if the server does not list them.
    pub standby_sessions: Option<Vec<Session>>,
}

impl Report {
    /// Whether a run would fail.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Error)
    }
}

/// Findings about the config alone.
#[must_use]
pub fn offline(rotation: &crate::config::settings::Rotation) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(plan) = &rotation.windows
        && let Some(why) = plan.schedule.aws_refuses(plan.length)
    {
        findings.push(Finding {
            severity: Severity::Note,
            code: None,
            what: format!("Secrets Manager's own rotation would refuse this schedule: {why}"),
            fix: None,
        });
    }
    if let Some(why) = rotation.closer_windows() {
        findings.push(Finding {
            severity: Severity::Warning,
            code: Some(Code::TooSoon),
            what: format!("the schedule {why}"),
            fix: Some("let windows open less often, or shorten min_interval".into()),
        });
    }
    if rotation.tls.mode == Some(TlsMode::Disable) {
        findings.push(Finding {
            severity: Severity::Warning,
            code: None,
            what: "tls.mode = \"disable\": statements and password proofs cross the network unencrypted".into(),
            fix: Some("set tls.mode = \"verify-full\"".into()),
        });
    }
    if rotation.readers.by_older_key {
        findings.push(readers::older_key());
    }
    findings
}

/// Checks one rotation without any change. A failed observation is a finding too.
pub async fn check(context: &RunContext, request: &RunRequest<'_>) -> Report {
    let mut report = Report {
        rotation: request.rotation.name.clone(),
        passed: Vec::new(),
        findings: offline(request.rotation),
        standby_sessions: None,
    };
    match observe(context, request).await {
        Ok(mut observation) => {
            add_findings(request, &observation, &mut report);
            let of_pending = readers::of_pending(context, request, &mut observation);
            report.findings.extend(of_pending.await);
        }
        Err(error) => report.findings.push(failure(&error)),
    }
    report
}

fn add_findings(request: &RunRequest<'_>, observation: &Observation, report: &mut Report) {
    let guards = observation.observed.guards;
    let pair = &observation.resolved.pair;
    let rotation = request.rotation;
    let has_one_user = observation.resolved.has_one_user();
    let store = (rotation.store_name()).map_or_else(String::new, |name| format!(" in {name}"));
    report.passed.push(format!(
        "secret {:?}{store} is readable and well-formed ({})",
        rotation.secret, observation.resolved.kind
    ));
    let mut passed = |ok: bool, what: String| {
        if ok {
            report.passed.push(what);
        }
    };
    passed(
        !guards.managed_elsewhere,
        "no other rotator is enabled".into(),
    );
    passed(
        !guards.current_refused,
        format!("{:?} signs in (AWSCURRENT)", pair.active_user()),
    );
    passed(
        !guards.master_refused,
        format!(
            "{:?} signs in (master)",
            observation.master.credentials.username
        ),
    );
    passed(
        observation.resolved.target.tls.mode == TlsMode::VerifyFull,
        format!(
            "TLS to {}: chain and name verified",
            observation.resolved.target.host
        ),
    );
    report.findings.extend(errors(request, observation));
    for line in readers::passed(observation) {
        passed(true, line);
    }
    report
        .findings
        .extend(readers::findings(request, observation));
    if let Some(inspection) = &observation.inspection {
        passed(
            inspection.missing.is_empty(),
            "the master has all required privileges".into(),
        );
        passed(
            observation.observed.standby.equal && !has_one_user,
            format!(
                "{:?} has the privileges and settings of {:?}",
                pair.standby_user(),
                pair.active_user()
            ),
        );
        let own = !(guards.pair_shared || guards.standby_foreign || guards.standby_unproved);
        passed(
            own && !has_one_user
                && inspection.readable
                && inspection.standby_exists
                && observation.ownership.takeover.is_none(),
            format!("{:?} is this secret's own standby", pair.standby_user()),
        );
        let others = inspection.findings.iter();
        let others = others.filter(|finding| finding.severity != Severity::Error);
        report.findings.extend(others.cloned());
        if inspection.standby_exists && !inspection.differences.is_empty() && !guards.differs {
            report.findings.push(Finding {
                severity: Severity::Note,
                code: None,
                what: format!(
                    "{:?} differs from {:?}; the next run makes it equal: {}",
                    pair.standby_user(),
                    pair.active_user(),
                    first_of(&inspection.differences)
                ),
                fix: Some(format!("see `twinkey plan {}`", request.rotation.name)),
            });
        }
    }
    // A run is refused now, and the reason passes.
    for refusal in [Refusal::TooSoon, Refusal::StandbyUnproved] {
        if guards.takeover_refusals().contains(&refusal) {
            report.findings.push(Finding {
                severity: Severity::Warning,
                ..failure(&refusal_error(refusal, request, observation))
            });
        }
    }
    report
        .findings
        .extend(ownership::findings(request, observation));
    report
        .findings
        .extend(unused_master_host(request, observation));
    report.findings.extend(bystanders(observation));
    if !has_one_user {
        report.findings.extend(proxied(request, observation));
        report.findings.extend(sessions(request, observation));
    }
    report.standby_sessions.clone_from(&observation.sessions);
}

/// The reasons against a run, in the order in which a run reports them.
fn errors(request: &RunRequest<'_>, observation: &Observation) -> Vec<Finding> {
    let mut all = Vec::new();
    for refusal in observation.observed.guards.refusals() {
        match (refusal, &observation.inspection) {
            (Refusal::Unfit, Some(inspection)) => {
                let findings = inspection.findings.iter();
                all.extend(findings.filter(|f| f.severity == Severity::Error).cloned());
            }
            (Refusal::MasterLacks, Some(inspection)) => {
                all.extend(inspection.missing.iter().cloned());
            }
            _ => all.push(failure(&refusal_error(refusal, request, observation))),
        }
    }
    if observation.observed.is_pending_of_other() {
        let conflict = refusal_error(Refusal::PendingConflict, request, observation);
        all.push(failure(&conflict));
    }
    all
}

/// `master_host` in the config, if the master secret names another host, which counts first.
fn unused_master_host(request: &RunRequest<'_>, observation: &Observation) -> Option<Finding> {
    let configured = request.rotation.master_host.as_ref()?;
    let target = &observation.master.target;
    let same_port = configured.port.is_none() || configured.port == target.port;
    if same_host(&configured.host, &target.host) && same_port {
        return None;
    }
    Some(Finding {
        severity: Severity::Note,
        code: None,
        what: format!(
            "master_host {configured} is not used: the master secret names its own host, {}",
            target.host
        ),
        fix: Some("remove master_host from the config, or host from the master secret".into()),
    })
}

/// A secret with the host of RDS Proxy. The proxy reads AWSCURRENT of the secrets that are registered
/// at it, and so knows one user of the pair only.
fn proxied(request: &RunRequest<'_>, observation: &Observation) -> Option<Finding> {
    let own = &observation.resolved.target.host;
    let poolers = &request.rotation.poolers;
    let with_secrets = |host: &str| {
        let mut named = poolers
            .iter()
            .filter(|one| same_host(&one.address.host, host));
        named.any(|one| !one.secrets.is_empty())
    };
    let listed = poolers.iter().map(|one| &one.address.host);
    let mut hosts = [own].into_iter().chain(listed);
    hosts
        .find(|host| rds_host::is_proxy(host) && !with_secrets(host))
        .map(|host| without_secrets(host))
}

fn without_secrets(host: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: None,
        what: format!(
            "{host} is an RDS Proxy: after a flip it refuses the replaced user, unless each user of the pair has a secret of its own at the proxy"
        ),
        fix: Some("register one secret for each of the two users at the proxy and name them in `secrets` of the pooler, or let the applications connect to the database itself: see \"RDS Proxy\" in docs/endpoints.md".into()),
    }
}

/// Sessions that hold the pair's lock and are no runs. A run works around them.
fn bystanders(observation: &Observation) -> impl Iterator<Item = Finding> {
    let pair = &observation.resolved.pair;
    let holders = observation.lock_holders.iter();
    holders.filter(|holder| !holder.may_be_run).map(|holder| Finding {
        severity: Severity::Warning,
        code: Some(Code::AlreadyRunning),
        what: format!(
            "the lock of the pair {:?} and {:?} is held by {}, which is no run; runs work around it",
            pair.base,
            pair.clone,
            describe_holder(holder)
        ),
        fix: Some(format!(
            "find out why this client takes the lock; to end its session: {}",
            holder.end
        )),
    })
}

/// The first changes, and the number of the others.
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

fn sessions(request: &RunRequest<'_>, observation: &Observation) -> Option<Finding> {
    let standby = observation.resolved.pair.standby_user();
    let Some(sessions) = &observation.sessions else {
        return Some(Finding {
            severity: Severity::Note,
            code: None,
            what: format!("the server does not list the sessions of {standby:?}"),
            fix: None,
        });
    };
    if sessions.is_empty() {
        return None;
    }
    let clients: Vec<String> = sessions.iter().map(describe_session).collect();
    Some(Finding {
        severity: if request.rotation.in_use == InUse::Ignore {
            Severity::Note
        } else {
            Severity::Warning
        },
        code: Some(Code::StandbyInUse),
        what: format!(
            "sessions of the standby {standby:?} are open: {}",
            clients.join("; ")
        ),
        fix: Some(ownership::end_its_sessions(request, observation)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::rotation;

    #[test]
    fn windows_that_open_closer_than_min_interval_are_a_warning() {
        let warnings = |keys: &str| {
            let findings = offline(&rotation(&format!("tls.mode = \"require\"\n{keys}")));
            let warnings = findings.into_iter();
            let warnings = warnings.filter(|one| one.severity == Severity::Warning);
            warnings.map(|one| one.what).collect::<Vec<_>>()
        };
        let text = "the schedule opens windows closer together than min_interval";
        assert_eq!(
            warnings("schedule = \"rate(5 minutes)\"\nwindow = \"5m\""),
            [format!(
                "{text} (15m), so that the run of the second one is refused with too_soon: one opens every 5m"
            )]
        );
        let twice = "schedule = \"cron(0 8,10 * * ? *)\"\nmin_interval";
        assert_eq!(
            warnings(&format!("{twice} = \"3h\"")),
            [format!(
                "{text} (3h), so that the run of the second one is refused with too_soon: one opens at 08:00 and the next at 10:00"
            )]
        );
        assert_eq!(warnings(&format!("{twice} = \"2h\"")), [""; 0]);
    }

    #[test]
    fn a_proxy_in_front_of_the_applications_is_a_warning() {
        let finding = without_secrets("p.proxy-c0ffee.eu-west-1.rds.amazonaws.com");
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.what.contains("refuses the replaced user"));
    }
}
