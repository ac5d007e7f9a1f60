//! Claims and leases. All functions run inside the caller's writing transaction.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;
use sqlx::types::Json;

use super::{TransactionError, finish, process_lock, record, rows};
use crate::journal::{Claim, ClaimRequest, ClaimToken, Claimed, Run, RunState, Trigger};

/// Claims a run, or reports why that is not possible.
pub(super) async fn claim(
    db: &mut SqliteConnection,
    request: &ClaimRequest,
    journal: &Path,
) -> Result<Claim, TransactionError> {
    let (running, known) = rows::running_or_known(db, request).await?;
    if let Some(running) = running
        && let Some(claim) = claim_running(db, request, running, journal).await?
    {
        return Ok(claim);
    }
    match known {
        None => insert(db, request).await,
        Some(run) => match run.state {
            RunState::Deferred => {
                let trigger = run.trigger;
                retry(db, run, request, trigger).await
            }
            RunState::Running | RunState::Succeeded | RunState::Failed | RunState::Missed => {
                Ok(Claim::Over(Box::new(run)))
            }
        },
    }
}

/// The result for a rotation with a running run; `None` if that run has ended by this call.
async fn claim_running(
    db: &mut SqliteConnection,
    request: &ClaimRequest,
    (run, lease_until): (Run, DateTime<Utc>),
    journal: &Path,
) -> Result<Option<Claim>, TransactionError> {
    // Twice the lease, because a lease may be granted while this claim waits for the file.
    let longest = request.now + request.lease * 2;
    let is_leased = request.now < lease_until && lease_until <= longest;
    if is_leased && !process_lock::has_exited(journal, &run.worker) {
        return Ok(Some(Claim::Running {
            run: Box::new(run),
            left: (lease_until - request.now).to_std().unwrap_or_default(),
        }));
    }
    if run.version_id == request.version_id {
        return retry(db, run, request, Trigger::Recovery).await.map(Some);
    }
    finish::finish(db, run.claim_token(), &run.worker_gone(request.now)).await?;
    Ok(None)
}

/// The next attempt of an existing run. `started` stays unchanged: the time of a window's rotation
/// counts from its first attempt.
async fn retry(
    db: &mut SqliteConnection,
    run: Run,
    request: &ClaimRequest,
    trigger: Trigger,
) -> Result<Claim, TransactionError> {
    sqlx::query(
        r#"UPDATE runs SET state = 'running', attempt = attempt + 1, worker = ?2, lease_until = ?3,
                  "trigger" = ?4, version_id = ?5, finished = NULL,
                  error_code = NULL, error_message = NULL, error_hint = NULL
            WHERE id = ?1"#,
    )
    .bind(run.id.to_string())
    .bind(&request.worker)
    .bind(lease_end(request.now, request.lease)?)
    .bind(trigger)
    .bind(&request.version_id.0)
    .execute(&mut *db)
    .await?;
    let last_flip = record::upsert_rotation(db, &request.rotation).await?;
    Ok(claimed(run.next_attempt(request, trigger), last_flip))
}

async fn insert(
    db: &mut SqliteConnection,
    request: &ClaimRequest,
) -> Result<Claim, TransactionError> {
    let last_flip = record::upsert_rotation(db, &request.rotation).await?;
    let run = Run::new(request);
    sqlx::query(
        r#"INSERT INTO runs (id, rotation, "trigger", reason, opens, closes, state, worker,
                             version_id, started, attempt, lease_until, actor)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'running', ?7, ?8, ?9, 1, ?10, ?11)"#,
    )
    .bind(run.id.to_string())
    .bind(&request.rotation)
    .bind(request.trigger)
    .bind(&request.cause.reason)
    .bind(request.window.map(|w| w.opens.timestamp_micros()))
    .bind(request.window.map(|w| w.closes.timestamp_micros()))
    .bind(&request.worker)
    .bind(&request.version_id.0)
    .bind(request.now.timestamp_micros())
    .bind(lease_end(request.now, request.lease)?)
    .bind(Json(&request.cause.actor))
    .execute(&mut *db)
    .await?;
    Ok(claimed(run, last_flip))
}

fn claimed(run: Run, last_flip: Option<DateTime<Utc>>) -> Claim {
    Claim::Claimed(Box::new(Claimed { run, last_flip }))
}

/// Extends a lease. `false`: the claim belongs to another worker.
pub(super) async fn renew(
    db: &mut SqliteConnection,
    token: ClaimToken,
    now: DateTime<Utc>,
    lease: Duration,
) -> Result<bool, TransactionError> {
    let done = sqlx::query(
        "UPDATE runs SET lease_until = ?3 WHERE id = ?1 AND attempt = ?2 AND state = 'running'",
    )
    .bind(token.run.to_string())
    .bind(token.attempt)
    .bind(lease_end(now, lease)?)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the leases of processes that exited in a run.
pub(super) async fn free_exited(
    db: &mut SqliteConnection,
    journal: &Path,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let workers = sqlx::query_scalar("SELECT DISTINCT worker FROM runs WHERE state = 'running'");
    let workers: Vec<String> = workers.fetch_all(&mut *db).await?;
    for worker in workers {
        if process_lock::has_exited(journal, &worker) {
            sqlx::query("UPDATE runs SET lease_until = ?2 WHERE state = 'running' AND worker = ?1")
                .bind(worker)
                .bind(now.timestamp_micros())
                .execute(&mut *db)
                .await?;
        }
    }
    Ok(())
}

/// The end of a lease, in microseconds since 1970.
fn lease_end(now: DateTime<Utc>, lease: Duration) -> Result<i64, TransactionError> {
    i64::try_from(lease.as_micros())
        .ok()
        .and_then(|lease| now.timestamp_micros().checked_add(lease))
        .ok_or_else(|| TransactionError::Other(format!("a lease of {lease:?} has no end")))
}
