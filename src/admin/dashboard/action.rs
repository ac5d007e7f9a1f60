//! Actions that the dashboard offers for one rotation, and for several.

use serde::Deserialize;

use crate::journal::Pause;
use crate::worker::summaries::SummaryRow;

/// An action on a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Rotate,
    Pause,
    Resume,
    Rollback,
}

impl Action {
    /// All actions, in the order of their buttons.
    pub(super) const ALL: [Self; 4] = [Self::Rotate, Self::Pause, Self::Resume, Self::Rollback];

    /// The name in the path.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Rollback => "rollback",
        }
    }

    /// The route of its pages.
    pub(super) const fn route(self) -> &'static str {
        match self {
            Self::Rotate => "/rotations/{name}/rotate",
            Self::Pause => "/rotations/{name}/pause",
            Self::Resume => "/rotations/{name}/resume",
            Self::Rollback => "/rotations/{name}/rollback",
        }
    }

    /// The label of its button.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Rotate => "Rotate",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Rollback => "Roll back",
        }
    }

    /// The message after the action.
    pub(super) const fn success_message(self) -> &'static str {
        match self {
            Self::Rotate => "A run has started. Its steps are below.",
            Self::Pause => "Paused: no scheduled run starts.",
            Self::Resume => "Resumed: scheduled runs start again.",
            Self::Rollback => "Rolled back: AWSCURRENT is the former AWSPREVIOUS.",
        }
    }

    /// What a receipt of this action is about.
    pub(super) fn of_rotation(self, rotation: &str) -> String {
        format!("{} {rotation}", self.as_str())
    }

    /// Whether it is offered for a rotation with this pause. Only the config ends its own.
    pub(super) fn is_offered(self, pause: Option<&Pause>) -> bool {
        match self {
            Self::Rotate | Self::Rollback => true,
            Self::Pause => pause.is_none(),
            Self::Resume => pause.is_some_and(|pause| !pause.is_by_config()),
        }
    }
}

/// An action on several rotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BulkAction {
    Pause,
    Resume,
}

impl BulkAction {
    /// All, in the order of their buttons.
    pub(super) const ALL: [Self; 2] = [Self::Pause, Self::Resume];

    /// The same action on one rotation.
    pub(super) const fn action(self) -> Action {
        match self {
            Self::Pause => Action::Pause,
            Self::Resume => Action::Resume,
        }
    }

    /// The path of its pages.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Pause => "/pause",
            Self::Resume => "/resume",
        }
    }

    /// What happened to the rotations, after their number.
    pub(super) const fn success_message(self) -> &'static str {
        match self {
            Self::Pause => "paused: no scheduled run starts.",
            Self::Resume => "resumed: scheduled runs start again.",
        }
    }

    /// Whether it changes a rotation. Only the config ends its own pause.
    pub(super) fn changes(self, row: &SummaryRow<'_>) -> bool {
        match self {
            Self::Pause => !row.is_paused,
            Self::Resume => row.is_paused && !row.rotation.paused,
        }
    }

    /// Whether it leaves a rotation as it is because the config pauses it.
    pub(super) fn is_prevented(self, row: &SummaryRow<'_>) -> bool {
        self == Self::Resume && row.rotation.paused
    }
}
