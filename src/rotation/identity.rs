//! Version ids. A scheduled run's is the same in every worker and after every crash, so that one
//! window can make only one version, whoever makes it.

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use twinkey_stores::VersionId;

/// UUIDv5 of the secret's ARN and the window's opening (RFC 3339, UTC, whole seconds): the ARN names a
/// namespace under the URL namespace of RFC 9562, the opening names the version in it.
#[must_use]
pub fn scheduled(arn: &str, opens: DateTime<Utc>) -> VersionId {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, arn.as_bytes());
    let opening = opens.to_rfc3339_opts(SecondsFormat::Secs, true);
    VersionId(Uuid::new_v5(&namespace, opening.as_bytes()).to_string())
}

/// The id of a run that somebody asked for under an idempotency key: the same key names the same run.
#[must_use]
pub fn keyed(rotation: &str, key: &str) -> VersionId {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_OID, rotation.as_bytes());
    VersionId(Uuid::new_v5(&namespace, key.as_bytes()).to_string())
}

/// A random id, for a run that no window asked for.
#[must_use]
pub fn manual() -> VersionId {
    VersionId(Uuid::new_v4().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_window_of_one_secret_has_one_id_and_every_other_has_another() {
        let opens: DateTime<Utc> = "2026-11-23T07:00:00Z".parse().unwrap();
        let id = scheduled("arn:a", opens);
        assert_eq!(id, scheduled("arn:a", opens));
        assert_eq!(id.0, "13ab72af-f2e5-5a45-bd12-431b60300e31");
        assert_ne!(id, scheduled("arn:b", opens));
        assert_ne!(
            id,
            scheduled("arn:a", opens + chrono::TimeDelta::seconds(1))
        );
        assert_ne!(manual(), manual());
    }
}
