//! What is read back: runs as the JSON documents that the server makes of them.

use std::collections::HashMap;

use sqlx::postgres::{PgConnection, PgPool, PgRow, Postgres};
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::time;
use crate::journal::fault::Reason;
use crate::journal::{ClaimRequest, RotationMemory, Run, RunQuery};
use twinkey_stores::VersionId;

/// The column `document` of a row.
pub(super) fn decode(row: &PgRow) -> Result<Run, Reason> {
    Ok(serde_json::from_str(row.try_get("document")?)?)
}

/// One run.
pub(super) async fn run(pool: &PgPool, id: Uuid) -> Result<Option<Run>, Reason> {
    let row = sqlx::query("SELECT document::text FROM run_documents WHERE id = $1::text::uuid")
        .bind(id.to_string())
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(decode).transpose()
}

/// The run of a rotation that has this version id.
pub(super) async fn by_version(
    pool: &PgPool,
    rotation: &str,
    version: &VersionId,
) -> Result<Option<Run>, Reason> {
    let row = sqlx::query(
        "SELECT document::text FROM run_documents WHERE rotation = $1 AND version_id = $2",
    )
    .bind(rotation)
    .bind(&version.0)
    .fetch_optional(pool)
    .await?;
    row.as_ref().map(decode).transpose()
}

/// A run of the window that a request is about, and whether nobody works on it any more.
pub(super) async fn of_window(
    db: &mut PgConnection,
    request: &ClaimRequest,
    now: Option<String>,
) -> Result<Option<(Run, bool)>, Reason> {
    let row = sqlx::query(
        "SELECT document::text,
                state = 'deferred' OR (state = 'running'
                    AND lease_until <= COALESCE($4::text::timestamptz, clock_timestamp())) AS given_up
           FROM run_documents
          WHERE rotation = $1 AND (version_id = $2 OR opens = $3::text::timestamptz)
          ORDER BY given_up, seq DESC LIMIT 1",
    )
    .bind(&request.rotation)
    .bind(&request.version_id.0)
    .bind(request.window.map(|w| time(w.opens)))
    .bind(now)
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((decode(&row)?, row.try_get("given_up")?)))
}

/// Runs, newest first. `before` a run that is not there: none.
pub(super) async fn list(pool: &PgPool, query: &RunQuery) -> Result<Vec<Run>, Reason> {
    let mut sql =
        QueryBuilder::<Postgres>::new("SELECT document::text FROM run_documents WHERE true");
    if let Some(rotation) = &query.rotation {
        sql.push(" AND rotation = ").push_bind(rotation);
    }
    if let Some(state) = query.state {
        sql.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(before) = query.before {
        sql.push(" AND (started, seq) < (SELECT started, seq FROM runs WHERE id = ")
            .push_bind(before.to_string())
            .push("::text::uuid)");
    }
    sql.push(" ORDER BY started DESC, seq DESC LIMIT ")
        .push_bind(i64::from(query.limit));
    let rows = sql.build().fetch_all(pool).await?;
    rows.iter().map(decode).collect()
}

/// What is remembered, by rotation: of one, or of all.
pub(super) async fn memory(
    pool: &PgPool,
    only: Option<&str>,
) -> Result<HashMap<String, RotationMemory>, Reason> {
    let rows = sqlx::query(
        "SELECT name, jsonb_build_object(
                    'paused', paused, 'first_seen', first_seen, 'last_success', last_success,
                    'last_flip', last_flip, 'retired', retired,
                    'last_run', (SELECT document FROM run_documents WHERE rotation = name
                                  ORDER BY started DESC, seq DESC LIMIT 1),
                    'last_in_window', (SELECT document FROM run_documents
                                        WHERE rotation = name AND opens IS NOT NULL
                                        ORDER BY seq DESC LIMIT 1),
                    'seen', CASE WHEN engine IS NOT NULL
                                 THEN jsonb_build_object('engine', engine, 'host', host,
                                          'active_user', active_user, 'standby_user', standby_user) END
                )::text AS memory
           FROM rotations WHERE $1::text IS NULL OR name = $1",
    )
    .bind(only)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let memory = serde_json::from_str(row.try_get("memory")?)?;
            Ok((row.try_get("name")?, memory))
        })
        .collect()
}

/// Whether this is the server that takes writes.
pub(super) async fn writable(pool: &PgPool) -> Result<(), Reason> {
    let reader: bool = sqlx::query_scalar(
        "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean
           FROM (SELECT count(*) FROM runs WHERE state = 'running') AS can_be_read",
    )
    .fetch_one(pool)
    .await?;
    if reader {
        return Err(Reason::Other("it takes no writes: it is a replica".into()));
    }
    Ok(())
}
