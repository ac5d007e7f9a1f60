//! Locking the users of AWSPREVIOUS when their time is over (`retire_after`), between the windows.
//!
//! What can go wrong, and what prevents it:
//! - one that cannot be locked now is tried again and again: not more often than every ten minutes;
//! - thousands become due at once: each takes a place among `limits.concurrency`, like a run;
//! - the journal is lost: then nothing is locked until the next flip is known.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::settings::Rotation;
use crate::journal::RotationMemory;
use crate::rotation::event::Event;
use crate::rotation::explain::described;
use crate::rotation::identity;
use crate::rotation::retire::{Retirement, due, is_due, retire};
use crate::rotation::scene::Task;
use crate::worker::windows::Crew;
use twinkey_core::telemetry::AUDIT;

const AGAIN: TimeDelta = TimeDelta::minutes(10);

/// When each was tried last.
#[derive(Debug, Default)]
pub(super) struct Retirements {
    tried: HashMap<String, DateTime<Utc>>,
    /// Before that nobody is due, whatever happens.
    not_before: Option<DateTime<Utc>>,
}

impl Retirements {
    /// Whether it is to be tried `now`; then that is remembered.
    pub(super) fn take_due(
        &mut self,
        rotation: &Rotation,
        memory: &RotationMemory,
        now: DateTime<Utc>,
    ) -> bool {
        let over = is_due(rotation, memory.last_flip, now);
        if !over || memory.retired.is_some() || memory.paused {
            self.tried.remove(&rotation.name);
            return false;
        }
        let tried = self.tried.get(&rotation.name);
        if tried.is_some_and(|at| now - *at < AGAIN) {
            return false;
        }
        self.tried.insert(rotation.name.clone(), now);
        true
    }

    /// Whether anybody can be due `now`. Until then the journal need not be asked about thousands.
    pub(super) fn may_be_due(&self, now: DateTime<Utc>) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// Learns from everything that is remembered `now` when the next one can be due: who flips from now on is not
    /// due before the shortest `retire_after` has gone by. Of who is due and was not locked nothing is known.
    pub(super) fn plan<'a>(
        &mut self,
        all: impl Iterator<Item = (&'a Rotation, &'a RotationMemory)>,
        now: DateTime<Utc>,
    ) {
        let next = all.filter_map(|(rotation, memory)| {
            let flip_now = due(rotation, Some(now))?;
            let known = due(rotation, memory.last_flip).filter(|_| memory.retired.is_none());
            Some(known.map_or(flip_now, |at| at.min(flip_now)))
        });
        self.not_before = next.min();
    }

    /// A new config, or a clock that was set: all is open again.
    pub(super) fn forget_plan(&mut self) {
        self.not_before = None;
    }
}

