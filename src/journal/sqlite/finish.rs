//! The ends of runs and windows. All functions run inside the caller's writing transaction.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{TransactionError, audit, known_versions, record, rows};
use crate::journal::{ClaimRequest, ClaimToken, Note, Outcome, Run, RunState, StepState};
use twinkey_core::code::Problem;

/// Records the unwritten progress of a run, and ends it.
pub(super) async fn record_and_finish(
    db: &mut SqliteConnection,
    token: ClaimToken,
    note: &Note,
    outcome: &Outcome,
) -> Result<(), TransactionError> {
    if !note.is_empty() {
        record::note(db, token, note).await?;
    }
    finish(db, token, outcome).await
}

/// Ends a run, or frees it for another attempt. Its running steps end with it.
pub(super) async fn finish(
    db: &mut SqliteConnection,
    token: ClaimToken,
    outcome: &Outcome,
) -> Result<(), TransactionError> {
    let run = token.run;
    if outcome.state == RunState::Running {
        return Err(TransactionError::Other(format!(
            "run {run} cannot end as running"
        )));
    }
    let now = outcome.now.timestamp_micros();
    let (code, message, hint) = columns(outcome.error.as_ref());
    let done = sqlx::query(
        "UPDATE runs SET state = ?3, finished = ?4, lease_until = NULL,
                error_code = ?5, error_message = ?6, error_hint = ?7
          WHERE id = ?1 AND attempt = ?2 AND state IN ('running', 'deferred')",
    )
    .bind(run.to_string())
    .bind(token.attempt)
    .bind(outcome.state)
    // A deferred run is not over.
    .bind((outcome.state != RunState::Deferred).then_some(now))
    .bind(code)
    .bind(message)
    .bind(hint)
    .execute(&mut *db)
    .await?;
    TransactionError::check_claim(done.rows_affected(), run)?;

    let success = outcome.state == RunState::Succeeded;
    if !success {
        // An interrupted last step may have moved AWSCURRENT: `min_interval` counts from now.
        sqlx::query(
            "UPDATE rotations SET last_flip = ?2
              WHERE name = (SELECT rotation FROM runs WHERE id = ?1)
                AND EXISTS (SELECT 1 FROM steps
                             WHERE run = ?1 AND name = 'finish' AND state <> 'succeeded')",
        )
        .bind(run.to_string())
        .bind(now)
        .execute(&mut *db)
        .await?;
    }
    let state_of_open_steps = if success {
        StepState::Succeeded
    } else {
        StepState::Failed
    };
    sqlx::query("UPDATE steps SET state = ?2, finished = ?3 WHERE run = ?1 AND state = 'running'")
        .bind(run.to_string())
        .bind(state_of_open_steps)
        .bind(now)
        .execute(&mut *db)
        .await?;
    if success {
        sqlx::query(
            "UPDATE rotations SET last_success = ?2, last_flip = ?2, retired = NULL,
                    refused = NULL, refused_since = NULL,
                    active_user = COALESCE(to_user, active_user),
                    standby_user = COALESCE(from_user, standby_user)
               FROM (SELECT rotation, from_user, to_user FROM runs WHERE id = ?1) AS run
              WHERE name = run.rotation",
        )
        .bind(run.to_string())
        .bind(now)
        .execute(&mut *db)
        .await?;
        known_versions::flipped_by_run(db, run).await?;
    }
    if outcome.state != RunState::Deferred {
        audit::append_run(db, run, outcome).await?;
    }
    Ok(())
}

/// Ends the abandoned runs whose time is over, and returns them.
pub(super) async fn sweep(
    db: &mut SqliteConnection,
    now: DateTime<Utc>,
) -> Result<Vec<Run>, TransactionError> {
    let mut ended = Vec::new();
    for run in rows::abandoned(db, now).await? {
        finish(db, run.claim_token(), &run.abandoned(now)).await?;
        ended.extend(rows::run(db, run.id).await?);
    }
    Ok(ended)
}

/// Records once how a window ended, unless a run of it has ended or is claimed.
pub(super) async fn end_window(
    db: &mut SqliteConnection,
    request: &ClaimRequest,
    outcome: &Outcome,
) -> Result<Option<Run>, TransactionError> {
    let id = match rows::of_window(db, request).await? {
        Some((run, true)) => {
            finish(db, run.claim_token(), outcome).await?;
            run.id
        }
        Some((_, false)) => return Ok(None),
        None => insert_ended(db, request, outcome).await?,
    };
    Ok(rows::run(db, id).await?)
}

async fn insert_ended(
    db: &mut SqliteConnection,
    request: &ClaimRequest,
    outcome: &Outcome,
) -> Result<Uuid, TransactionError> {
    record::upsert_rotation(db, &request.rotation).await?;
    let id = Uuid::new_v4();
    let (code, message, hint) = columns(outcome.error.as_ref());
    sqlx::query(
        r#"INSERT INTO runs (id, rotation, "trigger", reason, opens, closes, state, worker,
                             version_id, started, finished, attempt,
                             error_code, error_message, error_hint, actor)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?14, 1, ?11, ?12, ?13, ?15)"#,
    )
    .bind(id.to_string())
    .bind(&request.rotation)
    .bind(request.trigger)
    .bind(&request.cause.reason)
    .bind(request.window.map(|w| w.opens.timestamp_micros()))
    .bind(request.window.map(|w| w.closes.timestamp_micros()))
    .bind(outcome.state)
    .bind(&request.worker)
    .bind(&request.version_id.0)
    .bind(outcome.now.timestamp_micros())
    .bind(code)
    .bind(message)
    .bind(hint)
    // A deferred run is not over.
    .bind((outcome.state != RunState::Deferred).then_some(outcome.now.timestamp_micros()))
    .bind(Json(&request.cause.actor))
    .execute(&mut *db)
    .await?;
    if outcome.state != RunState::Deferred {
        audit::append_run(db, id, outcome).await?;
    }
    Ok(id)
}

/// The columns `error_code`, `error_message` and `error_hint`.
fn columns(problem: Option<&Problem>) -> (Option<&str>, Option<&str>, Option<&str>) {
    (
        problem.map(|p| p.code.as_str()),
        problem.map(|p| p.message.as_str()),
        problem.map(|p| p.hint.as_str()),
    )
}
