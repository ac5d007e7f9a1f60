//! Moves of the staging labels by other parties. A run, a rollback or a heartbeat notices one, and the
//! journal records it once.
//!
//! # Failure modes
//! - A move is recorded at each heartbeat. The journal keeps the version of each label, and compares it
//!   in the transaction that records the move.
//! - A rollback or a run of this journal is taken for another party, because its record follows the
//!   move. A move is read again after a while, in the journal and in the store.
//! - A run holds the pair's lock while it waits for that. It reads again after it released the lock.
//! - A run moves AWSCURRENT before it reads again, and its end in the journal hides the former move. It
//!   reads again before that end is recorded; if the run is interrupted meanwhile, the move is lost.
//! - A run is interrupted after it moved AWSCURRENT. Its step `finish` is on record, and has not ended.
//! - A rotation gets another secret in the config. The versions of the former one do not count.
//! - The journal does not answer. The next run or heartbeat notices the move.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::settings::Rotation;
use crate::journal::{Actor, AuditAction, AuditRecord, Journal, JournalError, LabelledVersion};
use crate::rotation::context::RunContext;
use crate::rotation::observe::observation::{Observation, RunRequest};
use twinkey_core::telemetry::AUDIT;
use twinkey_stores::{VersionId, stage};

/// What notices moves of labels.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Observer {
    Run,
    Rollback,
    Heartbeat,
}

impl Observer {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "a run",
            Self::Rollback => "a rollback",
            Self::Heartbeat => "a heartbeat",
        }
    }

    /// Time that a run or a rollback has to record that it moved AWSCURRENT. At an observation under the
    /// pair's lock, only the record of the last one can be missing.
    const fn confirm_after(self) -> Duration {
        match self {
            Self::Run | Self::Rollback => Duration::from_millis(500),
            Self::Heartbeat => Duration::from_secs(3),
        }
    }
}

/// What records moves of labels.
#[derive(Clone, Copy)]
pub(crate) struct ChangeRecorder<'a> {
    pub context: &'a RunContext,
    pub journal: &'a dyn Journal,
    /// The name of this process in the journal.
    pub worker: &'a str,
    pub rotation: &'a Rotation,
    pub by: Observer,
}

/// Records moves of AWSCURRENT, and an AWSPENDING of another party, that an observation shows. Does not
/// wait: returns a move of AWSCURRENT that has to be confirmed.
pub(crate) async fn notice_changes<'a>(
    context: &'a RunContext,
    request: &RunRequest<'a>,
    observation: &Observation,
    by: Observer,
) -> Option<Unconfirmed<'a>> {
    let recorder = ChangeRecorder {
        context,
        journal: request.journal,
        worker: request.worker,
        rotation: request.rotation,
        by,
    };
    let current = &observation.resolved.version_id;
    let unconfirmed = recorder.notice(stage::CURRENT, current).await;
    let description = &observation.description;
    let pending = description.labelled(stage::PENDING);
    let finished = [Some(current), description.labelled(stage::PREVIOUS)];
    if let Some(pending) =
        pending.filter(|id| **id != request.own && !finished.contains(&Some(*id)))
    {
        recorder.record(stage::PENDING, pending).await;
    }
    unconfirmed
}

/// A move of AWSCURRENT that nothing on record explains yet.
pub(crate) struct Unconfirmed<'a> {
    recorder: ChangeRecorder<'a>,
    seen: LabelledVersion,
    noticed: Instant,
}

impl Unconfirmed<'_> {
    /// Waits for a record that explains the move, and records it as a change if there is none.
    ///
    /// `next`: the version to which the observer itself moves AWSCURRENT meanwhile.
    pub(crate) async fn confirm(self, next: Option<&VersionId>) {
        let (recorder, seen) = (self.recorder, &self.seen);
        let left = (recorder.by.confirm_after()).saturating_sub(self.noticed.elapsed());
        recorder.context.clock.sleep(left).await;
        let recorded = async {
            let known = recorder.journal.known_version(seen).await?;
            if known.version.as_ref() != Some(&seen.version_id)
                && recorder.is_on(&seen.label, &seen.version_id, next).await
            {
                recorder.moved(seen, known.version.as_ref()).await?;
            }
            Ok(())
        };
        recorder.log_error(&seen.label, recorded.await);
    }
}

