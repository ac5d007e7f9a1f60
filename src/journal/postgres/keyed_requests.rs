//! Requests with an idempotency key.

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgExecutor};
use sqlx::types::Json;

use super::storable;
use crate::journal::error::TransactionError;
use crate::journal::keyed_request::REMEMBERED;
use crate::journal::{KeyedRequest, KeyedState};

/// Records a request, unless its key is recorded.
pub(super) async fn begin(
    db: &mut PgConnection,
    request: &KeyedRequest,
) -> Result<KeyedState, TransactionError> {
    // Rows that another worker removes are skipped.
    sqlx::query(
        "DELETE FROM keyed_requests WHERE (rotation, key) IN
             (SELECT rotation, key FROM keyed_requests WHERE at < $1 FOR UPDATE SKIP LOCKED)",
    )
    .bind(request.at - REMEMBERED)
    .execute(&mut *db)
    .await?;
    let begun = sqlx::query(
        "INSERT INTO keyed_requests (rotation, key, request, worker, at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(&request.rotation)
    .bind(&request.key)
    .bind(&request.request)
    .bind(storable(&request.worker))
    .bind(request.at)
    .execute(&mut *db)
    .await?;
    if begun.rows_affected() == 1 {
        return Ok(KeyedState::New);
    }
    let row = sqlx::query(
        "SELECT request, worker, at, answer FROM keyed_requests WHERE rotation = $1 AND key = $2",
    )
    .bind(&request.rotation)
    .bind(&request.key)
    .fetch_optional(db)
    .await?;
    // Another worker removed it in between.
    let Some(row) = row else {
        return Ok(KeyedState::Open {
            worker: request.worker.clone(),
            at: request.at,
        });
    };
    let found = KeyedRequest {
        request: row.try_get("request")?,
        worker: row.try_get("worker")?,
        at: row.try_get("at")?,
        ..request.clone()
    };
    let answer: Option<Json<serde_json::Value>> = row.try_get("answer")?;
    Ok(KeyedState::of(
        request,
        found,
        answer.map(|Json(answer)| answer),
    ))
}

/// Records the answer of a request, or (`None`) removes its key.
pub(super) async fn end(
    db: impl PgExecutor<'_>,
    request: &KeyedRequest,
    answer: Option<&serde_json::Value>,
) -> Result<(), TransactionError> {
    let sql = match answer {
        Some(_) => "UPDATE keyed_requests SET answer = $3 WHERE rotation = $1 AND key = $2",
        None => "DELETE FROM keyed_requests WHERE rotation = $1 AND key = $2 AND $3::jsonb IS NULL",
    };
    sqlx::query(sql)
        .bind(&request.rotation)
        .bind(&request.key)
        .bind(answer.map(Json))
        .execute(db)
        .await?;
    Ok(())
}
