//! Records of actions.

use sqlx::postgres::{PgExecutor, PgPool, PgRow, Postgres};
use sqlx::types::Json;
use sqlx::{QueryBuilder, Row};

use super::{rows, storable};
use crate::journal::error::TransactionError;
use crate::journal::{AuditQuery, AuditRecord};

/// Adds a record.
pub(super) async fn append(
    db: impl PgExecutor<'_>,
    record: &AuditRecord,
) -> Result<(), TransactionError> {
    let mut actor = record.actor.clone();
    actor.name = storable(&actor.name);
    sqlx::query(
        "INSERT INTO audit (id, at, actor, action, rotation, reason, run, outcome, code)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(record.id)
    .bind(record.at)
    .bind(Json(actor))
    .bind(record.action.as_str())
    .bind(&record.rotation)
    .bind(record.reason.as_deref().map(storable))
    .bind(record.run)
    .bind(record.outcome.as_str())
    .bind(record.code.map(|code| code.as_str()))
    .execute(db)
    .await?;
    Ok(())
}

/// Records, newest first; none if `before` does not exist.
pub(super) async fn list(
    pool: &PgPool,
    query: &AuditQuery,
) -> Result<Vec<AuditRecord>, TransactionError> {
    let mut sql = QueryBuilder::<Postgres>::new(
        "SELECT jsonb_build_object('id', id, 'at', at, 'actor', actor, 'action', action,
                    'rotation', rotation, 'reason', reason, 'run', run, 'outcome', outcome,
                    'code', code) AS document
           FROM audit WHERE true",
    );
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
        sql.push(" AND action = ").push_bind(action.as_str());
    }
    if let Some(outcome) = query.outcome {
        sql.push(" AND outcome = ").push_bind(outcome.as_str());
    }
    if query.without_runs {
        sql.push(" AND run IS NULL");
    }
    if let Some(before) = query.before {
        sql.push(" AND (at, seq) < (SELECT at, seq FROM audit WHERE id = ")
            .push_bind(before)
            .push(")");
    }
    sql.push(" ORDER BY at DESC, seq DESC LIMIT ")
        .push_bind(i64::from(query.limit));
    let rows = sql.build().fetch_all(pool).await?;
    let records = rows.iter().map(document);
    Ok(records.collect::<sqlx::Result<_>>()?)
}

fn document(row: &PgRow) -> sqlx::Result<AuditRecord> {
    row.try_get("document").map(|Json(record)| record)
}
