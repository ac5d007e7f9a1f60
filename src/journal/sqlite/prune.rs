//! Removal of old runs and records, and of the free pages of the file.
//!
//! # Failure modes
//! - A rotation loses its state with its history. Its newest success, its last run and its last run
//!   of a window are kept, and so is each run that has not ended.
//! - A removal blocks the runs of other rotations. A batch is one short transaction, and the caller
//!   pauses between two batches.
//! - The file never shrinks. A new file has `auto_vacuum = INCREMENTAL`. A file of an older version
//!   is rewritten once, before the worker starts its first run: a rewrite blocks every write.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use super::TransactionError;
use crate::journal::Pruned;

/// Pages that one call returns to the file system.
const VACUUM_PAGES: u32 = 1024;
/// `auto_vacuum` of a file whose free pages can be returned.
const INCREMENTAL: i64 = 2;

/// Removes at most `limit` runs and at most `limit` records from before `before`, the oldest first.
pub(super) async fn prune(
    db: &mut SqliteConnection,
    before: DateTime<Utc>,
    limit: u32,
) -> Result<Pruned, TransactionError> {
    let runs = sqlx::query(
        "DELETE FROM runs WHERE seq IN (
             SELECT seq FROM runs AS old
              WHERE started < ?1 AND finished < ?1
                AND seq IS NOT (SELECT seq FROM runs WHERE rotation = old.rotation
                                 ORDER BY started DESC, seq DESC LIMIT 1)
                AND seq IS NOT (SELECT seq FROM runs
                                 WHERE rotation = old.rotation AND opens IS NOT NULL
                                 ORDER BY seq DESC LIMIT 1)
                AND seq IS NOT (SELECT seq FROM runs
                                 WHERE rotation = old.rotation AND state = 'succeeded'
                                 ORDER BY started DESC, seq DESC LIMIT 1)
              ORDER BY started, seq LIMIT ?2)",
    )
    .bind(before.timestamp_micros())
    .bind(limit)
    .execute(&mut *db)
    .await?;
    let records = sqlx::query(
        "DELETE FROM audit WHERE seq IN (
             SELECT seq FROM audit AS old
              WHERE at < ?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE id = old.run)
              ORDER BY at, seq LIMIT ?2)",
    )
    .bind(before.timestamp_micros())
    .bind(limit)
    .execute(db)
    .await?;
    Ok(Pruned {
        runs: runs.rows_affected(),
        records: records.rows_affected(),
    })
}

/// Returns some free pages to the file system. `false` if none is left.
pub(super) async fn compact(db: &mut SqliteConnection) -> sqlx::Result<bool> {
    let incremental = auto_vacuum(db).await? == INCREMENTAL;
    if !incremental || free_pages(db).await? == 0 {
        return Ok(false);
    }
    let sql = format!("PRAGMA incremental_vacuum({VACUUM_PAGES})");
    // Each row is one page: the statement ends with the last row.
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_all(&mut *db)
        .await?;
    Ok(free_pages(db).await? > 0)
}

/// Rewrites a file of an older version, so that its free pages can be returned. Does nothing to a
/// file that was rewritten, or that this version created.
pub(super) async fn rewrite_once(db: &mut SqliteConnection) -> sqlx::Result<bool> {
    if auto_vacuum(db).await? == INCREMENTAL {
        return Ok(false);
    }
    sqlx::query("PRAGMA auto_vacuum = INCREMENTAL")
        .execute(&mut *db)
        .await?;
    sqlx::query("VACUUM").execute(db).await?;
    Ok(true)
}

async fn auto_vacuum(db: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("PRAGMA auto_vacuum").fetch_one(db).await
}

async fn free_pages(db: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("PRAGMA freelist_count")
        .fetch_one(db)
        .await
}
