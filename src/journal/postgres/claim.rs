//! Claims and leases, granted and judged by the server's clock.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row};

use super::{record, rows, storable};
use crate::journal::error::TransactionError;
use crate::journal::{Cause, Claim, ClaimRequest, ClaimToken, Claimed, Run, RunState, Trigger};

/// Claims a run, or reports why that is not possible. `now` replaces the server's clock in tests.
pub(super) async fn claim(
    db: &mut PgConnection,
    request: &ClaimRequest,
    now: Option<DateTime<Utc>>,
) -> Result<Claim, TransactionError> {
    let request = &ClaimRequest {
        cause: Cause {
            actor: request.cause.actor.clone(),
            reason: request.cause.reason.as_deref().map(storable),
        },
        worker: storable(&request.worker),
        ..request.clone()
    };
    record::lock_rotation(db, &request.rotation).await?;
    let (running, known) = running_or_known(db, request, now).await?;
    if let Some((run, left)) = running {
        // Twice the lease, because a lease may be granted while this claim waits for the row.
        if left > 0.0 && left <= 2.0 * request.lease.as_secs_f64() {
            return Ok(Claim::Running {
                run: Box::new(run),
                left: Duration::from_secs_f64(left),
            });
        }
        if run.version_id == request.version_id {
            return retry(db, run, request, Trigger::Recovery, now).await;
        }
        let outcome = run.worker_gone(request.now);
        super::finish::finish(db, run.claim_token(), &outcome).await?;
    }
    match known {
        None => insert(db, request, now).await,
        Some(run) if run.state == RunState::Deferred => {
            let trigger = run.trigger;
            retry(db, run, request, trigger, now).await
        }
        Some(run) => Ok(Claim::Over(Box::new(run))),
    }
}

/// The running run of this rotation with the seconds left of its lease, and the run of the
/// requested version if that is another; without one, the run that waits under the provisional id.
async fn running_or_known(
    db: &mut PgConnection,
    request: &ClaimRequest,
    now: Option<DateTime<Utc>>,
) -> Result<(Option<(Run, f64)>, Option<Run>), TransactionError> {
    let found = sqlx::query(
        "SELECT document,
                extract(epoch FROM lease_until - COALESCE($3, clock_timestamp()))::float8 AS lease
           FROM run_documents
          WHERE rotation = $1 AND (state = 'running' OR version_id = $2
                                   OR (version_id = $4 AND state = 'deferred'))
          ORDER BY version_id = $2",
    )
    .bind(&request.rotation)
    .bind(&request.version_id.0)
    .bind(now)
    .bind(request.provisional.as_ref().map(|id| &id.0))
    .fetch_all(db)
    .await?;
    let (mut running, mut known) = (None, None);
    for row in &found {
        let run = rows::document(row)?;
        match row.try_get("lease")? {
            Some(left) => running = Some((run, left)),
            None => known = Some(run),
        }
    }
    Ok((running, known))
}

/// The next attempt of an existing run. `started` stays unchanged: the time of a window's rotation
/// counts from its first attempt.
async fn retry(
    db: &mut PgConnection,
    run: Run,
    request: &ClaimRequest,
    trigger: Trigger,
    now: Option<DateTime<Utc>>,
) -> Result<Claim, TransactionError> {
    let row = sqlx::query(AssertSqlSafe(format!(
        r#"UPDATE runs SET state = 'running', attempt = attempt + 1, worker = $3, lease_until = {},
                  "trigger" = $6, version_id = $7, finished = NULL,
                  error_code = NULL, error_message = NULL, error_hint = NULL
            WHERE id = $1 AND attempt = $2
           RETURNING {LAST_FLIP}"#,
        lease_end(4, 5)
    )))
    .bind(run.id)
    .bind(attempt_number(run.attempt))
    .bind(&request.worker)
    .bind(now)
    .bind(request.lease.as_secs_f64())
    .bind(trigger.as_str())
    .bind(&request.version_id.0)
    .fetch_optional(db)
    .await?
    .ok_or(TransactionError::Lost(run.id))?;
    claimed(run.next_attempt(request, trigger), &row)
}

/// SQL for the last flip of a run's rotation, after the changes of this claim.
const LAST_FLIP: &str = "(SELECT last_flip FROM rotations WHERE name = runs.rotation) AS last_flip";

fn claimed(run: Run, row: &PgRow) -> Result<Claim, TransactionError> {
    let last_flip = row.try_get("last_flip")?;
    Ok(Claim::Claimed(Box::new(Claimed { run, last_flip })))
}

async fn insert(
    db: &mut PgConnection,
    request: &ClaimRequest,
    now: Option<DateTime<Utc>>,
) -> Result<Claim, TransactionError> {
    let run = Run::new(request);
    let row = sqlx::query(AssertSqlSafe(format!(
        r#"INSERT INTO runs (id, rotation, "trigger", reason, opens, closes, state, worker,
                             version_id, started, attempt, lease_until, actor)
           VALUES ($1, $2, $3, $4, $5, $6, 'running', $7, $8, $9, 1, {}, $12)
           RETURNING {LAST_FLIP}"#,
        lease_end(10, 11)
    )))
    .bind(run.id)
    .bind(&run.rotation)
    .bind(run.trigger.as_str())
    .bind(&run.reason)
    .bind(run.window.map(|w| w.opens))
    .bind(run.window.map(|w| w.closes))
    .bind(&run.worker)
    .bind(&run.version_id.0)
    .bind(run.started)
    .bind(now)
    .bind(request.lease.as_secs_f64())
    .bind(Json(&request.cause.actor))
    .fetch_one(db)
    .await?;
    claimed(run, &row)
}

/// Extends a lease. `false`: the claim belongs to another worker.
pub(super) async fn renew(
    pool: &PgPool,
    token: ClaimToken,
    now: Option<DateTime<Utc>>,
    lease: Duration,
) -> Result<bool, TransactionError> {
    let done = sqlx::query(AssertSqlSafe(format!(
        "UPDATE runs SET lease_until = {} WHERE id = $1 AND attempt = $2 AND state = 'running'",
        lease_end(3, 4)
    )))
    .bind(token.run)
    .bind(attempt_number(token.attempt))
    .bind(now)
    .bind(lease.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// SQL for the end of a lease: the numbers of the parameters with the time and the seconds.
fn lease_end(now: u8, seconds: u8) -> String {
    format!("COALESCE(${now}, clock_timestamp()) + make_interval(secs => ${seconds})")
}

/// PostgreSQL has no unsigned integers, and no run reaches the largest signed one.
pub(super) fn attempt_number(attempt: u32) -> i32 {
    i32::try_from(attempt).unwrap_or(i32::MAX)
}
