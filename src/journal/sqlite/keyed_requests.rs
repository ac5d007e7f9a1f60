//! Requests with an idempotency key. All functions run inside the caller's writing transaction.

use sqlx::types::Json;
use sqlx::{Row, SqliteConnection};

use super::{TransactionError, decode};
use crate::journal::keyed_request::REMEMBERED;
use crate::journal::{KeyedRequest, KeyedState};

/// Records a request, unless its key is recorded.
pub(super) async fn begin(
    db: &mut SqliteConnection,
    request: &KeyedRequest,
) -> Result<KeyedState, TransactionError> {
    sqlx::query("DELETE FROM keyed_requests WHERE at < ?1")
        .bind((request.at - REMEMBERED).timestamp_micros())
        .execute(&mut *db)
        .await?;
    let begun = sqlx::query(
        r#"INSERT INTO keyed_requests (rotation, "key", request, worker, at)
           VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING"#,
    )
    .bind(&request.rotation)
    .bind(&request.key)
    .bind(&request.request)
    .bind(&request.worker)
    .bind(request.at.timestamp_micros())
    .execute(&mut *db)
    .await?;
    if begun.rows_affected() == 1 {
        return Ok(KeyedState::New);
    }
    let row = sqlx::query(
        r#"SELECT request, worker, at, answer FROM keyed_requests WHERE rotation = ?1 AND "key" = ?2"#,
    )
    .bind(&request.rotation)
    .bind(&request.key)
    .fetch_one(db)
    .await?;
    let found = KeyedRequest {
        request: row.try_get("request")?,
        worker: row.try_get("worker")?,
        at: decode::time(&row, "at")?,
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
    db: &mut SqliteConnection,
    request: &KeyedRequest,
    answer: Option<&serde_json::Value>,
) -> Result<(), TransactionError> {
    let sql = match answer {
        Some(_) => r#"UPDATE keyed_requests SET answer = ?3 WHERE rotation = ?1 AND "key" = ?2"#,
        None => r#"DELETE FROM keyed_requests WHERE rotation = ?1 AND "key" = ?2 AND ?3 IS NULL"#,
    };
    sqlx::query(sql)
        .bind(&request.rotation)
        .bind(&request.key)
        .bind(answer.map(Json))
        .execute(db)
        .await?;
    Ok(())
}
