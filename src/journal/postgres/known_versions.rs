//! Versions of the staging labels.

use sqlx::postgres::{PgConnection, PgExecutor};
use twinkey_stores::{VersionId, stage};
use uuid::Uuid;

use super::record::lock_rotation;
use super::{audit, storable};
use crate::journal::error::TransactionError;
use crate::journal::{AuditRecord, KnownVersion, LabelledVersion};

/// What is known of a label and of the version that carries it.
pub(super) async fn known(
    db: &mut PgConnection,
    seen: &LabelledVersion,
) -> Result<KnownVersion, TransactionError> {
    let version: Option<String> = sqlx::query_scalar(
        "SELECT version_id FROM known_versions WHERE rotation = $1 AND label = $2 AND secret = $3",
    )
    .bind(&seen.rotation)
    .bind(&seen.label)
    .bind(storable(&seen.secret))
    .fetch_optional(&mut *db)
    .await?;
    // A run that moved AWSCURRENT, and did not record it, was interrupted in its step `finish`.
    let by_run = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM runs WHERE rotation = $1 AND version_id = $2
            AND (NOT $3 OR state = 'running' OR EXISTS (
                    SELECT 1 FROM steps WHERE run = runs.id AND name = 'finish' AND state <> 'succeeded')))",
    )
    .bind(&seen.rotation)
    .bind(storable(&seen.version_id.0))
    .bind(seen.label == stage::CURRENT)
    .fetch_one(db)
    .await?;
    Ok(KnownVersion {
        version: version.map(VersionId),
        by_run,
    })
}

/// Records that a label moved from `from`, with `record` unless a run of this journal moved it.
pub(super) async fn moved(
    db: &mut PgConnection,
    seen: &LabelledVersion,
    from: Option<&VersionId>,
    record: &AuditRecord,
) -> Result<bool, TransactionError> {
    lock_rotation(db, &seen.rotation).await?;
    let known = known(&mut *db, seen).await?;
    if known.version.as_ref() != from {
        return Ok(false);
    }
    let is_change = known.is_change(&seen.label);
    sqlx::query(
        "INSERT INTO known_versions (rotation, label, secret, version_id, changed)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (rotation, label) DO UPDATE SET secret = excluded.secret,
             version_id = excluded.version_id, changed = excluded.changed",
    )
    .bind(&seen.rotation)
    .bind(&seen.label)
    .bind(storable(&seen.secret))
    .bind(storable(&seen.version_id.0))
    .bind(is_change.then_some(record.at))
    .execute(&mut *db)
    .await?;
    if is_change {
        audit::append(db, record).await?;
    }
    Ok(is_change)
}

/// Records that a rollback moved AWSCURRENT.
pub(super) async fn flipped(
    db: impl PgExecutor<'_>,
    rotation: &str,
    version: &VersionId,
) -> Result<(), TransactionError> {
    sqlx::query(
        "UPDATE known_versions SET version_id = $3, changed = NULL WHERE rotation = $1 AND label = $2",
    )
    .bind(rotation)
    .bind(stage::CURRENT)
    .bind(storable(&version.0))
    .execute(db)
    .await?;
    Ok(())
}

/// Records that a run moved AWSCURRENT.
pub(super) async fn flipped_by_run(db: impl PgExecutor<'_>, run: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE known_versions SET version_id = runs.version_id, changed = NULL
           FROM runs WHERE id = $1 AND known_versions.rotation = runs.rotation AND label = $2",
    )
    .bind(run)
    .bind(stage::CURRENT)
    .execute(db)
    .await?;
    Ok(())
}
