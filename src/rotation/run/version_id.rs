//! Version ids of runs.
//!
//! The id of a scheduled run is the same in every worker and after every crash, so that one window
//! creates only one version.

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use twinkey_stores::VersionId;

/// UUIDv5 of the secret's ARN and the window's opening (RFC 3339, UTC, whole seconds).
///
/// The ARN names a namespace under the URL namespace of RFC 9562; the opening names the version in
/// that namespace.
#[must_use]
pub fn scheduled(arn: &str, opens: DateTime<Utc>) -> VersionId {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, arn.as_bytes());
    let opening = opens.to_rfc3339_opts(SecondsFormat::Secs, true);
    VersionId(Uuid::new_v5(&namespace, opening.as_bytes()).to_string())
}

/// The id of a run whose secret could not be described yet, so that its ARN is unknown. The run gets
/// its own id when the secret is described. `secret`: as the config has it.
#[must_use]
pub fn provisional(secret: &str, opens: DateTime<Utc>) -> VersionId {
    scheduled(secret, opens)
}

/// The id of a run with an idempotency key. Equal keys of a rotation give equal ids.
#[must_use]
pub fn keyed(rotation: &str, key: &str) -> VersionId {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_OID, rotation.as_bytes());
    VersionId(Uuid::new_v5(&namespace, key.as_bytes()).to_string())
}

/// A random id, for a manual run.
#[must_use]
pub fn manual() -> VersionId {
    VersionId(Uuid::new_v4().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_by_secret_and_window() {
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
