//! Sign-ins at the readers and poolers, and the facts about them that a decision reads.

use std::time::Duration;

use futures_util::future::join_all;

use super::addresses::{resolve, without_unused_family};
use super::{Answers, Endpoint, EndpointKind, NotAccepted};
use crate::config::settings::{HostPort, ReadersDown, Rotation};
use crate::rds::DatabaseIds;
use crate::rotation::context::RunContext;
use crate::rotation::decide::{Own, Refusal};
use crate::rotation::error::RotationError;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::proof::trusted;
use crate::rotation::observe::resolve::{ResolvedSecret, credentials, read_document};
use crate::rotation::observe::trust::same_host;
use twinkey_core::code::{Code, Diagnostic};
use twinkey_engines::{
    Credentials, EngineError, Session, SignInChecks, SignedIn, Target, rds_host,
};
use twinkey_stores::{Selector, stage};

/// For one sign-in, its checks included.
const SIGN_IN_LIMIT: Duration = Duration::from_secs(10);

/// Whether a sign-in includes the poolers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poolers {
    With,
    /// They learn the password from a hook that has not run.
    Without,
}

/// Signs in at every address of every reader and pooler.
///
/// # Errors
/// What no later try changes: no TLS, a missing database, a server of another kind.
pub(crate) async fn sign_in(
    rotation: &Rotation,
    readers: &[HostPort],
    resolved: &ResolvedSecret,
    who: &Credentials,
    checks: SignInChecks<'_>,
    poolers: Poolers,
) -> Result<Answers, RotationError> {
    let readers = readers.iter();
    let mut named: Vec<_> = readers.map(|one| (EndpointKind::Reader, one)).collect();
    if poolers == Poolers::With {
        let all = rotation.poolers.iter();
        named.extend(all.map(|pooler| (EndpointKind::Pooler, &pooler.address)));
    }
    let mut tries = Vec::new();
    for (kind, name) in named {
        tries.push(sign_in_by_name(kind, name, resolved, who, checks));
    }
    let mut all = Answers::default();
    for answers in join_all(tries).await {
        all.extend(answers?);
    }
    Ok(all)
}

