//! Schedule of retirements: when the users of AWSPREVIOUS are locked (`retire_after`).
//!
//! # Failure modes
//! - A user cannot be locked now. The next attempt is ten minutes later.
//! - Thousands of users are due at once. Each takes a permit of `limits.concurrency`, as a run
//!   does.
//! - The journal is lost. No user is locked until the next flip is recorded.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::settings::{Rotation, Strategy};
use crate::journal::{Actor, AuditAction, AuditRecord, RotationRecord};
use crate::rotation::commands::retire::{Retirement, due, is_due, retire};
use crate::rotation::event::Event;
use crate::rotation::observe::observation::RunRequest;
use crate::rotation::refusal::describe_session;
use crate::rotation::run::version_id;
use crate::worker::rotation_state::pause;
use crate::worker::window_runner::WindowRunner;
use twinkey_core::code::Diagnostic;
use twinkey_core::telemetry::AUDIT;

/// Interval of attempts to lock one user.
const RETRY_INTERVAL: TimeDelta = TimeDelta::minutes(10);
/// Interval of reads of the journal while a user is due and not locked.
const RECHECK_INTERVAL: TimeDelta = TimeDelta::seconds(60);
/// The least time between two reads of the journal. Users that are due meanwhile are locked together.
const MIN_INTERVAL: TimeDelta = TimeDelta::seconds(5);

/// Last attempts, and the earliest time of the next retirement.
#[derive(Debug, Default)]
pub(super) struct Retirements {
    tried: HashMap<String, DateTime<Utc>>,
    /// The next read of the journal. No user is due before, unless an attempt to lock it failed.
    next: Option<DateTime<Utc>>,
}

impl Retirements {
    /// Whether to lock the user `now`; records the attempt.
    pub(super) fn take_due(
        &mut self,
        rotation: &Rotation,
        memory: &RotationRecord,
        now: DateTime<Utc>,
    ) -> bool {
        let over = is_due(rotation, memory.last_flip, now);
        if !over || memory.retired.is_some() || pause(rotation, memory, now).is_some() {
            self.tried.remove(&rotation.name);
            return false;
        }
        let tried = self.tried.get(&rotation.name);
        if tried.is_some_and(|at| now - *at < RETRY_INTERVAL) {
            return false;
        }
        self.tried.insert(rotation.name.clone(), now);
        true
    }

    /// When the journal is read next; `None` without `retire_after`.
    pub(super) fn next(&self) -> Option<DateTime<Utc>> {
        self.next
    }

    /// Computes when the next user can be due, from the records of all rotations at `now`.
    ///
    /// A flip after `now` is not due before the shortest `retire_after` passed, so that no flip is
    /// overlooked, by whichever worker or command it is made.
    pub(super) fn plan<'a>(
        &mut self,
        all: impl Iterator<Item = (&'a Rotation, &'a RotationRecord)>,
        now: DateTime<Utc>,
    ) {
        let next = all.filter_map(|(rotation, memory)| {
            let flip_now = due(rotation, Some(now))?;
            let known = due(rotation, memory.last_flip).filter(|_| memory.retired.is_none());
            let known = known.map(|at| {
                if at <= now {
                    now + RECHECK_INTERVAL
                } else {
                    at
                }
            });
            Some(known.map_or(flip_now, |at| at.min(flip_now)))
        });
        self.next = next.min().map(|at| at.max(now + MIN_INTERVAL));
    }

    /// Reads the journal again at `at`, because this read failed.
    pub(super) fn again(&mut self, now: DateTime<Utc>) {
        self.next = Some(now + RECHECK_INTERVAL);
    }

    /// Resets the plan, because no rotation has `retire_after`.
    pub(super) fn clear(&mut self) {
        self.next = None;
    }
}

