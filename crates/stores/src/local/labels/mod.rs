//! The rules of staging labels, as pure functions: labels before and a request in, labels after or
//! AWS's refusal out.
//!
//! What can go wrong, and what prevents it:
//! - a label on two versions, or AWSCURRENT on none: every change goes through `attach` or is
//!   refused, and a secret's first version always is AWSCURRENT;
//! - somebody moves a label that has moved meanwhile: a move names the version that it moves from;
//! - the way back is lost: AWSPREVIOUS follows whenever AWSCURRENT moves.
//!
//! Source: API reference of PutSecretValue and UpdateSecretVersionStage; quotas page (20 labels
//! across the versions of a secret).

use std::collections::{BTreeMap, BTreeSet};

use super::refusal::{Refusal, RefusalKind};
use crate::{VersionId, stage};

/// Every version of one secret and its labels; an unlabelled one has an empty set.
pub type Labels = BTreeMap<VersionId, BTreeSet<String>>;

/// AWS's quota over all versions of a secret.
const MAX_LABELS: usize = 20;

/// The version that carries a label.
#[must_use]
pub fn holder<'a>(labels: &'a Labels, label: &str) -> Option<&'a VersionId> {
    labels
        .iter()
        .find(|(_, on_it)| on_it.contains(label))
        .map(|(id, _)| id)
}

/// The labels after a new version `id` was put. `stages` absent means AWSCURRENT; the first version
/// of a secret is AWSCURRENT whatever was asked for.
///
/// # Errors
/// A malformed label, or too many.
pub fn put(before: &Labels, id: &VersionId, stages: Option<&[String]>) -> Result<Labels, Refusal> {
    let current = [stage::CURRENT.to_owned()];
    let wanted = stages.unwrap_or(&current);
    if wanted.is_empty() || wanted.len() > MAX_LABELS {
        return Err(Refusal::new(
            RefusalKind::Validation,
            "VersionStages must hold 1 to 20 labels.",
        ));
    }
    let mut after = before.clone();
    after.entry(id.clone()).or_default();
    for label in wanted {
        well_formed(label)?;
        attach(&mut after, label, id);
    }
    if before.is_empty() {
        attach(&mut after, stage::CURRENT, id);
    }
    within_quota(after)
}

/// The labels after UpdateSecretVersionStage: `label` leaves `from` and goes to `to`.
///
/// # Errors
/// InvalidParameterException when the label is not on `from`, or is on a version that the request
/// does not name, or AWSCURRENT would be left on none; ResourceNotFoundException when `to` is no
/// version of the secret.
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

/// The versions that may go: older than the newest `keep`, and without a label. `versions` is newest
/// first, with whether each has a label.
#[must_use]
pub fn prunable(versions: &[(VersionId, bool)], keep: usize) -> Vec<VersionId> {
    versions
        .iter()
        .skip(keep)
        .filter(|(_, labelled)| !labelled)
        .map(|(id, _)| id.clone())
        .collect()
}

/// Puts a label on a version, and takes it off any other. AWSPREVIOUS follows AWSCURRENT.
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
