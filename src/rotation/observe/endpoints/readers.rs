//! Sign-ins at the readers, and the facts about them that a decision reads.

use std::time::Duration;

use futures_util::future::join_all;

use super::addresses::{resolve, without_unused_family};
use super::{Answers, Endpoint, NotAccepted};
use crate::config::settings::{HostPort, ReadersDown, Rotation};
use crate::rotation::context::RunContext;
use crate::rotation::decide::Own;
use crate::rotation::error::RotationError;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::resolve::{ResolvedSecret, credentials, read_document};
use twinkey_core::code::{Code, Diagnostic};
use twinkey_engines::{Credentials, EngineError, Session, SignInChecks, SignedIn};
use twinkey_stores::{Selector, stage};

/// For one sign-in, its checks included.
const SIGN_IN_LIMIT: Duration = Duration::from_secs(10);

/// Signs in at every address of every reader.
///
/// # Errors
/// What no later try changes: no TLS, a missing database, a server of another kind.
pub(crate) async fn sign_in(
    rotation: &Rotation,
    resolved: &ResolvedSecret,
    who: &Credentials,
    checks: SignInChecks<'_>,
) -> Result<Answers, RotationError> {
    let mut tries = Vec::new();
    for reader in &rotation.readers.addresses {
        tries.push(sign_in_by_name(reader, resolved, who, checks));
    }
    let mut all = Answers::default();
    for answers in join_all(tries).await {
        all.extend(answers?);
    }
    Ok(all)
}

async fn sign_in_by_name(
    reader: &HostPort,
    resolved: &ResolvedSecret,
    who: &Credentials,
    checks: SignInChecks<'_>,
) -> Result<Answers, RotationError> {
    let mut answers = Answers::default();
    let endpoints = match resolve(reader, resolved).await {
        Ok(endpoints) => endpoints,
        Err(unreachable) => {
            answers.unreachable.push(*unreachable);
            return Ok(answers);
        }
    };
    let mut tries = Vec::new();
    for endpoint in &endpoints {
        tries.push(sign_in_at(endpoint, resolved, who, checks));
    }
    let results = join_all(tries).await;
    for (endpoint, result) in endpoints.into_iter().zip(results) {
        add(&mut answers, endpoint, result)?;
    }
    Ok(without_unused_family(answers))
}

async fn sign_in_at(
    endpoint: &Endpoint,
    resolved: &ResolvedSecret,
    who: &Credentials,
    checks: SignInChecks<'_>,
) -> Result<SignedIn, EngineError> {
    let sign_in = resolved.sign_in_at(&endpoint.target, who, checks);
    match tokio::time::timeout(SIGN_IN_LIMIT, sign_in).await {
        Ok(answer) => answer,
        Err(_) => Err(EngineError::Unreachable {
            host: endpoint.target.host.clone(),
            port: endpoint.target.port.unwrap_or(resolved.port()),
            reason: format!("no answer within {} seconds", SIGN_IN_LIMIT.as_secs()),
        }),
    }
}

fn add(
    answers: &mut Answers,
    endpoint: Endpoint,
    answer: Result<SignedIn, EngineError>,
) -> Result<(), RotationError> {
    match answer {
        Ok(signed_in) => answers.accepted.push((endpoint, signed_in)),
        Err(error @ EngineError::SignIn { .. }) => {
            answers.behind.push(NotAccepted { endpoint, error });
        }
        Err(
            error @ (EngineError::Unreachable { .. }
            | EngineError::Limit { .. }
            | EngineError::Busy { .. }),
        ) => answers.unreachable.push(NotAccepted { endpoint, error }),
        Err(error) => {
            return Err(RotationError::Refused {
                code: error.code(),
                message: format!("{endpoint}: {error}"),
                hint: error.hint(),
                passes: false,
            });
        }
    }
    Ok(())
}

/// Signs in at the readers with AWSCURRENT, and reads there what a user of the pair sees.
///
/// # Errors
/// Errors of [`sign_in`]; `config_invalid` for an engine without readers.
pub(in crate::rotation::observe) async fn survey(
    rotation: &Rotation,
    resolved: &ResolvedSecret,
) -> Result<Answers, RotationError> {
    if rotation.readers.addresses.is_empty() {
        return Ok(Answers::default());
    }
    if !resolved.engine.has_readers() {
        return Err(RotationError::Refused {
            code: Code::ConfigInvalid,
            message: format!(
                "the rotation has `readers`, and {} has none: all its nodes have one list of users",
                resolved.kind
            ),
            hint: "remove `readers` from the rotation".into(),
            passes: false,
        });
    }
    let checks = SignInChecks {
        identity: true,
        replication: Some(resolved.pair.standby_user()),
        ..SignInChecks::default()
    };
    sign_in(rotation, resolved, &resolved.current(), checks).await
}

