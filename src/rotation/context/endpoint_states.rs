//! Last known states of the endpoints of rotations, from runs, checks and heartbeats.
//!
//! # Failure modes
//! - A state is older than the endpoint's present one. Only sign-ins of runs, checks and heartbeats set
//!   it, so that it is as old as the last of them. Before the first one it is unknown.
//! - The config names other endpoints than the last observation. Only those of the config are shown;
//!   one that was not observed is unknown.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::config::settings::{HostPort, Rotation};
use crate::journal::SecretSummary;

/// Kind of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndpointKind {
    /// The secret's own host.
    Secret,
    Reader,
    Pooler,
}

impl EndpointKind {
    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Reader => "reader",
            Self::Pooler => "pooler",
        }
    }
}

/// Answer of an endpoint to the last sign-in with AWSCURRENT; the worst one of a name's addresses.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// No sign-in was tried since the worker started.
    Unknown,
    Up,
    /// It could not be reached.
    Unreachable,
    /// It refused AWSCURRENT.
    Refused,
}

impl EndpointState {
    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }

    /// Whether AWSCURRENT signs in there, if that is known.
    #[must_use]
    pub fn is_up(self) -> Option<bool> {
        (self != Self::Unknown).then_some(self == Self::Up)
    }
}

/// An endpoint with its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndpointStatus {
    /// The host, with its port if it is known.
    pub host: String,
    pub kind: EndpointKind,
    pub state: EndpointState,
}

/// States by the rotations' names. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct EndpointStates(Arc<RwLock<HashMap<String, Vec<EndpointStatus>>>>);

impl EndpointStates {
    /// Replaces the states of a rotation. Answers of several addresses of one name are combined.
    pub(crate) fn record(&self, rotation: &str, answers: Vec<EndpointStatus>) {
        let mut all: Vec<EndpointStatus> = Vec::new();
        for answer in answers {
            let same =
                |one: &&mut EndpointStatus| one.host == answer.host && one.kind == answer.kind;
            match all.iter_mut().find(same) {
                Some(known) => known.state = known.state.max(answer.state),
                None => all.push(answer),
            }
        }
        self.0.write().insert(rotation.to_owned(), all);
    }

    /// The endpoints of a rotation: the secret's host, its readers and its poolers. `seen`: the secret
    /// in the last run.
    #[must_use]
    pub fn of(&self, rotation: &Rotation, seen: Option<&SecretSummary>) -> Vec<EndpointStatus> {
        let states = self.0.read();
        let known = states.get(&rotation.name).map_or(&[][..], Vec::as_slice);
        let own = known.iter().find(|one| one.kind == EndpointKind::Secret);
        let own = own.cloned().or_else(|| {
            let host = seen?.host.clone()?;
            Some(EndpointStatus {
                host: with_port(host, seen),
                kind: EndpointKind::Secret,
                state: EndpointState::Unknown,
            })
        });
        let named = |kind, address: &HostPort| {
            let text = address.to_string();
            let is_it = |one: &&EndpointStatus| {
                let with_port = address.port.is_none() && one.host.starts_with(&format!("{text}:"));
                one.kind == kind && (one.host == text || with_port)
            };
            let unknown = || EndpointStatus {
                host: match address.port {
                    Some(_) => text.clone(),
                    None => with_port(text.clone(), seen),
                },
                kind,
                state: EndpointState::Unknown,
            };
            known.iter().find(is_it).cloned().unwrap_or_else(unknown)
        };
        let readers = rotation.readers.addresses.iter();
        // Those of the RDS API are known from the last observation.
        let by_rds =
            |one: &&EndpointStatus| rotation.readers.by_rds && one.kind == EndpointKind::Reader;
        let by_rds = known.iter().filter(by_rds).cloned();
        let poolers = rotation.poolers.iter().map(|pooler| &pooler.address);
        own.into_iter()
            .chain(readers.map(|one| named(EndpointKind::Reader, one)))
            .chain(by_rds)
            .chain(poolers.map(|one| named(EndpointKind::Pooler, one)))
            .collect()
    }
}

/// A host with the secret's port, if it is known.
fn with_port(host: String, seen: Option<&SecretSummary>) -> String {
    match seen.and_then(|seen| seen.port) {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::rotation;

    fn status(host: &str, kind: EndpointKind, state: EndpointState) -> EndpointStatus {
        let host = host.into();
        EndpointStatus { host, kind, state }
    }

    #[test]
    fn only_the_endpoints_of_the_config_are_shown() {
        use EndpointKind::{Pooler, Reader, Secret};
        use EndpointState::{Refused, Unknown, Unreachable, Up};
        let states = EndpointStates::default();
        let rotation = rotation("readers = [\"a\", \"b:1\"]\npoolers = [{ host = \"p:2\" }]");
        let mut seen = SecretSummary {
            engine: "postgres".into(),
            host: Some("db".into()),
            port: Some(5432),
            active_user: "app".into(),
            standby_user: "app_clone".into(),
        };
        let unknown = [
            status("db:5432", Secret, Unknown),
            status("a:5432", Reader, Unknown),
            status("b:1", Reader, Unknown),
            status("p:2", Pooler, Unknown),
        ];
        assert_eq!(states.of(&rotation, Some(&seen)), unknown);
        seen.port = None;
        let of_an_older_version = states.of(&rotation, Some(&seen));
        assert_eq!(
            of_an_older_version[..2],
            [status("db", Secret, Unknown), status("a", Reader, Unknown)]
        );
        states.record(
            &rotation.name,
            vec![
                status("db:5432", Secret, Up),
                status("a:5432", Reader, Up),
                status("a:5432", Reader, Unreachable),
                status("gone:1", Reader, Refused),
                status("p:2", Pooler, Refused),
            ],
        );
        let known = [
            status("db:5432", Secret, Up),
            status("a:5432", Reader, Unreachable),
            status("b:1", Reader, Unknown),
            status("p:2", Pooler, Refused),
        ];
        assert_eq!(states.of(&rotation, Some(&seen)), known);
    }
}