impl WindowRunner {
    /// Locks the user of AWSPREVIOUS of a rotation, and reports the result.
    pub(super) async fn retire(&self, rotation: &Rotation, memory: &RotationRecord) {
        let Some(_permit) = self.permit().await else {
            return;
        };
        let request = RunRequest {
            rotation,
            run: None,
            own: version_id::manual(),
            may_exist: false,
            force: false,
            end_sessions: false,
            window: None,
            last_flip: memory.last_flip,
            retired: false,
            lock: true,
            journal: &*self.rotator.journal,
            worker: &self.rotator.worker,
        };
        let context = self.rotator.context.of(rotation);
        let result = tokio::select! {
            result = retire(&context, &request) => result,
            () = self.shutdown.abort.cancelled() => return,
        };
        let name = &rotation.name;
        match result {
            Ok(Retirement::Done { user }) => {
                let now = self.rotator.context.clock.now();
                let actor = Actor::worker(&self.rotator.worker);
                let cause = actor.clone().into();
                let record = AuditRecord::done(AuditAction::Retire, name, cause, now);
                if let Err(error) = self.rotator.journal.retired(name, &record).await {
                    tracing::warn!(rotation = %name, %error, "retirement not recorded");
                }
                let what = match rotation.strategy {
                    Strategy::Alternating => "user of AWSPREVIOUS locked",
                    Strategy::Single { .. } => "password in AWSPREVIOUS discarded",
                };
                tracing::warn!(target: AUDIT, rotation = %name, %user, "{what}");
                let retired = Event::Retired {
                    rotation: name.clone(),
                    user,
                    actor,
                };
                self.rotator.events.send(now, retired);
            }
            Ok(Retirement::InUse { user, sessions }) => {
                let clients: Vec<String> = sessions.iter().take(5).map(describe_session).collect();
                tracing::warn!(rotation = %name, %user, sessions = sessions.len(), clients = %clients.join("; "), "retirement postponed: sessions are open");
            }
            Ok(Retirement::NotNow(reason)) => {
                tracing::info!(rotation = %name, reason, "retirement postponed");
            }
            Err(error) => {
                tracing::warn!(rotation = %name, code = %error.code(), %error, hint = %error.hint(), "retirement failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::rotation;
    use crate::journal::Pause;

    fn at(hour: u32) -> DateTime<Utc> {
        let at = format!("2026-11-{:02}T{:02}:00:00Z", 1 + hour / 24, hour % 24);
        at.parse().unwrap()
    }

    fn flipped() -> RotationRecord {
        RotationRecord {
            last_flip: Some(at(0)),
            ..RotationRecord::default()
        }
    }

    #[test]
    fn is_due_once_after_the_flip_and_only_if_configured() {
        let day = rotation("retire_after = \"24h\"");
        let mut retirements = Retirements::default();
        assert!(!retirements.take_due(&day, &flipped(), at(23)));
        assert!(retirements.take_due(&day, &flipped(), at(24)));
        let done = RotationRecord {
            retired: Some(at(24)),
            ..flipped()
        };
        assert!(!retirements.take_due(&day, &done, at(48)));
        assert!(!retirements.take_due(&rotation(""), &flipped(), at(48)));
        let never = RotationRecord::default();
        assert!(!retirements.take_due(&day, &never, at(48)));
    }

    #[test]
    fn the_journal_is_read_when_the_next_user_can_be_due() {
        let (day, never) = (rotation("retire_after = \"24h\""), rotation(""));
        let mut retirements = Retirements::default();
        let mut next = |all: &[(&Rotation, &RotationRecord)], now| {
            retirements.plan(all.iter().copied(), now);
            retirements.next()
        };
        let done = RotationRecord {
            retired: Some(at(1)),
            ..flipped()
        };
        let both = [(&day, &flipped()), (&never, &flipped())];
        assert_eq!(next(&both, at(10)), Some(at(24)));
        // A flip a moment later is due in a day.
        assert_eq!(next(&[(&day, &done)], at(10)), Some(at(34)));
        // A user that is due and not locked may be locked at any time.
        let recheck = at(30) + RECHECK_INTERVAL;
        assert_eq!(next(&[(&day, &flipped())], at(30)), Some(recheck));
        let at_once = rotation("retire_after = \"0s\"\nmin_interval = \"0s\"");
        let soon = at(10) + MIN_INTERVAL;
        assert_eq!(next(&[(&at_once, &done)], at(10)), Some(soon));
        assert_eq!(next(&[(&never, &flipped())], at(10)), None);
    }

    #[test]
    fn retries_after_ten_minutes_and_skips_paused_rotations() {
        let day = rotation("retire_after = \"24h\"");
        let mut retirements = Retirements::default();
        assert!(retirements.take_due(&day, &flipped(), at(30)));
        let soon = at(30) + TimeDelta::minutes(9);
        assert!(!retirements.take_due(&day, &flipped(), soon));
        let later = at(30) + TimeDelta::minutes(10);
        assert!(retirements.take_due(&day, &flipped(), later));
        let paused = RotationRecord {
            paused: Some(Pause::default()),
            ..flipped()
        };
        assert!(!retirements.take_due(&day, &paused, at(48)));
    }
}
