//! Endpoints besides the database itself, at which AWSCURRENT has to work: the addresses of the
//! readers and poolers, and the secret's own host where the master signs in at another address.
//!
//! # Failure modes
//! - A replica is behind. A flip would lock out the applications that sign in there, so that AWSPENDING
//!   is proved at each endpoint, and the run waits for those that refuse it.
//! - A replica never receives the password: its replication is stopped, or filters the users. The run
//!   waits until its window closes and leaves AWSCURRENT; the next run continues with that password.
//! - A reader is already behind, or not known: no run begins a change while a reader refuses
//!   AWSCURRENT.
//! - A reader is down. The run waits, or skips it, as `readers_down` says; it never guesses.
//! - A name has several addresses, or another one tomorrow. It is resolved at each try, and all its
//!   addresses are tried. A host without IPv6 reaches no IPv6 address of a name: a family of which
//!   no address answers is left out if another family of the name answers.
//! - A pooler does not know the new user or its password: it has a list or secrets of its own. A run
//!   writes the secrets that the config names (`pooler_secrets`), a hook writes the list, and the proof
//!   at the pooler then decides.
//! - The secret's own host is a pooler without an entry in the config. A sign-in shows it, and it is
//!   proved as one.
//! - A host is no reader of this server: it accepts AWSCURRENT, reports that it is no replica, and has
//!   another identity. The run is refused before it changes anything, because AWSPENDING would never
//!   arrive there.
//! - A host hangs, or is a hostile server. Each sign-in has a time limit, and only the pair's
//!   credentials are used there, never the master's. The config names the readers, no secret does.
//! - A replica locks the user after refused sign-ins (`max_password_errors`,
//!   `FAILED_LOGIN_ATTEMPTS`). The delays between the tries grow, and a try has one sign-in.
//! - The privileges of a replica are not compared. Replication applies changes in the order in which
//!   the database made them, and the password is the last one.

mod addresses;
pub(crate) mod pooler_secrets;
pub(crate) mod proof;
pub(crate) mod readers;

use std::fmt;

use crate::config::settings::ReadersDown;
pub(crate) use crate::rotation::context::endpoint_states::EndpointKind;
use crate::rotation::context::endpoint_states::{EndpointState, EndpointStatus};
use crate::rotation::decide::Refusal;
use crate::rotation::observe::resolve::ResolvedSecret;
use twinkey_engines::{EngineError, SignedIn, Target};

/// One address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub kind: EndpointKind,
    /// As the config or the secret names it, with its port.
    pub name: String,
    pub target: Target,
}

impl Endpoint {
    /// The secret's own host.
    fn of_secret(resolved: &ResolvedSecret, kind: EndpointKind) -> Self {
        Self {
            kind,
            name: resolved.server(),
            target: resolved.target.clone(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            EndpointKind::Secret => "secret's host",
            EndpointKind::Reader => "reader",
            EndpointKind::Pooler => "pooler",
        };
        write!(f, "the {what} {}", self.name)?;
        match self.target.address {
            Some(address) if address.to_string() != self.target.host => write!(f, " ({address})"),
            _ => Ok(()),
        }
    }
}

/// A sign-in that an endpoint did not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotAccepted {
    pub endpoint: Endpoint,
    pub error: EngineError,
}

/// The states of the endpoints after a sign-in with AWSCURRENT: at the secret's host, then at the
/// others.
pub(crate) fn statuses(
    resolved: &ResolvedSecret,
    own: &Result<SignedIn, EngineError>,
    answers: &Answers,
) -> Vec<EndpointStatus> {
    let status = |endpoint: &Endpoint, state| EndpointStatus {
        host: endpoint.name.clone(),
        kind: endpoint.kind,
        state,
    };
    let own = match own {
        Ok(_) => EndpointState::Up,
        Err(EngineError::SignIn { .. }) => EndpointState::Refused,
        Err(_) => EndpointState::Unreachable,
    };
    let mut all = vec![EndpointStatus {
        host: resolved.server(),
        kind: EndpointKind::Secret,
        state: own,
    }];
    let accepted = answers.accepted.iter();
    all.extend(accepted.map(|(endpoint, _)| status(endpoint, EndpointState::Up)));
    for (refused, state) in [
        (&answers.behind, EndpointState::Refused),
        (&answers.unreachable, EndpointState::Unreachable),
    ] {
        all.extend(refused.iter().map(|one| status(&one.endpoint, state)));
    }
    all
}

/// The answers of the endpoints to a sign-in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    pub accepted: Vec<(Endpoint, SignedIn)>,
    /// They refuse the credentials.
    pub behind: Vec<NotAccepted>,
    /// No sign-in could be tried.
    pub unreachable: Vec<NotAccepted>,
}

impl Answers {
    fn extend(&mut self, more: Self) {
        self.accepted.extend(more.accepted);
        self.behind.extend(more.behind);
        self.unreachable.extend(more.unreachable);
    }

    /// Why the endpoints stop a flip. `None`: all accepted, but for unreachable ones that are skipped.
    pub fn refusal(&self, down: ReadersDown) -> Option<Refusal> {
        let refusals = [
            Refusal::ReaderBehind,
            Refusal::PoolerRefused,
            Refusal::ReaderUnreachable,
        ];
        let stands = |refusal: &Refusal| {
            let only = self.only(*refusal);
            let skipped = *refusal == Refusal::ReaderUnreachable && down == ReadersDown::Skip;
            !(skipped || only.behind.is_empty() && only.unreachable.is_empty())
        };
        refusals.into_iter().find(stands)
    }

    /// The answers that are the reason for a refusal.
    pub fn only(&self, refusal: Refusal) -> Self {
        let is_pooler = |one: &&NotAccepted| one.endpoint.kind == EndpointKind::Pooler;
        let (behind, unreachable) = (self.behind.iter(), self.unreachable.iter());
        let (behind, unreachable) = match refusal {
            Refusal::PoolerRefused => (
                behind.filter(is_pooler).cloned().collect(),
                unreachable.filter(is_pooler).cloned().collect(),
            ),
            Refusal::ReaderBehind => (
                behind.filter(|one| !is_pooler(one)).cloned().collect(),
                Vec::new(),
            ),
            _ => (
                Vec::new(),
                unreachable.filter(|one| !is_pooler(one)).cloned().collect(),
            ),
        };
        Self {
            accepted: Vec::new(),
            behind,
            unreachable,
        }
    }
}