impl Crew {
    /// Locks the user of AWSPREVIOUS of a rotation whose time for it has come, and says what came of it.
    pub(super) async fn retire(&self, rotation: &Rotation, memory: &RotationMemory) {
        let Some(_place) = self.place().await else {
            return;
        };
        let task = Task {
            rotation,
            own: identity::manual(),
            may_exist: false,
            force: false,
            window: None,
            last_flip: memory.last_flip,
            retired: false,
            lock: true,
        };
        let result = tokio::select! {
            result = retire(&self.rotator.site, &task) => result,
            () = self.stop.park.cancelled() => return,
        };
        let name = &rotation.name;
        match result {
            Ok(Retirement::Done { user }) => {
                let now = self.rotator.site.clock.now();
                if let Err(error) = self.rotator.journal.retired(name, now).await {
                    tracing::warn!(rotation = %name, %error, "that AWSPREVIOUS was retired could not be recorded");
                }
                tracing::warn!(target: AUDIT, rotation = %name, %user, "the user of AWSPREVIOUS was locked");
                let rotation = name.clone();
                self.rotator
                    .events
                    .send(now, Event::Retired { rotation, user });
            }
            Ok(Retirement::InUse { user, sessions }) => {
                let who: Vec<String> = sessions.iter().take(5).map(described).collect();
                tracing::warn!(rotation = %name, %user, sessions = sessions.len(), who = %who.join("; "), "AWSPREVIOUS is not locked: somebody is still signed in as its user");
            }
            Ok(Retirement::NotNow(why)) => {
                tracing::info!(rotation = %name, why, "AWSPREVIOUS is not locked now");
            }
            Err(error) => {
                tracing::warn!(rotation = %name, code = %error.code(), %error, hint = %error.hint(), "AWSPREVIOUS could not be locked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    fn rotation(keys: &str) -> Rotation {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        let text = format!(
            "[secrets]\nbackend = \"local\"\n[[rotation]]\nname = \"app\"\nsecret = \"app/db\"\n{keys}\n"
        );
        std::fs::write(file.path(), text).unwrap();
        let path: &Path = file.path();
        let settings = crate::config::load(Some(path), &BTreeMap::new()).unwrap();
        settings.rotations.into_iter().next().unwrap()
    }

    fn at(hour: u32) -> DateTime<Utc> {
        let at = format!("2026-11-{:02}T{:02}:00:00Z", 1 + hour / 24, hour % 24);
        at.parse().unwrap()
    }

    fn flipped() -> RotationMemory {
        RotationMemory {
            last_flip: Some(at(0)),
            ..RotationMemory::default()
        }
    }

    #[test]
    fn it_is_due_so_long_after_the_flip_once_and_not_where_nobody_asks_for_it() {
        let day = rotation("retire_after = \"24h\"");
        let mut retirements = Retirements::default();
        assert!(!retirements.take_due(&day, &flipped(), at(23)));
        assert!(retirements.take_due(&day, &flipped(), at(24)));
        let done = RotationMemory {
            retired: Some(at(24)),
            ..flipped()
        };
        assert!(!retirements.take_due(&day, &done, at(48)));
        assert!(!retirements.take_due(&rotation(""), &flipped(), at(48)));
        let never = RotationMemory::default();
        assert!(!retirements.take_due(&day, &never, at(48)));
    }

    #[test]
    fn nobody_is_looked_for_before_somebody_can_be_due() {
        let (day, never) = (rotation("retire_after = \"24h\""), rotation(""));
        let mut retirements = Retirements::default();
        assert!(retirements.may_be_due(at(0)), "nothing is known yet");
        let done = RotationMemory {
            retired: Some(at(1)),
            ..flipped()
        };
        retirements.plan(
            [(&day, &flipped()), (&never, &flipped())].into_iter(),
            at(10),
        );
        assert!(!retirements.may_be_due(at(23)));
        assert!(retirements.may_be_due(at(24)));
        // Whoever flips a moment later is due in a day.
        retirements.plan([(&day, &done)].into_iter(), at(10));
        assert!(!retirements.may_be_due(at(33)) && retirements.may_be_due(at(34)));
        // Not locked although due: it may be at any time.
        retirements.plan([(&day, &flipped())].into_iter(), at(30));
        assert!(retirements.may_be_due(at(30)));
        retirements.plan([(&day, &done)].into_iter(), at(10));
        retirements.forget_plan();
        assert!(retirements.may_be_due(at(11)));
    }

    #[test]
    fn what_could_not_be_locked_is_tried_again_after_ten_minutes_and_a_paused_one_is_left() {
        let day = rotation("retire_after = \"24h\"");
        let mut retirements = Retirements::default();
        assert!(retirements.take_due(&day, &flipped(), at(30)));
        let soon = at(30) + TimeDelta::minutes(9);
        assert!(!retirements.take_due(&day, &flipped(), soon));
        let later = at(30) + TimeDelta::minutes(10);
        assert!(retirements.take_due(&day, &flipped(), later));
        let paused = RotationMemory {
            paused: true,
            ..flipped()
        };
        assert!(!retirements.take_due(&day, &paused, at(48)));
    }
}
