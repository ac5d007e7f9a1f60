//! What became of a secret, as `twinkey discover` and the API show it.

use serde::{Deserialize, Serialize};

use super::plan::{Finding, FoundSecret};
use twinkey_core::code::Problem;

/// A secret that a `[[discover]]` concerns, or concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DiscoveredSecret {
    pub secret: String,
    pub arn: String,
    /// The `[[store]]` that lists it. `null`: `[secrets]`.
    pub store: Option<String>,
    /// The `[[discover]]` of the config that concerns it, from 1. `null`: none does any more.
    pub discover: Option<usize>,
    /// The name that its rotation has, would have or had.
    pub rotation: Option<String>,
    pub state: DiscoveryState,
    /// Why it is skipped.
    pub reason: Option<String>,
    /// Why it is refused: `discovery_failed`.
    pub problem: Option<Problem>,
}

/// State of a discovered secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiscoveryState {
    /// It has a rotation.
    Armed,
    /// A mistake prevents its rotation.
    Refused,
    /// It is not to have a rotation.
    Skipped,
}

impl FoundSecret {
    #[must_use]
    pub const fn state(&self) -> DiscoveryState {
        match self.finding {
            Finding::Armed => DiscoveryState::Armed,
            Finding::Refused(_) => DiscoveryState::Refused,
            Finding::Skipped(_) => DiscoveryState::Skipped,
        }
    }
}

impl From<&FoundSecret> for DiscoveredSecret {
    fn from(found: &FoundSecret) -> Self {
        let reason = match &found.finding {
            Finding::Skipped(why) => Some(why.clone()),
            Finding::Armed | Finding::Refused(_) => None,
        };
        let (store, listed) = (&found.known.store, &found.known.listed);
        Self {
            secret: listed.name.clone(),
            arn: listed.arn.clone(),
            store: (!store.is_empty()).then(|| store.clone()),
            discover: found.by,
            rotation: found.rotation_name().map(str::to_owned),
            state: found.state(),
            reason,
            problem: found.problem(),
        }
    }
}
