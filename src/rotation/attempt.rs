//! The loop: observe, decide, act, until there is nothing left to do.

use async_trait::async_trait;

use crate::journal::{Seen, StepName};
use crate::rotation::act::act;
use crate::rotation::decide::{Action, Own, decide};
use crate::rotation::error::RotationError;
use crate::rotation::explain::explain;
use crate::rotation::labels::look_at_labels;
use crate::rotation::observe::{look_at_clock, observe};
use crate::rotation::scene::{Scene, Task};
use crate::rotation::site::Site;
use twinkey_engines::Session;

/// More actions than any run takes (the model proves fewer); only a defect gets here.
const MOST_ACTIONS: usize = 24;
/// How often an answer from the store may be lost before the attempt is given up.
const LOST_ANSWERS: usize = 3;

/// Who follows an attempt as it happens.
#[async_trait]
pub trait Progress: Send + Sync {
    /// What is known of the secret before the run, once it is.
    fn seen(&self, seen: Seen);
    /// Who is signed in as the standby before it is changed, where that can be known.
    fn sessions(&self, sessions: &[Session]);
    /// A step is about to begin; or it has been carried out already, beside the one before.
    ///
    /// # Errors
    /// The run is another worker's by now: the step must not be begun.
    async fn began(&self, step: StepName, already: bool) -> Result<(), RotationError>;
    /// A step is done, or failed.
    fn ended(&self, step: StepName, result: Result<&str, &RotationError>);
}

impl Action {
    /// The step of AWS's that the action is shown as.
    #[must_use]
    pub const fn step(self) -> Option<StepName> {
        match self {
            Self::PutPending { .. } | Self::LabelPending | Self::DropPending => {
                Some(StepName::Create)
            }
            Self::Converge => Some(StepName::Set),
            Self::Prove => Some(StepName::Test),
            Self::Promote => Some(StepName::Finish),
            Self::Refuse(_) | Self::Done => None,
        }
    }
}

/// One attempt of one run. At its end the pair is free again: who hears of the end may order the next run at once.
///
/// # Errors
/// Why it stopped. AWSCURRENT is then as it was, or already what this run wanted.
pub async fn attempt(
    site: &Site,
    task: &Task<'_>,
    progress: &dyn Progress,
) -> Result<(), RotationError> {
    let mut scene = observe(site, task).await?;
    let result = go_on(site, task, progress, &mut scene).await;
    match result {
        Ok(()) => scene.hand_on(task.rotation, &site.masters).await,
        Err(_) => scene.close().await,
    }
    result
}

async fn go_on(
    site: &Site,
    task: &Task<'_>,
    progress: &dyn Progress,
    scene: &mut Scene,
) -> Result<(), RotationError> {
    progress.seen(before(scene));
    if let Some(sessions) = scene
        .sessions
        .as_ref()
        .filter(|_| scene.observed.own != Own::Current)
    {
        progress.sessions(sessions);
    }
    let mut lost_answers = 0;
    for _ in 0..MOST_ACTIONS {
        look_at_clock(task, scene, site.clock.now());
        let action = decide(&scene.observed);
        let step = match action {
            Action::Done => return Ok(()),
            Action::Refuse(refusal) => return Err(explain(refusal, task, scene)),
            _ => action.step(),
        };
        if let Some(step) = step {
            let already = action == Action::Prove && scene.proof.is_some();
            progress.began(step, already).await?;
        }
        let result = act(&*site.store, task, scene, action).await;
        if let Some(step) = step {
            progress.ended(step, result.as_deref());
        }
        match result {
            Ok(_) => {}
            // The answer may be lost and the effect not: look before giving up.
            Err(error @ RotationError::Store { .. })
                if error.retryable() && lost_answers < LOST_ANSWERS =>
            {
                lost_answers += 1;
                if look_at_labels(&*site.store, task, scene).await.is_err() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(RotationError::Internal(format!(
        "the run of {:?} does not end",
        task.rotation.name
    )))
}

/// The pair as it was before this run, also where an earlier attempt has moved AWSCURRENT already.
fn before(scene: &Scene) -> Seen {
    let pair = &scene.located.pair;
    let (active, standby) = if scene.observed.own == Own::Current {
        (pair.standby_user(), pair.active_user())
    } else {
        (pair.active_user(), pair.standby_user())
    };
    Seen {
        engine: scene.located.kind.to_string(),
        host: Some(scene.located.target.host.clone()),
        active_user: active.to_owned(),
        standby_user: standby.to_owned(),
    }
}
