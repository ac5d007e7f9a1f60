//! Versions that the staging labels of a secret were last known on.

use twinkey_stores::VersionId;

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
