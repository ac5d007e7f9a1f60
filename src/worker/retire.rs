//! Schedule of retirements: when the users of AWSPREVIOUS are locked (`retire_after`).
//!
//! # Failure modes
//! - A user cannot be locked now. The next attempt is ten minutes later.
//! - Thousands of users are due at once. Each takes a permit of `limits.concurrency`, as a run
//!   does.
//! - The journal is lost. No user is locked until the next flip is recorded.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::settings::Rotation;
use crate::journal::RotationRecord;
use crate::rotation::commands::retire::{Retirement, due, is_due, retire};
use crate::rotation::event::Event;
use crate::rotation::observe::observation::RunRequest;
use crate::rotation::refusal::describe_session;
use crate::rotation::run::version_id;
use crate::worker::window_runner::WindowRunner;
use twinkey_core::code::Diagnostic;
use twinkey_core::telemetry::AUDIT;

/// Interval of attempts to lock one user.
const RETRY_INTERVAL: TimeDelta = TimeDelta::minutes(10);

/// Last attempts, and the earliest time of the next retirement.
#[derive(Debug, Default)]
pub(super) struct Retirements {
    tried: HashMap<String, DateTime<Utc>>,
    /// No user is due before this time.
    not_before: Option<DateTime<Utc>>,
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
        if !over || memory.retired.is_some() || memory.paused {
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

    /// Whether a user can be due `now`. Before that the journal is not read.
    pub(super) fn may_be_due(&self, now: DateTime<Utc>) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// Computes when the next user can be due, from the records of all rotations at `now`.
    ///
    /// A flip after `now` is not due before the shortest `retire_after` passed. A user that is due
    /// and not locked may be locked at any time.
    pub(super) fn plan<'a>(
        &mut self,
        all: impl Iterator<Item = (&'a Rotation, &'a RotationRecord)>,
        now: DateTime<Utc>,
    ) {
        let next = all.filter_map(|(rotation, memory)| {
            let flip_now = due(rotation, Some(now))?;
            let known = due(rotation, memory.last_flip).filter(|_| memory.retired.is_none());
            Some(known.map_or(flip_now, |at| at.min(flip_now)))
        });
        self.not_before = next.min();
    }

    /// Resets the plan after a reload or a change of the clock.
    pub(super) fn forget_plan(&mut self) {
        self.not_before = None;
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
            own: version_id::manual(),
            may_exist: false,
            force: false,
            end_sessions: false,
            window: None,
            last_flip: memory.last_flip,
            retired: false,
            lock: true,
            journal: &*self.rotator.journal,
        };
        let result = tokio::select! {
            result = retire(&self.rotator.context, &request) => result,
            () = self.shutdown.abort.cancelled() => return,
        };
        let name = &rotation.name;
        match result {
            Ok(Retirement::Done { user }) => {
                let now = self.rotator.context.clock.now();
                if let Err(error) = self.rotator.journal.retired(name, now).await {
                    tracing::warn!(rotation = %name, %error, "retirement not recorded");
                }
                tracing::warn!(target: AUDIT, rotation = %name, %user, "user of AWSPREVIOUS locked");
                let rotation = name.clone();
                self.rotator
                    .events
                    .send(now, Event::Retired { rotation, user });
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
    fn the_journal_is_not_read_before_a_user_can_be_due() {
        let (day, never) = (rotation("retire_after = \"24h\""), rotation(""));
        let mut retirements = Retirements::default();
        assert!(retirements.may_be_due(at(0)), "no plan was made");
        let done = RotationRecord {
            retired: Some(at(1)),
            ..flipped()
        };
        retirements.plan(
            [(&day, &flipped()), (&never, &flipped())].into_iter(),
            at(10),
        );
        assert!(!retirements.may_be_due(at(23)));
        assert!(retirements.may_be_due(at(24)));
        // A flip a moment later is due in a day.
        retirements.plan([(&day, &done)].into_iter(), at(10));
        assert!(!retirements.may_be_due(at(33)) && retirements.may_be_due(at(34)));
        // A user that is due and not locked may be locked at any time.
        retirements.plan([(&day, &flipped())].into_iter(), at(30));
        assert!(retirements.may_be_due(at(30)));
        retirements.plan([(&day, &done)].into_iter(), at(10));
        retirements.forget_plan();
        assert!(retirements.may_be_due(at(11)));
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
            paused: true,
            ..flipped()
        };
        assert!(!retirements.take_due(&day, &paused, at(48)));
    }
}
