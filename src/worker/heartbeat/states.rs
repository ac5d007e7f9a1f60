//! Results of the last heartbeats.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::config::settings::Rotation;
use crate::rotation::commands::heartbeat::HeartbeatResult;
use crate::rotation::error::RotationError;
use parking_lot::RwLock;
use twinkey_core::code::{Code, Diagnostic, Problem};

/// Change of a rotation's heartbeat state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Transition {
    Refused(Problem),
    Accepted,
    Inconclusive(Problem),
}

#[derive(Debug, Default)]
struct HeartbeatState {
    refused: bool,
    /// Why the last heartbeat was inconclusive.
    inconclusive: Option<Code>,
}

/// Heartbeat states by the rotations' names. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct HeartbeatStates(Arc<RwLock<HashMap<String, HeartbeatState>>>);

impl HeartbeatStates {
    /// Whether the last conclusive heartbeat was refused; `None` if there was no heartbeat.
    #[must_use]
    pub fn refused(&self, rotation: &str) -> Option<bool> {
        let states = self.0.read();
        states.get(rotation).map(|state| state.refused)
    }

    /// Records a result; returns the change, if there is one.
    pub(super) fn record(
        &self,
        rotation: &str,
        result: &Result<HeartbeatResult, RotationError>,
    ) -> Option<Transition> {
        let mut states = self.0.write();
        let state = states.entry(rotation.to_owned()).or_default();
        let was_refused = state.refused;
        match result {
            Ok(HeartbeatResult::Accepted) => {
                *state = HeartbeatState::default();
                was_refused.then_some(Transition::Accepted)
            }
            Ok(HeartbeatResult::Refused(error)) => {
                state.refused = true;
                state.inconclusive = None;
                (!was_refused).then(|| Transition::Refused(error.problem()))
            }
            Err(error) => {
                let known = state.inconclusive.replace(error.code());
                (known != Some(error.code())).then(|| Transition::Inconclusive(error.problem()))
            }
        }
    }

    /// Removes the states of rotations without a heartbeat.
    pub(super) fn retain<'a>(&self, rotations: impl Iterator<Item = &'a Arc<Rotation>>) {
        let with: HashSet<&str> = rotations
            .filter(|rotation| rotation.heartbeat.is_some())
            .map(|rotation| rotation.name.as_str())
            .collect();
        let mut states = self.0.write();
        states.retain(|name, _| with.contains(name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::heartbeat::queue::tests::config;

    fn error(code: Code) -> RotationError {
        RotationError::Refused {
            code,
            message: "no".into(),
            hint: "check".into(),
            passes: true,
        }
    }

    #[test]
    fn reports_each_state_change_once() {
        let states = HeartbeatStates::default();
        let refused = error(Code::CurrentSigninFailed);
        let refusal = Ok(HeartbeatResult::Refused(refused.clone()));
        let unreachable = Err(error(Code::DbUnreachable));
        assert_eq!(states.refused("app"), None);
        assert_eq!(states.record("app", &Ok(HeartbeatResult::Accepted)), None);
        let transition = states.record("app", &refusal);
        assert_eq!(transition, Some(Transition::Refused(refused.problem())));
        assert_eq!(states.record("app", &refusal), None);
        assert!(matches!(
            states.record("app", &unreachable),
            Some(Transition::Inconclusive(_))
        ));
        assert_eq!(states.record("app", &unreachable), None);
        // An inconclusive heartbeat keeps the last known state.
        assert_eq!(states.refused("app"), Some(true));
        assert_eq!(states.record("app", &refusal), None);
        assert_eq!(
            states.record("app", &Ok(HeartbeatResult::Accepted)),
            Some(Transition::Accepted)
        );
        assert_eq!(states.refused("app"), Some(false));
        states.retain(config(&["app"], "").iter());
        assert_eq!(states.refused("app"), None);
    }
}
