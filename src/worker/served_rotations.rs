//! Rotations of the served store's secrets, in the terms of AWS: DescribeSecret and ListSecrets show
//! them, and RotateSecret starts a run on demand.
//!
//! # Failure modes
//! - The journal is unavailable, and applications that read labels with DescribeSecret wait or fail. The
//!   journal has a second; after a failure it is not queried for five. Meanwhile only what the config has
//!   is reported.
//! - Each description reads the record of every rotation. The summaries read those that have changed.
//! - A worker that stops starts a run, because the store is still served. It refuses.
//! - A hundred thousand rotations are searched for each secret. They are indexed by secret, once for each
//!   set of rotations.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::config::settings::Rotation;
use crate::journal::{Actor, ActorKind, RotationRecord};
use crate::rotation::context::rotation_set::RotationSet;
use crate::rotation::error::RotationError;
use crate::schedule::WindowPlan;
use crate::worker::rotation_state::pause;
use crate::worker::state::{RotateOptions, WorkerState};
use crate::worker::summaries::Summaries;
use crate::worker::views::anchor;
use twinkey_core::code::{Code, Diagnostic};
use twinkey_stores::VersionId;
use twinkey_stores::local::api::{RotationRules, RotationService, SecretRotation};
use twinkey_stores::local::{Refusal, RefusalKind, name_of};

/// The time that the journal has for an answer.
const JOURNAL_LIMIT: Duration = Duration::from_secs(1);
/// The time after a failure in which the journal is not queried.
const RETRY_AFTER: TimeDelta = TimeDelta::seconds(5);

/// The rotations of a worker, by their secrets in `[secrets]`.
pub struct ServedRotations {
    state: WorkerState,
    index: Mutex<Arc<SecretIndex>>,
    /// When the journal last failed, until it answers again.
    failed: Mutex<Option<DateTime<Utc>>>,
}

/// The rotations of one set by the names of their secrets.
#[derive(Default)]
struct SecretIndex {
    rotations: Arc<RotationSet>,
    by_secret: HashMap<String, Arc<Rotation>>,
}

impl SecretIndex {
    fn new(rotations: Arc<RotationSet>) -> Self {
        let of_served_store = rotations.iter().filter(|rotation| rotation.store.is_none());
        let by_secret = of_served_store
            .map(|rotation| (name_of(&rotation.secret).to_owned(), Arc::clone(rotation)))
            .collect();
        Self {
            rotations,
            by_secret,
        }
    }
}

