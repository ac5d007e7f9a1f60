//! Rules of staging labels, as pure functions of the labels before and a request.
//!
//! Source: API reference of PutSecretValue and UpdateSecretVersionStage; quotas page (20 labels
//! across the versions of a secret).
//!
//! # Failure modes
//! - A label is on two versions, or AWSCURRENT on none. Every change uses `attach` or is refused,
//!   and the first version of a secret is always AWSCURRENT.
//! - A label moves that another request has moved. A move names the version that it moves from.
//! - The rollback version is lost. AWSPREVIOUS follows whenever AWSCURRENT moves.

pub(super) mod seal;

use std::collections::{BTreeMap, BTreeSet};

use super::refusal::{Refusal, RefusalKind};
use crate::{VersionId, stage};

/// Labels of all versions of a secret; an unlabelled version has an empty set.
pub type Labels = BTreeMap<VersionId, BTreeSet<String>>;

/// AWS's quota over all versions of a secret.
const MAX_LABELS: usize = 20;

/// The version with a label.
#[must_use]
pub fn holder<'a>(labels: &'a Labels, label: &str) -> Option<&'a VersionId> {
    labels
        .iter()
        .find(|(_, on_it)| on_it.contains(label))
        .map(|(id, _)| id)
}

/// The labels after putting version `id`. The default stage is AWSCURRENT, which the first version
/// of a secret always gets.
///
/// # Errors
/// A malformed label, or too many labels.
pub fn put(before: &Labels, id: &VersionId, stages: Option<&[String]>) -> Result<Labels, Refusal> {
    let current = [stage::CURRENT.to_owned()];
    let requested = stages.unwrap_or(&current);
    if requested.is_empty() || requested.len() > MAX_LABELS {
        return Err(Refusal::new(
            RefusalKind::Validation,
            "VersionStages must hold 1 to 20 labels.",
        ));
    }
    let mut after = before.clone();
    after.entry(id.clone()).or_default();
    for label in requested {
        well_formed(label)?;
        attach(&mut after, label, id);
    }
    if before.is_empty() {
        attach(&mut after, stage::CURRENT, id);
    }
    within_quota(after)
}

/// The labels after UpdateSecretVersionStage: `label` moves from `from` to `to`.
///
/// # Errors
/// InvalidParameterException if the label is not on `from`, is on a version that the request does
/// not name, or is AWSCURRENT and would be removed. ResourceNotFoundException if `to` does not
/// exist.
pub fn move_stage(
    before: &Labels,
    label: &str,
    from: Option<&VersionId>,
    to: Option<&VersionId>,
) -> Result<Labels, Refusal> {
    let invalid = |message: String| Err(Refusal::new(RefusalKind::InvalidParameter, message));
    well_formed(label)?;
    if from.is_none() && to.is_none() {
        return invalid(
            "You must specify RemoveFromVersionId, MoveToVersionId or both.".to_owned(),
        );
    }
    if let Some(to) = to
        && !before.contains_key(to)
    {
        return Err(Refusal::new(
            RefusalKind::ResourceNotFound,
            format!("Secrets Manager can't find the specified secret version: {to}."),
        ));
    }
    match (holder(before, label), from) {
        (holder, Some(from)) if holder != Some(from) => {
            return invalid(format!(
                "Staging label {label} isn't currently attached to version {from}."
            ));
        }
        (Some(holder), None) if Some(holder) != to => {
            return invalid(format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently \
                 attached to version {holder}, so you must explicitly reference that version in \
                 RemoveFromVersionId."
            ));
        }
        _ => {}
    }
    let mut after = before.clone();
    match to {
        Some(to) => attach(&mut after, label, to),
        None if label == stage::CURRENT => {
            return invalid(format!(
                "You can only move staging label {label} to a different secret version. It can't be \
                 completely removed."
            ));
        }
        None => {
            detach(&mut after, label);
        }
    }
    within_quota(after)
}

/// The versions to delete: older than the newest `keep`, and without a label. `versions` is sorted
/// newest first; each has a flag for labels.
#[must_use]
pub fn prunable(versions: &[(VersionId, bool)], keep: usize) -> Vec<VersionId> {
    versions
        .iter()
        .skip(keep)
        .filter(|(_, labelled)| !labelled)
        .map(|(id, _)| id.clone())
        .collect()
}

/// Moves a label to a version. AWSPREVIOUS follows AWSCURRENT.
fn attach(labels: &mut Labels, label: &str, to: &VersionId) {
    let from = detach(labels, label);
    if let Some(on_it) = labels.get_mut(to) {
        on_it.insert(label.to_owned());
    }
    if label == stage::CURRENT
        && let Some(from) = from
        && from != *to
    {
        attach(labels, stage::PREVIOUS, &from);
    }
}

fn detach(labels: &mut Labels, label: &str) -> Option<VersionId> {
    labels
        .iter_mut()
        .find_map(|(id, on_it)| on_it.remove(label).then(|| id.clone()))
}

fn well_formed(label: &str) -> Result<(), Refusal> {
    if (1..=256).contains(&label.chars().count()) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::Validation,
        "A staging label must have 1 to 256 characters.",
    ))
}

fn within_quota(labels: Labels) -> Result<Labels, Refusal> {
    if labels.values().map(BTreeSet::len).sum::<usize>() <= MAX_LABELS {
        return Ok(labels);
    }
    Err(Refusal::new(
        RefusalKind::LimitExceeded,
        "You exceeded the maximum number of staging labels allowed on a secret.",
    ))
}

#[cfg(test)]
mod tests;