impl<'a> ChangeRecorder<'a> {
    /// Records that a label is on a version, if it was not known there and no run of this journal
    /// moved it there.
    pub(crate) async fn record(&self, label: &str, version: &VersionId) {
        if let Some(unconfirmed) = self.notice(label, version).await {
            unconfirmed.confirm(None).await;
        }
    }

    /// As [`Self::record`], without a wait.
    async fn notice(&self, label: &str, version: &VersionId) -> Option<Unconfirmed<'a>> {
        let seen = LabelledVersion {
            rotation: self.rotation.name.clone(),
            secret: self.rotation.secret_in_store(),
            label: label.to_owned(),
            version_id: version.clone(),
        };
        let noticed = async {
            let known = self.journal.known_version(&seen).await?;
            if known.version.as_ref() == Some(version) {
                return Ok(false);
            }
            if label == stage::CURRENT && known.version.is_some() && !known.by_run {
                return Ok(true);
            }
            self.moved(&seen, known.version.as_ref()).await?;
            Ok(false)
        };
        let must_confirm = self.log_error(label, noticed.await)?;
        must_confirm.then(|| Unconfirmed {
            recorder: *self,
            seen,
            noticed: Instant::now(),
        })
    }

    fn log_error<T>(&self, label: &str, result: Result<T, JournalError>) -> Option<T> {
        result
            .inspect_err(|error| {
                tracing::warn!(rotation = %self.rotation.name, label, %error, "label not compared");
            })
            .ok()
    }

    /// Records that a label moved.
    async fn moved(
        &self,
        seen: &LabelledVersion,
        from: Option<&VersionId>,
    ) -> Result<(), JournalError> {
        let (label, version) = (&seen.label, &seen.version_id);
        let actor = Actor::worker(self.worker);
        let now = self.context.clock.now();
        let record = AuditRecord {
            reason: Some(self.reason(label, from, version)),
            ..AuditRecord::done(AuditAction::Change, &self.rotation.name, actor.into(), now)
        };
        if self.journal.label_moved(seen, from, &record).await? {
            let from = from.map_or("-", |known| known.0.as_str());
            tracing::warn!(target: AUDIT, rotation = %self.rotation.name, label, from, to = %version.0, by = self.by.as_str(), "label moved outside runs");
        }
        Ok(())
    }

    fn reason(&self, label: &str, from: Option<&VersionId>, to: &VersionId) -> String {
        let by = self.by.as_str();
        match from.filter(|_| label == stage::CURRENT) {
            Some(from) => format!(
                "{label} moved from version {} to {} without a run or a rollback on record; noticed by {by}",
                from.0, to.0
            ),
            None => format!(
                "{label} is on version {}, which no run on record created; noticed by {by}",
                to.0
            ),
        }
    }

    /// Whether the label is still there, or where the observer moved it. An error of the store leaves it
    /// to the next observation.
    async fn is_on(&self, label: &str, version: &VersionId, next: Option<&VersionId>) -> bool {
        let described = self.context.store.describe(&self.rotation.secret).await;
        described.is_ok_and(|described| {
            let on = described.labelled(label);
            on.is_some() && (on == Some(version) || on == next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::journal::SqliteJournal;
    use crate::worker::tests::{StoreAnswer, new_state};
    use chrono::TimeDelta;

    #[tokio::test]
    async fn a_change_is_noticed_at_once_and_confirmed_later() {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("j.db")).await;
        let journal: Arc<dyn Journal> = Arc::new(journal.unwrap());
        let now = "2026-11-20T06:00:00";
        let (state, _, control) = new_state(Arc::clone(&journal), "", now, StoreAnswer::NotFound);
        let rotation = state.rotation("orders").unwrap();
        let recorder = ChangeRecorder {
            context: &state.runner.rotator.context.of(&rotation),
            journal: &*journal,
            worker: "w",
            rotation: &rotation,
            by: Observer::Run,
        };
        let notice = async |version: &str| {
            let version = VersionId(version.into());
            recorder.notice(stage::CURRENT, &version).await
        };
        // A wait would never end: the clock stands still.
        assert!(notice("first").await.is_none(), "the first sight");
        assert!(notice("first").await.is_none(), "known");
        let unconfirmed = notice("second").await.expect("nothing explains it");
        assert_eq!(control.sleepers(), 0);

        let mut confirmed = std::pin::pin!(unconfirmed.confirm(None));
        let waits = async {
            while control.sleepers() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = &mut confirmed => panic!("it does not wait"),
            () = waits => {}
        }
        control.advance(TimeDelta::milliseconds(500));
        confirmed.await;
    }
}
