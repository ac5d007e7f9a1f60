//! Commands that prepare an installation: policies, grants, imports, schedules and shell integration.

pub(super) mod completions;
pub(super) mod grants;
#[cfg(feature = "aws")]
pub(super) mod iam_policy;
#[cfg(feature = "aws")]
pub(super) mod import;
pub(super) mod schedule;
