//! Records of actions. All functions run inside the caller's transaction.

use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{TransactionError, decode, rows};
use crate::journal::{Actor, AuditQuery, AuditRecord, Outcome};

/// Adds a record.
pub(super) async fn append(
    db: &mut SqliteConnection,
    record: &AuditRecord,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO audit (id, at, actor, action, rotation, reason, run, outcome, code)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )
    .bind(record.id.to_string())
    .bind(record.at.timestamp_micros())
    .bind(Json(&record.actor))
    .bind(record.action)
    .bind(&record.rotation)
    .bind(&record.reason)
    .bind(record.run.map(|id| id.to_string()))
    .bind(record.outcome)
    .bind(record.code.map(|code| code.as_str()))
    .execute(db)
    .await?;
    Ok(())
}

/// Adds the record of a run that has just ended.
pub(super) async fn append_run(
    db: &mut SqliteConnection,
    run: Uuid,
    outcome: &Outcome,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO audit (id, at, actor, action, rotation, reason, run, outcome, code)
         SELECT ?2, ?3,
                COALESCE(actor, json_object('kind', 'worker', 'name', worker, 'address', NULL)),
                'rotate', rotation, reason, id, ?4, error_code
           FROM runs WHERE id = ?1",
    )
    .bind(run.to_string())
    .bind(Uuid::new_v4().to_string())
    .bind(outcome.now.timestamp_micros())
    .bind(outcome.state.audited())
    .execute(db)
    .await?;
    Ok(())
}

/// Records, newest first; none if `before` does not exist.
pub(super) async fn list(
    db: &mut SqliteConnection,
    query: &AuditQuery,
) -> sqlx::Result<Vec<AuditRecord>> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT * FROM audit WHERE true");
    rows::of_rotations(
        &mut sql,
        query.rotation.as_deref(),
        query.rotations.as_deref(),
        query.patterns.as_deref(),
    );
    if let Some(actor) = &query.actor {
        sql.push(" AND actor ->> 'name' = ").push_bind(actor);
    }
    if let Some(action) = query.action {
        sql.push(" AND action = ").push_bind(action);
    }
    if let Some(outcome) = query.outcome {
        sql.push(" AND outcome = ").push_bind(outcome);
    }
    if query.without_runs {
        sql.push(" AND run IS NULL");
    }
    if let Some(before) = query.before {
        sql.push(" AND (at, seq) < (SELECT at, seq FROM audit WHERE id = ")
            .push_bind(before.to_string())
            .push(")");
    }
    sql.push(" ORDER BY at DESC, seq DESC LIMIT ")
        .push_bind(query.limit);
    let rows = sql.build().fetch_all(db).await?;
    rows.iter().map(record).collect()
}

fn record(row: &SqliteRow) -> sqlx::Result<AuditRecord> {
    let Json(actor) = row.try_get::<Json<Actor>, _>("actor")?;
    let run: Option<String> = row.try_get("run")?;
    Ok(AuditRecord {
        id: decode::uuid("id", row.try_get("id")?)?,
        at: decode::time(row, "at")?,
        actor,
        action: row.try_get("action")?,
        rotation: row.try_get("rotation")?,
        reason: row.try_get("reason")?,
        run: run.map(|id| decode::uuid("run", &id)).transpose()?,
        outcome: row.try_get("outcome")?,
        code: decode::code(row, "code")?,
    })
}
