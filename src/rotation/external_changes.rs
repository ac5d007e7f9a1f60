//! Moves of the staging labels by other parties. A run, a rollback or a heartbeat notices one, and the
//! journal records it once.
//!
//! # Failure modes
//! - A move is recorded at each heartbeat. The journal keeps the version of each label, and compares it
//!   in the transaction that records the move.
//! - A rollback or a run of this journal is taken for another party, because its record follows the
//!   move. A move is read again after a while, in the journal and in the store.
//! - A run is interrupted after it moved AWSCURRENT. Its step `finish` is on record, and has not ended.
//! - A rotation gets another secret in the config. The versions of the former one do not count.
//! - The journal does not answer. The next run or heartbeat notices the move.

use std::time::Duration;

use crate::config::settings::Rotation;
use crate::journal::{
    Actor, AuditAction, AuditRecord, Journal, JournalError, KnownVersion, LabelledVersion,
};
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

    /// Time that a run or a rollback has to record that it moved AWSCURRENT. While the pair is locked,
    /// only the record of the last one can be missing.
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

/// Records moves of AWSCURRENT, and an AWSPENDING of another party, that an observation shows.
pub(crate) async fn record_changes(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &Observation,
    by: Observer,
) {
    let recorder = ChangeRecorder {
        context,
        journal: request.journal,
        worker: request.worker,
        rotation: request.rotation,
        by,
    };
    let current = &observation.resolved.version_id;
    recorder.record(stage::CURRENT, current).await;
    let description = &observation.description;
    let pending = description.labelled(stage::PENDING);
    let finished = [Some(current), description.labelled(stage::PREVIOUS)];
    if let Some(pending) =
        pending.filter(|id| **id != request.own && !finished.contains(&Some(*id)))
    {
        recorder.record(stage::PENDING, pending).await;
    }
}

impl ChangeRecorder<'_> {
    /// Records that a label is on a version, if it was not known there and no run of this journal
    /// moved it there.
    pub(crate) async fn record(&self, label: &str, version: &VersionId) {
        if let Err(error) = self.try_record(label, version).await {
            tracing::warn!(rotation = %self.rotation.name, label, %error, "label not compared");
        }
    }

    async fn try_record(&self, label: &str, version: &VersionId) -> Result<(), JournalError> {
        let seen = LabelledVersion {
            rotation: self.rotation.name.clone(),
            secret: self.rotation.secret_in_store(),
            label: label.to_owned(),
            version_id: version.clone(),
        };
        let mut known = self.journal.known_version(&seen).await?;
        let is_known = |known: &KnownVersion| known.version.as_ref() == Some(version);
        if is_known(&known) {
            return Ok(());
        }
        if label == stage::CURRENT && known.version.is_some() && !known.by_run {
            tokio::time::sleep(self.by.confirm_after()).await;
            known = self.journal.known_version(&seen).await?;
            if is_known(&known) || !self.is_on(label, version).await {
                return Ok(());
            }
        }
        let from = known.version.as_ref();
        let actor = Actor::worker(self.worker);
        let now = self.context.clock.now();
        let record = AuditRecord {
            reason: Some(self.reason(label, from, version)),
            ..AuditRecord::done(AuditAction::Change, &self.rotation.name, actor.into(), now)
        };
        if self.journal.label_moved(&seen, from, &record).await? {
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

    /// Whether the label is still there. An error of the store leaves it to the next observation.
    async fn is_on(&self, label: &str, version: &VersionId) -> bool {
        let described = self.context.store.describe(&self.rotation.secret).await;
        described.is_ok_and(|described| described.labelled(label) == Some(version))
    }
}
