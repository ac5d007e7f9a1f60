//! Removal of old runs and records. Autovacuum of the server reuses their space.
//!
//! # Failure modes
//! - A rotation loses its state with its history. Its newest success, its last run and its last run
//!   of a window are kept, and so is each run that has not ended.
//! - Several workers remove at once, and wait for each other. Rows that another worker removes are
//!   skipped.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;

use crate::journal::Pruned;
use crate::journal::error::TransactionError;

/// Removes at most `limit` runs and at most `limit` records from before `before`, the oldest first.
pub(super) async fn prune(
    db: &mut PgConnection,
    before: DateTime<Utc>,
    limit: u32,
) -> Result<Pruned, TransactionError> {
    let runs = sqlx::query(
        "DELETE FROM runs WHERE seq IN (
             SELECT seq FROM runs AS old
              WHERE started < $1 AND finished < $1
                AND seq IS DISTINCT FROM (SELECT seq FROM runs WHERE rotation = old.rotation
                                           ORDER BY started DESC, seq DESC LIMIT 1)
                AND seq IS DISTINCT FROM (SELECT seq FROM runs
                                           WHERE rotation = old.rotation AND opens IS NOT NULL
                                           ORDER BY seq DESC LIMIT 1)
                AND seq IS DISTINCT FROM (SELECT seq FROM runs
                                           WHERE rotation = old.rotation AND state = 'succeeded'
                                           ORDER BY started DESC, seq DESC LIMIT 1)
              ORDER BY started, seq LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(before)
    .bind(i64::from(limit))
    .execute(&mut *db)
    .await?;
    let records = sqlx::query(
        "DELETE FROM audit WHERE seq IN (
             SELECT seq FROM audit AS old
              WHERE at < $1 AND NOT EXISTS (SELECT 1 FROM runs WHERE id = old.run)
              ORDER BY at, seq LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(before)
    .bind(i64::from(limit))
    .execute(db)
    .await?;
    Ok(Pruned {
        runs: runs.rows_affected(),
        records: records.rows_affected(),
    })
}
