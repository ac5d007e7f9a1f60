//! Names of discovered rotations.
//!
//! # Failure modes
//! - The name depends on which other secret was found first. That is so for two secrets with equal names
//!   only, and the journal keeps the names that were given.

use std::collections::HashSet;

use uuid::Uuid;

/// Characters of the suffix that distinguishes equal names.
const SUFFIX: usize = 6;

/// The name of a secret as the name of a rotation: `prod/Orders_db` is `prod-orders-db`.
pub(super) fn normalised(secret: &str) -> String {
    let mut name = String::with_capacity(secret.len());
    for c in secret.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => name.push(c),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    name.truncate(name.trim_end_matches('-').len());
    name
}

/// A name that is not `taken`: the secret's, else with the store, else with a digest of the ARN.
pub(super) fn unique(secret: &str, store: &str, arn: &str, taken: &HashSet<String>) -> String {
    let name = normalised(secret);
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_URL, arn.as_bytes());
    let digest = digest.simple().to_string();
    let digest = digest.get(..SUFFIX).unwrap_or_default();
    let with = |suffix: &str| normalised(&format!("{name}-{suffix}"));
    let mut candidates = vec![name.clone()];
    if !store.is_empty() {
        candidates.push(with(store));
    }
    candidates.push(with(digest));
    let free = |name: &String| !name.is_empty() && !taken.contains(name);
    candidates.into_iter().find(free).unwrap_or_else(|| {
        // Another secret's name ends in this digest.
        let mut numbers = 2..;
        numbers
            .find_map(|n| Some(with(&format!("{digest}-{n}"))).filter(free))
            .unwrap_or_default()
    })
}
