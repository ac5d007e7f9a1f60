//! What a person asks for besides a run: the same from the command line and through the admin endpoint.

use crate::config::settings::Rotation;
use crate::rotation::check::{Report, check};
use crate::rotation::error::RotationError;
use crate::rotation::event::Event;
use crate::rotation::identity;
use crate::rotation::plan::{Plan, plan};
use crate::rotation::retire::is_due;
use crate::rotation::rollback::{RolledBack, rollback};
use crate::rotation::run::Rotator;
use crate::rotation::scene::Task;
use twinkey_core::telemetry::AUDIT;

impl Rotator {
    /// A task that only looks.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn preview<'a>(&self, rotation: &'a Rotation) -> Result<Task<'a>, RotationError> {
        let memory = self.journal.memory_of(&rotation.name).await?;
        let memory = memory.unwrap_or_default();
        let over = is_due(rotation, memory.last_flip, self.site.clock.now());
        Ok(Task {
            rotation,
            own: identity::manual(),
            may_exist: false,
            force: false,
            window: None,
            last_flip: memory.last_flip,
            // A worker that dies once it has locked a user may have told nobody.
            retired: over || memory.retired.is_some(),
            lock: false,
        })
    }

    /// What a run would do now.
    ///
    /// # Errors
    /// What cannot be observed at all; `journal_unavailable`.
    pub async fn plan(&self, rotation: &Rotation) -> Result<Plan, RotationError> {
        plan(&self.site, &self.preview(rotation).await?).await
    }

    /// The preflight.
    ///
    /// # Errors
    /// `journal_unavailable`; everything else is a finding.
    pub async fn check(&self, rotation: &Rotation) -> Result<Report, RotationError> {
        let report = check(&self.site, &self.preview(rotation).await?).await;
        if let Some(sessions) = report.standby_sessions.clone() {
            let rotation = rotation.name.clone();
            self.events.send(
                self.site.clock.now(),
                Event::StandbySessions { rotation, sessions },
            );
        }
        Ok(report)
    }

    /// Moves AWSCURRENT back to AWSPREVIOUS, records that, and tells.
    ///
    /// # Errors
    /// Why not; `journal_unavailable` may come after AWSCURRENT has moved.
    pub async fn roll_back(
        &self,
        rotation: &Rotation,
        reason: Option<String>,
    ) -> Result<RolledBack, RotationError> {
        let task = Task {
            lock: true,
            ..self.preview(rotation).await?
        };
        let done = rollback(&self.site, &task).await?;
        let (name, now) = (&rotation.name, self.site.clock.now());
        tracing::warn!(target: AUDIT, rotation = %name, from = %done.users.from_user, to = %done.users.to_user, reason = reason.as_deref().unwrap_or_default(), "rolled back");
        self.events.send(
            now,
            Event::RolledBack {
                rotation: name.clone(),
                from_user: done.users.from_user.clone(),
                to_user: done.users.to_user.clone(),
                reason,
            },
        );
        self.journal.flipped(name, now).await?;
        self.journal.seen(name, &done.seen).await?;
        Ok(done)
    }

    /// Pauses or resumes a rotation's schedule.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn set_paused(&self, rotation: &Rotation, paused: bool) -> Result<(), RotationError> {
        let name = &rotation.name;
        self.journal.set_paused(name, paused).await?;
        tracing::info!(target: AUDIT, rotation = %name, paused, "a schedule was paused or resumed");
        let rotation = name.clone();
        self.events
            .send(self.site.clock.now(), Event::Paused { rotation, paused });
        Ok(())
    }
}
