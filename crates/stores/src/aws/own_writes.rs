//! What this process has written, for stores whose reads may lag behind (AWS's are eventually
//! consistent).
//!
//! What can go wrong: right after a write a read shows the state before it, and a run takes that for
//! somebody else's doing. A read that contradicts a write of our own is therefore tried again, a few
//! times; then it is believed and the expectation forgotten, for somebody else may have written
//! meanwhile. Pure: no waiting here.

use std::collections::HashMap;

use crate::VersionId;

/// How many secrets are remembered. Beyond that all is forgotten, which costs retries only.
const MOST: usize = 4096;

/// Where the labels should be, and which versions should exist, as far as this process wrote them.
#[derive(Debug, Default)]
pub(super) struct OwnWrites(HashMap<String, Expected>);

#[derive(Debug, Default)]
struct Expected {
    /// `None`: on no version.
    labels: HashMap<String, Option<VersionId>>,
    versions: Vec<VersionId>,
}

impl OwnWrites {
    /// A version was put with a label.
    pub(super) fn put(&mut self, secret: &str, id: &VersionId, label: &str) {
        self.moved(secret, label, Some(id));
        let versions = &mut self.of(secret).versions;
        // The newest two are enough: a run puts one, and reads no other by its id.
        versions.retain(|v| v != id);
        versions.truncate(1);
        versions.insert(0, id.clone());
    }

    /// A label was moved, or removed.
    pub(super) fn moved(&mut self, secret: &str, label: &str, to: Option<&VersionId>) {
        self.of(secret).labels.insert(label.into(), to.cloned());
    }

    /// Whether a label on `seen` contradicts what was written.
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

    /// The reads have been believed against the writes.
    pub(super) fn forget(&mut self, secret: &str) {
        self.0.remove(secret);
    }

    fn of(&mut self, secret: &str) -> &mut Expected {
        if self.0.len() >= MOST && !self.0.contains_key(secret) {
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
    fn only_what_was_written_here_can_be_contradicted() {
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
    fn the_memory_is_bounded() {
        let mut own = OwnWrites::default();
        for n in 0..10_000 {
            own.put(&n.to_string(), &id(1), "AWSPENDING");
        }
        assert!(own.0.len() <= MOST);
        for n in 0..50 {
            own.put("s", &id(n), "AWSPENDING");
        }
        assert_eq!(own.0["s"].versions, [id(49), id(48)]);
    }
}