/// Adds the secret's own host, if it is a replica of the master's server, with the sessions there.
pub(in crate::rotation::observe) fn add_own_replica(
    observation: &mut Observation,
    current: Option<&SignedIn>,
) {
    if let Some(signed_in) = current.filter(|s| s.replication.is_replica == Some(true)) {
        let endpoint = Endpoint::of_secret(&observation.resolved);
        observation
            .readers
            .accepted
            .push((endpoint, signed_in.clone()));
    }
}

/// Sets the guards about the readers, and adds the standby's sessions there.
///
/// # Errors
/// Errors of the store.
pub(in crate::rotation::observe) async fn set_readers(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<(), RotationError> {
    let answers = &observation.readers;
    let identity = (observation.admin.as_ref()).and_then(|s| s.admin.server_identity());
    let elsewhere = (answers.accepted.iter())
        .find(|(_, signed_in)| is_of_other_server(signed_in, identity))
        .map(|(endpoint, _)| endpoint.clone());
    let guards = &mut observation.observed.guards;
    guards.reader_elsewhere = elsewhere.is_some();
    guards.reader_behind = !answers.behind.is_empty();
    guards.reader_unreachable =
        !answers.unreachable.is_empty() && request.rotation.readers.down == ReadersDown::Wait;
    observation.reader_elsewhere = elsewhere;
    add_sessions(context, request, observation).await
}

/// Whether a server is no replica, and has another identity than the master's. Replicas of MySQL have
/// identities of their own.
fn is_of_other_server(reader: &SignedIn, master: Option<&str>) -> bool {
    let own = reader.server_identity.as_deref();
    reader.replication.is_replica == Some(false)
        && own.zip(master).is_some_and(|(own, master)| own != master)
}

/// Adds the standby's sessions at the readers to those at the database. If some are not known, and
/// none is open elsewhere, the result is not known.
async fn add_sessions(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<(), RotationError> {
    let exists = (observation.inspection.as_ref()).is_some_and(|i| i.standby_exists);
    if !exists || observation.readers.accepted.is_empty() {
        return Ok(());
    }
    let mut by_standby = None;
    let mut all = observation.sessions.clone();
    for (endpoint, signed_in) in &observation.readers.accepted {
        let seen = match &signed_in.replication.sessions {
            Some(sessions) => Some(sessions.clone()),
            None => {
                let standby = match &by_standby {
                    Some(known) => known,
                    None => by_standby.insert(previous(context, request, observation).await?),
                };
                own_sessions(endpoint, observation, standby.as_ref()).await
            }
        };
        all = merged(all, seen);
    }
    observation.sessions = all;
    Ok(())
}

/// The sessions of two servers. Those of one count even if those of the other are not known.
fn merged(one: Option<Vec<Session>>, other: Option<Vec<Session>>) -> Option<Vec<Session>> {
    match (one, other) {
        (Some(mut all), Some(more)) => {
            all.extend(more);
            Some(all)
        }
        (known, None) | (None, known) => known.filter(|all| !all.is_empty()),
    }
}

/// The standby's credentials in AWSPREVIOUS. A run that has set a new password does not use them.
async fn previous(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &Observation,
) -> Result<Option<Credentials>, RotationError> {
    let is_labelled = observation.description.labelled(stage::PREVIOUS).is_some();
    let is_new = matches!(observation.observed.own, Own::NotThere);
    if !is_labelled || !is_new || request.retired {
        return Ok(None);
    }
    let secret = &request.rotation.secret;
    let by_label = Selector::Stage(stage::PREVIOUS);
    let read = read_document(&*context.store, "AWSPREVIOUS of secret", secret, by_label).await;
    let document = match read {
        Ok((_, document)) => document,
        Err(RotationError::Document { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let standby = observation.resolved.pair.standby_user();
    Ok(Some(credentials(&document)).filter(|who| who.username == standby))
}

/// The standby's own sessions at a reader, which it sees without a privilege.
async fn own_sessions(
    endpoint: &Endpoint,
    observation: &Observation,
    standby: Option<&Credentials>,
) -> Option<Vec<Session>> {
    let standby = standby?;
    let checks = SignInChecks {
        replication: Some(&standby.username),
        ..SignInChecks::default()
    };
    let signed_in = sign_in_at(endpoint, &observation.resolved, standby, checks).await;
    signed_in.ok()?.replication.sessions
}