impl ServedRotations {
    /// The rotations of this worker.
    #[must_use]
    pub fn new(state: WorkerState) -> Self {
        Self {
            state,
            index: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// The index of the active rotations.
    fn index(&self) -> Arc<SecretIndex> {
        let rotations = self.state.rotations();
        let mut index = self.index.lock();
        if !Arc::ptr_eq(&index.rotations, &rotations) {
            *index = Arc::new(SecretIndex::new(rotations));
        }
        Arc::clone(&index)
    }

    /// The summaries, if the journal answers in time.
    async fn summaries(&self, now: DateTime<Utc>) -> Option<Arc<Summaries>> {
        let failed = *self.failed.lock();
        if failed.is_some_and(|at| (now - at).abs() < RETRY_AFTER) {
            return None;
        }
        let answer = tokio::time::timeout(JOURNAL_LIMIT, self.state.summaries()).await;
        let error = match answer {
            Ok(Ok(summaries)) => {
                *self.failed.lock() = None;
                return Some(summaries);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", JOURNAL_LIMIT.as_secs()),
        };
        *self.failed.lock() = Some(now);
        tracing::warn!(%error, "rotations described without the journal");
        None
    }
}

#[async_trait]
impl RotationService for ServedRotations {
    async fn rotations_of(&self, secrets: &[&str]) -> HashMap<String, SecretRotation> {
        let index = self.index();
        let rotated: Vec<&Arc<Rotation>> = secrets
            .iter()
            .filter_map(|secret| index.by_secret.get(*secret))
            .collect();
        if rotated.is_empty() {
            return HashMap::new();
        }
        let now = self.state.now();
        let summaries = self.summaries(now).await;
        let entry = |rotation: &Arc<Rotation>| {
            let record = summaries.as_ref().map(|all| all.record(&rotation.name));
            let secret = name_of(&rotation.secret).to_owned();
            (secret, described(rotation, record.as_ref(), now))
        };
        rotated.into_iter().map(entry).collect()
    }

    async fn has_run(&self, secret: &str, version: &VersionId) -> Result<bool, Refusal> {
        let index = self.index();
        let Some(rotation) = index.by_secret.get(secret) else {
            return Ok(false);
        };
        let journal = &self.state.runner.rotator.journal;
        let run = journal.run_of(&rotation.name, version).await;
        run.map(|run| run.is_some())
            .map_err(|error| refusal(&error.into()))
    }

    async fn rotate(
        &self,
        secret: &str,
        version: Option<VersionId>,
        caller: &str,
    ) -> Result<VersionId, Refusal> {
        // The store is served until the last run is over.
        if self.state.runner.shutdown.drain.is_cancelled() {
            return Err(Refusal {
                kind: RefusalKind::ServiceUnavailable,
                message: "The worker is stopping, and starts no run.".into(),
            });
        }
        let index = self.index();
        let rotation = index.by_secret.get(secret).ok_or_else(|| Refusal {
            kind: RefusalKind::InvalidRequest,
            message: "The rotation of this secret was removed from the config.".into(),
        })?;
        let actor = Actor {
            kind: ActorKind::Token,
            name: caller.to_owned(),
            address: None,
        };
        let options = RotateOptions::default();
        let started = self
            .state
            .rotate(Arc::clone(rotation), options, actor.into(), version);
        started
            .await
            .map(|run| run.version_id)
            .map_err(|error| refusal(&error))
    }
}

/// The refusal of a run. A refused run is refused again; the clients of AWS repeat a request after an
/// internal error.
fn refusal(error: &RotationError) -> Refusal {
    let kind = match error {
        RotationError::Refused { .. } => RefusalKind::InvalidRequest,
        _ => RefusalKind::Internal,
    };
    // AWS's sentence.
    let sentence = match error.code() {
        Code::AlreadyRunning => "A previous rotation isn't complete. ",
        _ => "",
    };
    let message = format!("{sentence}{}: {error}; {}", error.code(), error.hint());
    Refusal { kind, message }
}

/// A rotation in the terms of AWS. Without its record, only what the config has is known.
fn described(
    rotation: &Rotation,
    record: Option<&RotationRecord>,
    now: DateTime<Utc>,
) -> SecretRotation {
    let is_paused = match record {
        Some(record) => pause(rotation, record, now).is_some(),
        None => rotation.paused,
    };
    let plan = rotation.windows.as_ref();
    let scheduled = plan.filter(|_| !is_paused);
    SecretRotation {
        name: rotation.name.clone(),
        enabled: scheduled.is_some(),
        rules: plan.map(|plan| RotationRules {
            schedule: plan.schedule.to_string(),
            window: plan.length,
        }),
        last_rotated: record.and_then(|record| record.last_success),
        next: scheduled.and_then(|plan| next_closing(plan, record?, now)),
    }
}

/// The closing of the window in which the next run is due: the open one, unless a run has succeeded in
/// it.
fn next_closing(
    plan: &WindowPlan,
    record: &RotationRecord,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let from = anchor(record, now);
    let open = plan.open_window(now, from);
    let due = open.filter(|window| record.last_success.is_none_or(|at| at < window.opens));
    let next = due.or_else(|| plan.next_window(now, from));
    next.map(|window| window.closes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{local, rotation};
    use crate::journal::Pause;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    fn daily() -> Rotation {
        rotation("schedule = \"cron(0 7 * * ? *)\"\nwindow = \"2h\"")
    }

    #[test]
    fn the_next_date_is_the_closing_of_the_due_window() {
        for (now, last, next) in [
            ("23T06:00", None, "23T09:00"),
            ("23T07:30", None, "23T09:00"),
            ("23T07:30", Some("22T07:10"), "23T09:00"),
            ("23T07:30", Some("23T07:10"), "24T09:00"),
            ("23T09:00", Some("22T07:10"), "24T09:00"),
        ] {
            let record = RotationRecord {
                last_success: last.map(at),
                ..RotationRecord::default()
            };
            let seen = described(&daily(), Some(&record), at(now));
            assert!(seen.enabled, "{now}");
            assert_eq!(seen.last_rotated, last.map(at), "{now}");
            assert_eq!(seen.next, Some(at(next)), "{now} {last:?}");
            let rules = seen.rules.unwrap();
            assert_eq!(rules.schedule, "cron(0 7 * * ? *)");
            assert_eq!(rules.window, Duration::from_secs(7200));
        }
    }

    #[test]
    fn a_paused_rotation_is_not_enabled_and_has_rules() {
        let record = RotationRecord {
            last_success: Some(at("22T07:10")),
            paused: Some(Pause {
                until: Some(at("25T00:00")),
                ..Pause::default()
            }),
            ..RotationRecord::default()
        };
        let paused = described(&daily(), Some(&record), at("23T06:00"));
        assert!(!paused.enabled && paused.next.is_none() && paused.rules.is_some());
        assert_eq!(paused.last_rotated, record.last_success);
        let resumed = described(&daily(), Some(&record), at("25T06:00"));
        assert_eq!(
            (resumed.enabled, resumed.next),
            (true, Some(at("25T09:00")))
        );
        let by_config = Rotation {
            paused: true,
            ..daily()
        };
        assert!(!described(&by_config, None, at("23T06:00")).enabled);
    }

    #[test]
    fn without_a_record_the_config_is_described() {
        let seen = described(&daily(), None, at("23T06:00"));
        assert!(seen.enabled && seen.rules.is_some());
        assert_eq!((seen.last_rotated, seen.next), (None, None));
        let on_demand = described(&rotation(""), None, at("23T06:00"));
        let expected = SecretRotation {
            name: "orders".into(),
            ..SecretRotation::default()
        };
        assert_eq!(on_demand, expected);
    }

    #[test]
    fn a_refused_run_is_an_invalid_request() {
        let refused = |code| RotationError::Refused {
            code,
            message: "why".into(),
            hint: "do".into(),
            passes: true,
        };
        let running = refusal(&refused(Code::AlreadyRunning));
        assert_eq!(running.kind, RefusalKind::InvalidRequest);
        assert_eq!(
            running.message,
            "A previous rotation isn't complete. already_running: why; do"
        );
        let early = refusal(&refused(Code::TooSoon));
        assert_eq!(early.message, "too_soon: why; do");
        let defect = refusal(&RotationError::Internal("why".into()));
        assert_eq!(defect.kind, RefusalKind::Internal);
    }

    #[test]
    fn the_index_has_the_secrets_of_the_served_store() {
        let arn = "arn:aws:secretsmanager:local:000000000000:secret:prod/b-a1B2c3";
        let config = format!(
            "[[store]]\nname = \"eu\"\nbackend = \"aws\"\nregion = \"eu-west-1\"\n\
             [[rotation]]\nname = \"a\"\nsecret = \"prod/a\"\n\
             [[rotation]]\nname = \"b\"\nsecret = \"{arn}\"\n\
             [[rotation]]\nname = \"c\"\nsecret = \"prod/c\"\nstore = \"eu\"\n"
        );
        let set: RotationSet = local(&config).rotations.into_iter().collect();
        let index = SecretIndex::new(Arc::new(set));
        let name = |secret: &str| Some(index.by_secret.get(secret)?.name.as_str());
        assert_eq!(name("prod/a"), Some("a"));
        assert_eq!(name("prod/b"), Some("b"));
        assert_eq!(name("prod/c"), None);
    }
}
