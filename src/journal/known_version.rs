//! Versions that the staging labels of a secret were last known on.

use twinkey_stores::{VersionId, stage};

/// A staging label of a rotation's secret, and the version that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledVersion {
    pub rotation: String,
    /// As the config names it: a rotation can get another secret.
    pub secret: String,
    pub label: String,
    pub version_id: VersionId,
}

/// What the journal knows of a label and of the version that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownVersion {
    /// The version that the label was last known on.
    pub version: Option<VersionId>,
    /// Whether a run of the rotation explains that the label is on the version that carries it.
    pub by_run: bool,
}

impl KnownVersion {
    /// Whether the label is on its version by another party. The first sight of AWSCURRENT shows none.
    pub(super) fn is_change(&self, label: &str) -> bool {
        let is_first = label == stage::CURRENT && self.version.is_none();
        !is_first && !self.by_run
    }
}
