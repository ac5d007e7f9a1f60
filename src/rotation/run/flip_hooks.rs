//! The hooks before the flip, in the step `test`.

use crate::config::settings::HostPort;
use crate::journal::StepName;
use crate::rotation::context::RunContext;
use crate::rotation::context::flip_hooks::FlipFacts;
use crate::rotation::decide::Hooks;
use crate::rotation::error::RotationError;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::run::reconcile::Progress;

/// Runs the hooks and records the result in the observation. The proof is then repeated: a hook may
/// have changed what the endpoints accept. Returns a description.
///
/// # Errors
/// Another worker owns the run.
pub(super) async fn run_hooks(
    context: &RunContext,
    request: &RunRequest<'_>,
    progress: &dyn Progress,
    observation: &mut Observation,
) -> Result<String, RotationError> {
    let rotation = request.rotation;
    let names = context.flip_hooks.of_rotation(&rotation.name).join(", ");
    let detail = format!("waiting for the hooks before the flip: {names}");
    progress.step_waits(StepName::Test, &detail).await?;
    let resolved = &observation.resolved;
    let with_port = |named: &HostPort| {
        let port = Some(named.port.unwrap_or(resolved.port()));
        HostPort {
            port,
            ..named.clone()
        }
        .to_string()
    };
    let facts = FlipFacts {
        rotation: rotation.name.clone(),
        secret: rotation.secret.clone(),
        run: request.run,
        version_id: request.own.0.clone(),
        from_user: resolved.pair.active_user().to_owned(),
        to_user: resolved.pair.standby_user().to_owned(),
        host: resolved.server(),
        readers: observation.readers.iter().map(with_port).collect(),
        poolers: (rotation.poolers.iter())
            .map(|one| with_port(&one.address))
            .collect(),
        at: context.clock.now(),
    };
    match context.flip_hooks.run(&facts).await {
        Ok(()) => {
            observation.observed.hooks = Hooks::Succeeded;
            observation.observed.proof = None;
            observation.proof = None;
            Ok(format!("the hooks before the flip succeeded: {names}"))
        }
        Err(failure) => {
            observation.observed.hooks = Hooks::Failed;
            let detail = format!("the hook {failure}");
            observation.hook_error = Some(failure);
            Ok(detail)
        }
    }
}
