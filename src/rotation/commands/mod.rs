//! Commands besides a run, for the command line and the admin endpoint.

pub mod check;
pub mod heartbeat;
pub mod plan;
mod readers;
pub mod repair;
pub mod retire;
pub mod rollback;

use chrono::{DateTime, Utc};

use crate::config::settings::Rotation;
use crate::journal::{AuditAction, AuditRecord, Cause, Pause};
use crate::rotation::commands::check::{Report, check};
use crate::rotation::commands::plan::{Plan, plan};
use crate::rotation::commands::retire::is_due;
use crate::rotation::commands::rollback::{RollbackOrder, RolledBack, rollback};
use crate::rotation::error::RotationError;
use crate::rotation::event::Event;
use crate::rotation::observe::observation::RunRequest;
use crate::rotation::run::Rotator;
use crate::rotation::run::version_id;
use twinkey_core::telemetry::AUDIT;

impl Rotator {
    /// A request for an observation without a lock.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn preview<'a>(
        &'a self,
        rotation: &'a Rotation,
    ) -> Result<RunRequest<'a>, RotationError> {
        let memory = self.journal.rotation_record(&rotation.name).await?;
        let memory = memory.unwrap_or_default();
        let over = is_due(rotation, memory.last_flip, self.context.clock.now());
        Ok(RunRequest {
            rotation,
            run: None,
            own: version_id::manual(),
            may_exist: false,
            force: false,
            end_sessions: false,
            window: None,
            last_flip: memory.last_flip,
            // A worker that exits after it locked a user may not have recorded that.
            retired: over || memory.retired.is_some(),
            lock: false,
            journal: &*self.journal,
            worker: &self.worker,
        })
    }

    /// The changes that a run would make now.
    ///
    /// # Errors
    /// What prevents an observation; `journal_unavailable`.
    pub async fn plan(&self, rotation: &Rotation) -> Result<Plan, RotationError> {
        let context = self.context.of(rotation);
        plan(&context, &self.preview(rotation).await?).await
    }

    /// The preflight checks.
    ///
    /// # Errors
    /// `journal_unavailable`; everything else is a finding.
    pub async fn check(&self, rotation: &Rotation) -> Result<Report, RotationError> {
        let context = self.context.of(rotation);
        let report = check(&context, &self.preview(rotation).await?).await;
        if let Some(sessions) = report.standby_sessions.clone() {
            let rotation = rotation.name.clone();
            self.events.send(
                self.context.clock.now(),
                Event::StandbySessions { rotation, sessions },
            );
        }
        Ok(report)
    }

    /// Moves AWSCURRENT back to AWSPREVIOUS, records it and sends an event.
    ///
    /// # Errors
    /// Why nothing changed; after `journal_unavailable` AWSCURRENT may have moved.
    pub async fn roll_back(
        &self,
        rotation: &Rotation,
        order: RollbackOrder,
    ) -> Result<RolledBack, RotationError> {
        let request = RunRequest {
            lock: true,
            ..self.preview(rotation).await?
        };
        let done = rollback(&self.context.of(rotation), &request, &order).await;
        let cause = order.cause;
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                self.record_refusal(AuditAction::Rollback, rotation, &cause, &error)
                    .await;
                return Err(error);
            }
        };
        let (name, now) = (&rotation.name, self.context.clock.now());
        tracing::warn!(target: AUDIT, rotation = %name, actor = %cause.actor, from = %done.users.from_user, to = %done.users.to_user, reason = cause.reason.as_deref().unwrap_or_default(), "rolled back");
        self.events.send(
            now,
            Event::RolledBack {
                rotation: name.clone(),
                from_user: done.users.from_user.clone(),
                to_user: done.users.to_user.clone(),
                reason: cause.reason.clone(),
                actor: cause.actor.clone(),
            },
        );
        let record = AuditRecord::done(AuditAction::Rollback, name, cause, now);
        self.journal
            .flipped(name, &done.version_id, &done.seen, &record)
            .await?;
        Ok(done)
    }

    /// Pauses a rotation's schedule, until a time or until it is resumed.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn pause(
        &self,
        rotation: &Rotation,
        cause: Cause,
        until: Option<DateTime<Utc>>,
    ) -> Result<(), RotationError> {
        let now = self.context.clock.now();
        let record = AuditRecord::done(AuditAction::Pause, &rotation.name, cause, now);
        let pause = record.as_pause(until);
        self.set_paused(rotation, Some(&pause), &record).await
    }

    /// Resumes a rotation's schedule.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn resume(&self, rotation: &Rotation, cause: Cause) -> Result<(), RotationError> {
        let now = self.context.clock.now();
        let record = AuditRecord::done(AuditAction::Resume, &rotation.name, cause, now);
        self.set_paused(rotation, None, &record).await
    }

    async fn set_paused(
        &self,
        rotation: &Rotation,
        pause: Option<&Pause>,
        record: &AuditRecord,
    ) -> Result<(), RotationError> {
        let (name, paused, actor) = (&rotation.name, pause.is_some(), record.actor.clone());
        self.journal.set_paused(name, pause, record).await?;
        tracing::info!(target: AUDIT, rotation = %name, %actor, paused, reason = record.reason.as_deref().unwrap_or_default(), "schedule paused or resumed");
        let rotation = name.clone();
        let event = Event::Paused {
            rotation,
            paused,
            actor,
        };
        self.events.send(record.at, event);
        Ok(())
    }
}