async fn sign_in_by_name(
    kind: EndpointKind,
    name: &HostPort,
    resolved: &ResolvedSecret,
    who: &Credentials,
    checks: SignInChecks<'_>,
) -> Result<Answers, RotationError> {
    let mut answers = Answers::default();
    let endpoints = match resolve(kind, name, resolved).await {
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

/// The readers of a rotation: those of the config, or those that the RDS API reports.
///
/// # Errors
/// `reader_unreachable` if the RDS API does not answer; `config_invalid` if it knows no such database.
pub(crate) async fn named(
    context: &RunContext,
    rotation: &Rotation,
    resolved: &ResolvedSecret,
    master: Option<&Target>,
) -> Result<Vec<HostPort>, RotationError> {
    if !rotation.readers.by_rds {
        return Ok(rotation.readers.addresses.clone());
    }
    let fields = resolved.document.fields();
    let ids = DatabaseIds {
        instance: fields.db_instance_identifier.as_deref(),
        cluster: fields.db_cluster_identifier.as_deref(),
    };
    let master = master.map(|target| target.host.as_str());
    let hosts: Vec<&str> = [resolved.target.host.as_str()]
        .into_iter()
        .chain(master)
        .collect();
    let found = (context.rds)
        .readers(&context.aws, &context.clock, ids, &hosts)
        .await;
    match found {
        Ok(Some(mut readers)) => {
            // The secret's own host is proved anyway.
            readers.retain(|one| !same_host(&one.host, &resolved.target.host));
            Ok(readers)
        }
        Ok(None) => Err(RotationError::Refused {
            code: Code::ConfigInvalid,
            message: format!(
                "readers = \"rds\", and the RDS API reports no instance or cluster with the host {}",
                hosts.join(" or ")
            ),
            hint: "add dbInstanceIdentifier or dbClusterIdentifier to the secret, or list the readers in the config".into(),
            passes: false,
        }),
        Err(error) => Err(RotationError::Refused {
            code: Code::ReaderUnreachable,
            message: format!("readers = \"rds\", and the RDS API does not report them: {error}"),
            hint: "allow the worker rds:DescribeDBInstances and rds:DescribeDBClusters (see `twinkey iam-policy`), or list the readers in the config".into(),
            passes: error.retryable,
        }),
    }
}

/// Signs in at the readers and poolers with AWSCURRENT, and reads there what a user of the pair sees.
///
/// # Errors
/// Errors of [`sign_in`]; `config_invalid` for an engine without replicas.
pub(in crate::rotation::observe) async fn survey(
    rotation: &Rotation,
    readers: &[HostPort],
    resolved: &ResolvedSecret,
) -> Result<Answers, RotationError> {
    if readers.is_empty() && rotation.poolers.is_empty() {
        return Ok(Answers::default());
    }
    if !resolved.engine.has_readers() {
        return Err(RotationError::Refused {
            code: Code::ConfigInvalid,
            message: format!(
                "the rotation has `readers` or `poolers`, and {} has none: all its nodes have one list of users",
                resolved.kind
            ),
            hint: "remove `readers` and `poolers` from the rotation".into(),
            passes: false,
        });
    }
    let checks = SignInChecks {
        identity: true,
        replication: Some(resolved.pair.standby_user()),
        ..SignInChecks::default()
    };
    sign_in(
        rotation,
        readers,
        resolved,
        &resolved.current(),
        checks,
        Poolers::With,
    )
    .await
}

/// Adds the secret's own host, if it is a replica of the master's server, with the sessions there.
pub(in crate::rotation::observe) fn add_own_replica(
    observation: &mut Observation,
    current: Option<&SignedIn>,
) {
    if let Some(signed_in) = current.filter(|s| s.replication.is_replica == Some(true)) {
        let endpoint = Endpoint::of_secret(&observation.resolved, observation.own_host);
        observation
            .current_answers
            .accepted
            .push((endpoint, signed_in.clone()));
    }
}

/// What the secret's own host is: a pooler by its name, by the config, or as the sign-in shows.
pub(in crate::rotation::observe) fn own_host(
    rotation: &Rotation,
    resolved: &ResolvedSecret,
    current: Option<&SignedIn>,
) -> EndpointKind {
    let host = &resolved.target.host;
    let listed = rotation.poolers.iter().any(|pooler| {
        let port = pooler.address.port.unwrap_or(resolved.port());
        same_host(&pooler.address.host, host) && port == resolved.port()
    });
    if listed || rds_host::is_proxy(host) || current.is_some_and(|s| s.is_pooled) {
        EndpointKind::Pooler
    } else {
        EndpointKind::Secret
    }
}

/// Sets the guards about the readers and poolers, and adds the standby's sessions there.
///
/// # Errors
/// Errors of the store.
pub(in crate::rotation::observe) async fn set_readers(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<(), RotationError> {
    let answers = &observation.current_answers;
    let identity = (observation.admin.as_ref()).and_then(|s| s.admin.server_identity());
    let elsewhere = (answers.accepted.iter())
        .find(|(_, signed_in)| is_of_other_server(signed_in, identity))
        .map(|(endpoint, _)| endpoint.clone());
    let guards = &mut observation.observed.guards;
    guards.reader_elsewhere = elsewhere.is_some();
    let stands = |refusal| {
        let only = answers.only(refusal);
        !(only.behind.is_empty() && only.unreachable.is_empty())
    };
    guards.reader_behind = stands(Refusal::ReaderBehind);
    guards.pooler_refused = stands(Refusal::PoolerRefused);
    guards.reader_unreachable =
        stands(Refusal::ReaderUnreachable) && request.rotation.readers.down == ReadersDown::Wait;
    observation.reader_elsewhere = elsewhere;
    add_sessions(context, request, observation).await?;
    name_poolers(context, request, observation).await
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
    let has_standby = exists && !observation.resolved.has_one_user();
    if !has_standby || observation.current_answers.accepted.is_empty() {
        return Ok(());
    }
    let mut by_standby = None;
    let mut all = observation.sessions.clone();
    for (endpoint, signed_in) in &observation.current_answers.accepted {
        // The sessions of a pooler are those at the database behind it.
        let is_replica = signed_in.replication.is_replica == Some(true);
        if endpoint.kind == EndpointKind::Pooler && !is_replica {
            continue;
        }
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

/// Names the sessions that a pooler keeps open. A master may see less of them than the standby itself.
async fn name_poolers(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<(), RotationError> {
    let is_open = observation
        .sessions
        .as_ref()
        .is_some_and(|all| !all.is_empty());
    let is_direct =
        observation.own_host != EndpointKind::Pooler && request.rotation.poolers.is_empty();
    if !is_open || is_direct {
        return Ok(());
    }
    let hidden = |session: &Session| session.client.is_none() && session.application.is_none();
    if observation.sessions.iter().flatten().all(hidden) {
        let endpoint = Endpoint {
            kind: EndpointKind::Secret,
            name: observation.resolved.server(),
            target: trusted(&observation.resolved, &observation.master.target),
        };
        let standby = previous(context, request, observation).await?;
        let seen = own_sessions(&endpoint, observation, standby.as_ref()).await;
        let count = observation.sessions.as_ref().map_or(0, Vec::len);
        if let Some(seen) = seen.filter(|seen| seen.len() >= count) {
            observation.sessions = Some(seen);
        }
    }
    let mut addresses = Vec::new();
    for (endpoint, _) in &observation.current_answers.accepted {
        if endpoint.kind == EndpointKind::Pooler {
            addresses.extend(endpoint.target.address.map(|a| (a, endpoint.name.clone())));
        }
    }
    for session in observation.sessions.iter_mut().flatten() {
        let client = session.client.as_ref().and_then(|text| text.parse().ok());
        let named = (addresses.iter()).find(|(address, _)| Some(*address) == client);
        if let Some((_, name)) = named.filter(|_| session.idle) {
            session.pooler = Some(format!("the pooler {name}"));
        }
    }
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
