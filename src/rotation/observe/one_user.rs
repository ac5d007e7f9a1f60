//! Observation of the one user of `strategy = "single"`: what signs in, and what a change does.
//!
//! # Failure modes
//! - A password that no run has set is tried at each observation, and the server locks the user after
//!   failed sign-ins. Only the version of the run and AWSPENDING are tried, not a password that was
//!   just generated, nor one that the stored forms exclude.
//! - AWSPENDING stays on a version that was promoted long ago, and a run sets its old password again.
//!   Such a version is older than AWSCURRENT and does not sign in, while AWSCURRENT does.
//! - A key of the config has no effect for one user, and its reader trusts it. A hook that would run in
//!   the gap, `retire_after` on a server with one password, and `--end-sessions` refuse the run.
//! - A run without a master has no connection while AWSCURRENT is refused. Promotion needs none.

use crate::config::settings::Strategy;
use crate::rotation::decide::single::{OneUser, PasswordChange};
use crate::rotation::decide::{Elsewhere, Hooks, Users};
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::proof::prove_at_database;
use crate::rotation::observe::resolve::credentials;
use twinkey_core::code::Code;
use twinkey_core::secret::ExposeSecret;
use twinkey_core::secret::document::Document;
use twinkey_engines::{
    EngineError, Finding, Inspection, Severity, SignInChecks, StandbyAccess, UserInspection,
    UserRequest,
};

