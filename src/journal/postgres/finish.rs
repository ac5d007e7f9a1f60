//! The ends of runs and windows.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::claim::attempt_number;
use super::record::{self, lock_rotation, lock_rotation_of};
use super::{audit, known_versions, rows, storable};
use crate::journal::error::TransactionError;
use crate::journal::{
    AuditAction, AuditRecord, ClaimRequest, ClaimToken, Note, Outcome, Run, RunState, StepState,
};
use twinkey_core::code::Problem;

/// Records the unwritten progress of a run, and ends it.
pub(super) async fn record_and_finish(
    db: &mut PgConnection,
    token: ClaimToken,
    note: &Note,
    outcome: &Outcome,
) -> Result<(), TransactionError> {
    if !note.is_empty() {
        lock_rotation_of(db, token).await?;
        record::note(db, token, note).await?;
    }
    finish(db, token, outcome).await
}

/// Ends a run, or frees it for another attempt, in one statement. Its running steps end with it.
///
/// A run that was interrupted in its last step may have moved AWSCURRENT. It sets the last flip, so
/// that `min_interval` counts from now.
pub(super) async fn finish(
    db: &mut PgConnection,
    token: ClaimToken,
    outcome: &Outcome,
) -> Result<(), TransactionError> {
    let run = token.run;
    if outcome.state == RunState::Running {
        return Err(TransactionError::Other(format!(
            "run {run} cannot end as running"
        )));
    }
    let success = outcome.state == RunState::Succeeded;
    let state_of_open_steps = if success {
        StepState::Succeeded
    } else {
        StepState::Failed
    };
    let (code, message, hint) = columns(outcome.error.as_ref());
    let done = sqlx::query(
        "WITH locked AS (
             SELECT name FROM rotations
              WHERE name = (SELECT rotation FROM runs WHERE id = $1) FOR UPDATE
         ), ended AS (
             UPDATE runs SET state = $3, lease_until = NULL,
                    -- A deferred run is not over.
                    finished = CASE WHEN $3 <> 'deferred' THEN $4 END,
                    error_code = $5, error_message = $6, error_hint = $7
               FROM locked
              WHERE id = $1 AND attempt = $2 AND state IN ('running', 'deferred')
             RETURNING id, rotation, from_user, to_user, reason, worker, actor
         ), stopped AS (
             UPDATE steps SET state = $8, finished = $4
               FROM ended WHERE run = ended.id AND state = 'running'
         ), recorded AS (
             INSERT INTO audit (id, at, actor, action, rotation, reason, run, outcome, code)
             SELECT $10, $4,
                    COALESCE(actor, jsonb_build_object('kind', 'worker', 'name', worker, 'address', NULL)),
                    'rotate', rotation, reason, id, $11, $5
               FROM ended WHERE $3 <> 'deferred'
         )
         UPDATE rotations SET
                last_success = CASE WHEN $9 THEN $4 ELSE last_success END,
                last_flip = CASE WHEN $9 OR EXISTS (SELECT 1 FROM steps
                                 WHERE run = ended.id AND steps.name = 'finish' AND state <> 'succeeded')
                            THEN $4 ELSE last_flip END,
                retired = CASE WHEN $9 THEN NULL ELSE retired END,
                refused = CASE WHEN $9 THEN NULL ELSE refused END,
                refused_since = CASE WHEN $9 THEN NULL ELSE refused_since END,
                active_user = CASE WHEN $9 THEN COALESCE(to_user, active_user) ELSE active_user END,
                standby_user = CASE WHEN $9 THEN COALESCE(from_user, standby_user) ELSE standby_user END
           FROM ended WHERE rotations.name = ended.rotation",
    )
    .bind(run)
    .bind(attempt_number(token.attempt))
    .bind(outcome.state.as_str())
    .bind(outcome.now)
    .bind(code)
    .bind(message)
    .bind(hint)
    .bind(state_of_open_steps.as_str())
    .bind(success)
    .bind(Uuid::new_v4())
    .bind(outcome.state.audited().as_str())
    .execute(&mut *db)
    .await?;
    TransactionError::check_claim(done.rows_affected(), run)?;
    if success {
        known_versions::flipped_by_run(db, run).await?;
    }
    Ok(())
}

