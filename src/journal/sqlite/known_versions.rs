//! Versions of the staging labels. All functions run inside the caller's transaction.

use sqlx::SqliteConnection;
use twinkey_stores::{VersionId, stage};
use uuid::Uuid;

use super::{TransactionError, audit};
use crate::journal::{AuditRecord, KnownVersion, LabelledVersion};

/// What is known of a label and of the version that carries it.
pub(super) async fn known(
    db: &mut SqliteConnection,
    seen: &LabelledVersion,
) -> sqlx::Result<KnownVersion> {
    let version: Option<String> = sqlx::query_scalar(
        "SELECT version_id FROM known_versions WHERE rotation = ?1 AND label = ?2 AND secret = ?3",
    )
    .bind(&seen.rotation)
    .bind(&seen.label)
    .bind(&seen.secret)
    .fetch_optional(&mut *db)
    .await?;
    // A run that moved AWSCURRENT, and did not record it, was interrupted in its step `finish`.
    let by_run = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM runs WHERE rotation = ?1 AND version_id = ?2
            AND (NOT ?3 OR state = 'running' OR EXISTS (
                    SELECT 1 FROM steps WHERE run = runs.id AND name = 'finish' AND state <> 'succeeded')))",
    )
    .bind(&seen.rotation)
    .bind(&seen.version_id.0)
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
    db: &mut SqliteConnection,
    seen: &LabelledVersion,
    from: Option<&VersionId>,
    record: &AuditRecord,
) -> Result<bool, TransactionError> {
    let known = known(&mut *db, seen).await?;
    if known.version.as_ref() != from {
        return Ok(false);
    }
    let is_change = known.is_change(&seen.label);
    sqlx::query(
        "INSERT OR REPLACE INTO known_versions (rotation, label, secret, version_id, changed)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(&seen.rotation)
    .bind(&seen.label)
    .bind(&seen.secret)
    .bind(&seen.version_id.0)
    .bind(is_change.then(|| record.at.timestamp_micros()))
    .execute(&mut *db)
    .await?;
    if is_change {
        audit::append(db, record).await?;
    }
    Ok(is_change)
}

/// Records that a rollback moved AWSCURRENT.
pub(super) async fn flipped(
    db: &mut SqliteConnection,
    rotation: &str,
    version: &VersionId,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE known_versions SET version_id = ?3, changed = NULL WHERE rotation = ?1 AND label = ?2",
    )
    .bind(rotation)
    .bind(stage::CURRENT)
    .bind(&version.0)
    .execute(db)
    .await?;
    Ok(())
}

/// Records that a run moved AWSCURRENT.
pub(super) async fn flipped_by_run(db: &mut SqliteConnection, run: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE known_versions SET version_id = run.version_id, changed = NULL
           FROM (SELECT rotation, version_id FROM runs WHERE id = ?1) AS run
          WHERE known_versions.rotation = run.rotation AND label = ?2",
    )
    .bind(run.to_string())
    .bind(stage::CURRENT)
    .execute(db)
    .await?;
    Ok(())
}