/// Reads the user, and tries the pending passwords. The labels have been read.
///
/// # Errors
/// Errors of the engine, except refused sign-ins.
pub(crate) async fn look(
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<(), RotationError> {
    if request.end_sessions {
        return Err(no_standby_to_end(request));
    }
    let current_password = observation.resolved.document.password().clone();
    let is_current = |document: &Document| {
        document.password().expose_secret() == current_password.expose_secret()
    };
    if observation.carried.as_ref().is_some_and(is_current) {
        forget_carried(observation);
    }
    let own = inspect(observation).await?;
    let own_signs_in =
        signs_in(observation, observation.own_document.as_ref(), own.as_ref()).await?;
    let elsewhere_signs_in = signs_in(observation, observation.carried.as_ref(), None).await?;
    let current_signs_in = !observation.observed.guards.current_refused;
    let is_unused = current_signs_in && !elsewhere_signs_in;
    if observation.carried.is_some() && observation.carried_is_older && is_unused {
        forget_carried(observation);
    }
    let change = own
        .as_ref()
        .map_or(PasswordChange::Replaces, |own| own.change);
    let has_readers = !observation.readers.is_empty();
    let has_gap = own.is_some() && change == PasswordChange::Replaces;
    let holds = own.as_ref().and_then(|own| own.holds_password);
    let observed = &mut observation.observed;
    observed.users = Users::One(OneUser {
        own_signs_in,
        elsewhere_signs_in,
        change,
    });
    observed.standby.equal = true;
    observed.standby.has_password = own_signs_in && holds != Some(false);
    observed.end_sessions = false;
    let guards = &mut observed.guards;
    guards.gap_not_accepted =
        has_gap && request.rotation.strategy == Strategy::Single { accepts_gap: false };
    if let Some(mut own) = own {
        if has_gap {
            own.findings
                .extend(about_gap(request, observed.hooks, has_readers));
        }
        let is_error = |severity| severity == Severity::Error;
        guards.unfit = own.findings.iter().any(|found| is_error(found.severity));
        guards.master_lacks = !own.missing.is_empty();
        observation.restore_current.clone_from(&own.restore_current);
        observation.inspection = Some(of_pair(own));
    }
    Ok(())
}

/// Records the change of the password, and the sign-in that followed it. Nothing else is read: on a
/// server with one password, AWSCURRENT does not sign in meanwhile.
///
/// The result of the sign-in is part of the observation.
pub(crate) async fn verify_change(request: &RunRequest<'_>, observation: &mut Observation) {
    let Some(document) = &observation.own_document else {
        return;
    };
    // A probe that fails would prolong the gap.
    let probes: &[String] = if observation.change_has_gap() {
        &[]
    } else {
        &request.rotation.probe
    };
    let checks = SignInChecks::probes(probes);
    let (resolved, master) = (&observation.resolved, &observation.master.target);
    let proof = prove_at_database(resolved, master, &credentials(document), checks).await;
    let accepted = proof.is_ok();
    observation.proof = Some(proof);
    let observed = &mut observation.observed;
    if let Users::One(user) = &mut observed.users {
        user.own_signs_in = accepted;
        if user.change == PasswordChange::Replaces && accepted {
            observed.guards.current_refused = true;
        }
    }
    // A refusal is the result of the proof.
    observed.standby.has_password = true;
}

/// What a server with one password for each user means for the rotation.
fn about_gap(request: &RunRequest<'_>, hooks: Hooks, has_readers: bool) -> Vec<Finding> {
    let mut all = Vec::new();
    let error = |what: &str, fix: &str| Finding {
        code: Some(Code::ConfigInvalid),
        ..Finding::new(Severity::Error, what.into(), Some(fix.into()))
    };
    if hooks != Hooks::Absent {
        all.push(error(
            "a hook with when = \"before_flip\" would run while AWSCURRENT does not sign in, because this server has one password for each user",
            "set when = \"after_flip\" for the hook, or list the other rotations in `rotations` of the hook",
        ));
    }
    if request.rotation.retire_after.is_some() {
        all.push(error(
            "retire_after has no effect with strategy = \"single\" on this server, where the replaced password stops at the change",
            "remove retire_after from the rotation",
        ));
    }
    all.push(Finding::new(
        Severity::Note,
        "a run has a gap on this server: between the change of the password and the flip, AWSCURRENT does not sign in".into(),
        None,
    ));
    if has_readers {
        all.push(Finding::new(
            Severity::Note,
            "readers lengthen the gap by the time until all of them have the new password".into(),
            None,
        ));
    }
    all
}

fn no_standby_to_end(request: &RunRequest<'_>) -> RotationError {
    RotationError::Refused {
        code: Code::ConfigInvalid,
        message: format!(
            "the rotation {:?} has no standby whose sessions a run could end (strategy = \"single\")",
            request.rotation.name
        ),
        hint: "run it without --end-sessions: open sessions of the user go on working".into(),
        passes: false,
    }
}

/// The pending version of the other run counts as none.
fn forget_carried(observation: &mut Observation) {
    observation.carried = None;
    observation.observed.elsewhere = Elsewhere::Nothing;
}

/// Reads the user; `None` without an admin connection.
async fn inspect(observation: &mut Observation) -> Result<Option<UserInspection>, RotationError> {
    let Some(session) = &mut observation.admin else {
        return Ok(None);
    };
    let user = UserRequest {
        user: observation.resolved.pair.active_user(),
        current: observation.resolved.document.password(),
        pending: observation.own_document.as_ref().map(Document::password),
    };
    let inspected = session.admin.inspect_user(&user).await;
    let mut inspection = inspected.map_err(CredentialRole::Master.error())?;
    inspection.use_form_of(observation.stored_form);
    Ok(Some(inspection))
}

/// Whether the password of a pending version signs in. `inspection`: about this password.
async fn signs_in(
    observation: &Observation,
    document: Option<&Document>,
    inspection: Option<&UserInspection>,
) -> Result<bool, RotationError> {
    let Some(document) = document else {
        return Ok(false);
    };
    let retains = inspection.is_some_and(|found| found.change != PasswordChange::Replaces);
    let is_absent = inspection.is_some_and(|found| found.holds_password == Some(false));
    if is_absent && !retains && !observation.observed.guards.current_refused {
        return Ok(false);
    }
    let (resolved, master) = (&observation.resolved, &observation.master.target);
    let checks = SignInChecks::default();
    match prove_at_database(resolved, master, &credentials(document), checks).await {
        Ok(_) => Ok(true),
        Err(EngineError::SignIn { .. }) => Ok(false),
        Err(error) => Err(CredentialRole::Pending.error()(error)),
    }
}

/// The inspection of a standby that differs in its password only.
fn of_pair(user: UserInspection) -> Inspection {
    Inspection {
        server: user.server,
        standby_exists: true,
        readable: true,
        standby_access: StandbyAccess::Enabled,
        cloned_by_aws: false,
        differences: Vec::new(),
        set_password: user.set_password,
        other_form: None,
        retire: user.discard,
        session_role: None,
        holds_password: user.holds_password,
        findings: user.findings,
        obstacles: Vec::new(),
        standby_obstacles: Vec::new(),
        missing: user.missing,
    }
}