/// Ends the abandoned runs whose time is over, and returns them. Runs that another worker is ending
/// are skipped.
pub(super) async fn sweep(
    db: &mut PgConnection,
    now: DateTime<Utc>,
    lease_now: Option<DateTime<Utc>>,
) -> Result<Vec<Run>, TransactionError> {
    let rows = sqlx::query(
        "SELECT d.document
           FROM rotations JOIN run_documents d ON d.rotation = rotations.name
          WHERE (d.state = 'deferred'
                 OR (d.state = 'running' AND d.lease_until <= COALESCE($2, clock_timestamp())))
            AND (d.closes IS NULL OR d.closes <= $1)
            FOR UPDATE OF rotations SKIP LOCKED",
    )
    .bind(now)
    .bind(lease_now)
    .fetch_all(&mut *db)
    .await?;
    let mut ended = Vec::new();
    for row in &rows {
        let run = rows::document(row)?;
        let outcome = run.abandoned(now);
        match finish(db, run.claim_token(), &outcome).await {
            Ok(()) => ended.push(as_ended(run, outcome)),
            // Another worker ended or claimed it between the query and the lock.
            Err(TransactionError::Lost(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ended)
}

/// A run after [`finish`].
fn as_ended(mut run: Run, outcome: Outcome) -> Run {
    for step in &mut run.steps {
        if step.state == StepState::Running {
            step.state = StepState::Failed;
            step.finished = Some(outcome.now);
        }
    }
    run.state = outcome.state;
    run.error = outcome.error;
    // A deferred run is not over.
    run.finished = (outcome.state != RunState::Deferred).then_some(outcome.now);
    run
}

/// Records once how a window ended, unless a run of it has ended or is claimed.
pub(super) async fn end_window(
    db: &mut PgConnection,
    request: &ClaimRequest,
    outcome: &Outcome,
    lease_now: Option<DateTime<Utc>>,
) -> Result<Option<Run>, TransactionError> {
    lock_rotation(db, &request.rotation).await?;
    match rows::of_window(db, request, lease_now).await? {
        Some((run, true)) => {
            finish(db, run.claim_token(), outcome).await?;
            Ok(Some(as_ended(run, outcome.clone())))
        }
        Some((_, false)) => Ok(None),
        None => Ok(Some(insert_ended(db, request, outcome).await?)),
    }
}

async fn insert_ended(
    db: &mut PgConnection,
    request: &ClaimRequest,
    outcome: &Outcome,
) -> Result<Run, TransactionError> {
    let id = Uuid::new_v4();
    let (code, message, hint) = columns(outcome.error.as_ref());
    sqlx::query(
        r#"INSERT INTO runs (id, rotation, "trigger", reason, opens, closes, state, worker,
                             version_id, started, finished, attempt,
                             error_code, error_message, error_hint, actor)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $14, 1, $11, $12, $13, $15)"#,
    )
    .bind(id)
    .bind(&request.rotation)
    .bind(request.trigger.as_str())
    .bind(request.cause.reason.as_deref().map(storable))
    .bind(request.window.map(|w| w.opens))
    .bind(request.window.map(|w| w.closes))
    .bind(outcome.state.as_str())
    .bind(storable(&request.worker))
    .bind(&request.version_id.0)
    .bind(outcome.now)
    .bind(code)
    .bind(message)
    .bind(hint)
    .bind((outcome.state != RunState::Deferred).then_some(outcome.now))
    .bind(Json(&request.cause.actor))
    .execute(&mut *db)
    .await?;
    let record = AuditRecord {
        run: Some(id),
        outcome: outcome.state.audited(),
        code: outcome.error.as_ref().map(|problem| problem.code),
        ..AuditRecord::done(
            AuditAction::Rotate,
            &request.rotation,
            request.cause.clone(),
            outcome.now,
        )
    };
    if outcome.state != RunState::Deferred {
        audit::append(&mut *db, &record).await?;
    }
    let row = sqlx::query("SELECT document FROM run_documents WHERE id = $1")
        .bind(id)
        .fetch_one(db)
        .await?;
    Ok(rows::document(&row)?)
}

/// The columns `error_code`, `error_message` and `error_hint`.
fn columns(problem: Option<&Problem>) -> (Option<&'static str>, Option<String>, Option<String>) {
    (
        problem.map(|p| p.code.as_str()),
        problem.map(|p| storable(&p.message)),
        problem.map(|p| storable(&p.hint)),
    )
}
