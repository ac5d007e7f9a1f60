//! Reads: the server builds each run as one JSON document, the one that users see.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgPool, PgRow, Postgres};
use sqlx::types::Json;
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::storable;
use crate::journal::error::TransactionError;
use crate::journal::{ClaimRequest, RecordChanges, Revision, RotationRecord, Run, RunQuery};
use twinkey_stores::VersionId;

/// The column `document` of a row.
pub(super) fn document(row: &PgRow) -> sqlx::Result<Run> {
    row.try_get("document").map(|Json(run)| run)
}

/// One run.
pub(super) async fn run(pool: &PgPool, id: Uuid) -> Result<Option<Run>, TransactionError> {
    let row = sqlx::query("SELECT document FROM run_documents WHERE id = $1")
        .bind(id)
        .fetch_optional(pool)
        .await?;
    Ok(row.as_ref().map(document).transpose()?)
}

/// The run of a rotation with this version id.
pub(super) async fn by_version(
    pool: &PgPool,
    rotation: &str,
    version: &VersionId,
) -> Result<Option<Run>, TransactionError> {
    let row =
        sqlx::query("SELECT document FROM run_documents WHERE rotation = $1 AND version_id = $2")
            .bind(rotation)
            .bind(&version.0)
            .fetch_optional(pool)
            .await?;
    Ok(row.as_ref().map(document).transpose()?)
}

/// A run of the requested window, and whether it is abandoned.
pub(super) async fn of_window(
    db: &mut PgConnection,
    request: &ClaimRequest,
    now: Option<DateTime<Utc>>,
) -> Result<Option<(Run, bool)>, TransactionError> {
    let row = sqlx::query(
        "SELECT document,
                state = 'deferred' OR (state = 'running'
                    AND lease_until <= COALESCE($4, clock_timestamp())) AS abandoned
           FROM run_documents
          WHERE rotation = $1 AND (version_id = $2 OR opens = $3)
          ORDER BY abandoned, seq DESC LIMIT 1",
    )
    .bind(&request.rotation)
    .bind(&request.version_id.0)
    .bind(request.window.map(|w| w.opens))
    .bind(now)
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((document(&row)?, row.try_get("abandoned")?)))
}

/// Restricts a query to one rotation, to these rotations, and to those that match a pattern.
pub(super) fn of_rotations(
    sql: &mut QueryBuilder<Postgres>,
    rotation: Option<&str>,
    rotations: Option<&[String]>,
    patterns: Option<&[String]>,
) {
    if let Some(rotation) = rotation {
        sql.push(" AND rotation = ").push_bind(rotation.to_owned());
    }
    if let Some(rotations) = rotations {
        sql.push(" AND rotation = ANY(")
            .push_bind(rotations.to_vec())
            .push(")");
    }
    if let Some(patterns) = patterns {
        let patterns: Vec<String> = patterns.iter().map(|one| like(one)).collect();
        sql.push(" AND rotation LIKE ANY(")
            .push_bind(patterns)
            .push(")");
    }
}

/// The pattern of LIKE for a pattern with `*` and `?`.
fn like(pattern: &str) -> String {
    let mut like = String::with_capacity(pattern.len());
    for character in storable(pattern).chars() {
        match character {
            '*' => like.push('%'),
            '?' => like.push('_'),
            '%' | '_' | '\\' => like.extend(['\\', character]),
            _ => like.push(character),
        }
    }
    like
}

/// Runs, newest first; none if `before` does not exist.
pub(super) async fn list(pool: &PgPool, query: &RunQuery) -> Result<Vec<Run>, TransactionError> {
    let mut sql = QueryBuilder::<Postgres>::new("SELECT document FROM run_documents WHERE true");
    of_rotations(
        &mut sql,
        query.rotation.as_deref(),
        query.rotations.as_deref(),
        query.patterns.as_deref(),
    );
    if let Some(state) = query.state {
        sql.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(before) = query.before {
        sql.push(" AND (started, seq) < (SELECT started, seq FROM runs WHERE id = ")
            .push_bind(before)
            .push(")");
    }
    sql.push(" ORDER BY started DESC, seq DESC LIMIT ")
        .push_bind(i64::from(query.limit));
    let rows = sql.build().fetch_all(pool).await?;
    Ok(rows.iter().map(document).collect::<sqlx::Result<_>>()?)
}

/// The records of all rotations or of these, by name.
pub(super) async fn rotation_records(
    pool: &PgPool,
    only: Option<&[&str]>,
) -> Result<HashMap<String, RotationRecord>, TransactionError> {
    let rows: Vec<(String, Json<RotationRecord>)> = sqlx::query_as(
        "SELECT name, jsonb_build_object(
                    'paused', CASE WHEN paused THEN COALESCE(pause, '{}') END, 'first_seen', first_seen, 'last_success', last_success,
                    'last_flip', last_flip, 'retired', retired,
                    'changed', (SELECT changed FROM known_versions
                                 WHERE rotation = name AND label = 'AWSCURRENT'),
                    'refused', CASE WHEN refused IS NOT NULL
                                    THEN jsonb_build_object('since', refused_since, 'problem', refused) END,
                    'last_run', (SELECT document FROM run_documents WHERE rotation = name
                                  ORDER BY started DESC, seq DESC LIMIT 1),
                    'last_in_window', (SELECT document FROM run_documents
                                        WHERE rotation = name AND opens IS NOT NULL
                                        ORDER BY seq DESC LIMIT 1),
                    'seen', CASE WHEN engine IS NOT NULL
                                 THEN jsonb_build_object('engine', engine, 'host', host, 'port', port,
                                          'active_user', active_user, 'standby_user', standby_user) END
                )
           FROM rotations WHERE $1 IS NULL OR name = ANY ($1)",
    )
    .bind(only)
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(name, Json(record))| (name, record))
        .collect())
}

/// The rotations whose records changed since a revision.
///
/// A revision is the oldest transaction that was not over: its changes, and those of all later ones, were
/// perhaps not visible.
pub(super) async fn changed_rotations(
    pool: &PgPool,
    since: Option<Revision>,
) -> Result<RecordChanges, TransactionError> {
    let (revision, rotations): (i64, Vec<String>) = sqlx::query_as(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
                ARRAY(SELECT name FROM rotations WHERE changed_by >= $1)",
    )
    .bind(since.map(|Revision(since)| since))
    .fetch_one(pool)
    .await?;
    Ok(RecordChanges {
        revision: Revision(revision),
        rotations,
    })
}

/// Fails on a server that accepts no writes.
pub(super) async fn check_writable(pool: &PgPool) -> Result<(), TransactionError> {
    let read_only: bool = sqlx::query_scalar(
        "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean
           FROM (SELECT count(*) FROM runs WHERE state = 'running') AS readable",
    )
    .fetch_one(pool)
    .await?;
    if read_only {
        return Err(TransactionError::Other(
            "the server accepts no writes: it is a replica".into(),
        ));
    }
    // A full disk refuses writes only.
    sqlx::query(
        "INSERT INTO pings (one, at) VALUES (1, clock_timestamp())
         ON CONFLICT (one) DO UPDATE SET at = excluded.at",
    )
    .execute(pool)
    .await?;
    Ok(())
}
