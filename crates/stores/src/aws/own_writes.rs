//! Recent writes of this process, to detect stale reads of an eventually consistent store. Pure.
//!
//! # Failure modes
//! - A read after a write returns the state before it, and a run treats that as a change by another
//!   process. A contradicting read is retried a few times. Then the read is trusted and the
//!   expectation dropped, because another process may have written.

use std::collections::HashMap;

use crate::VersionId;

/// Limit of remembered secrets. Beyond it all are dropped, which costs retries only.
const MAX_SECRETS: usize = 4096;

/// Expected labels and versions of secrets, from the writes of this process.
#[derive(Debug, Default)]
pub(super) struct OwnWrites(HashMap<String, Expected>);

#[derive(Debug, Default)]
struct Expected {
    /// The version of each label; `None`: on no version.
    labels: HashMap<String, Option<VersionId>>,
    versions: Vec<VersionId>,
}

impl OwnWrites {
    /// Records a version that was put with a label.
    pub(super) fn put(&mut self, secret: &str, id: &VersionId, label: &str) {
        self.moved(secret, label, Some(id));
        let versions = &mut self.expected(secret).versions;
        // The newest two suffice: a run puts one, and reads no other by its id.
        versions.retain(|v| v != id);
        versions.truncate(1);
        versions.insert(0, id.clone());
    }

    /// Records a label that was moved or removed.
    pub(super) fn moved(&mut self, secret: &str, label: &str, to: Option<&VersionId>) {
        self.expected(secret)
            .labels
            .insert(label.into(), to.cloned());
    }

    /// Whether a label on `seen` contradicts the recorded writes.
    pub(super) fn contradicts(&self, secret: &str, label: &str, seen: Option<&VersionId>) -> bool {
        self.0
            .get(secret)
            .and_then(|e| e.labels.get(label))
            .is_some_and(|expected| expected.as_ref() != seen)
    }

    /// The labels that this process has moved.
    pub(super) fn labels(&self, secret: &str) -> Vec<String> {
        self.0
            .get(secret)
            .map(|e| e.labels.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Whether this process has put the version.
    pub(super) fn has_put(&self, secret: &str, id: &VersionId) -> bool {
        self.0.get(secret).is_some_and(|e| e.versions.contains(id))
    }

    /// Drops the expectations of a secret, so that reads are trusted.
    pub(super) fn forget(&mut self, secret: &str) {
        self.0.remove(secret);
    }

    fn expected(&mut self, secret: &str) -> &mut Expected {
        if self.0.len() >= MAX_SECRETS && !self.0.contains_key(secret) {
            self.0.clear();
        }
        self.0.entry(secret.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> VersionId {
        VersionId(format!("{n:032}"))
    }

    #[test]
    fn only_own_writes_can_be_contradicted() {
        let mut own = OwnWrites::default();
        assert!(!own.contradicts("s", "AWSPENDING", None));
        own.put("s", &id(1), "AWSPENDING");
        assert!(own.contradicts("s", "AWSPENDING", None));
        assert!(own.contradicts("s", "AWSPENDING", Some(&id(2))));
        assert!(!own.contradicts("s", "AWSPENDING", Some(&id(1))));
        assert!(!own.contradicts("s", "AWSCURRENT", None));
        assert!(!own.contradicts("other", "AWSPENDING", None));
        assert!(own.has_put("s", &id(1)) && !own.has_put("s", &id(2)));
        own.moved("s", "AWSPENDING", None);
        assert!(own.contradicts("s", "AWSPENDING", Some(&id(1))));
        own.forget("s");
        assert!(!own.contradicts("s", "AWSPENDING", Some(&id(1))));
    }

    #[test]
    fn memory_is_bounded() {
        let mut own = OwnWrites::default();
        for n in 0..10_000 {
            own.put(&n.to_string(), &id(1), "AWSPENDING");
        }
        assert!(own.0.len() <= MAX_SECRETS);
        for n in 0..50 {
            own.put("s", &id(n), "AWSPENDING");
        }
        assert_eq!(own.0["s"].versions, [id(49), id(48)]);
    }
}
