//! Who may run: leases, by the server's clock.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::{record, rows, text, time};
use crate::journal::fault::Reason;
use crate::journal::{Claim, ClaimRequest, Claimed, Hold, Run, RunState, Trigger};

/// Claims a run, or says why not. `now` is the lease clock's time where that is not the server's.
pub(super) async fn claim(
    db: &mut PgConnection,
    request: &ClaimRequest,
    now: Option<String>,
) -> Result<Claim, Reason> {
    let request = &ClaimRequest {
        reason: request.reason.as_deref().map(text),
        worker: text(&request.worker),
        ..request.clone()
    };
    record::hold(db, &request.rotation).await?;
    let (running, known) = look(db, request, now.as_deref()).await?;
    if let Some((run, left)) = running {
        // Twice, because a lease may be granted while this claim waits for the row.
        if left > 0.0 && left <= 2.0 * request.lease.as_secs_f64() {
            return Ok(Claim::Running {
                run: Box::new(run),
                left: Duration::from_secs_f64(left),
            });
        }
        if run.version_id == request.version_id {
            return again(db, run, request, Trigger::Recovery, now).await;
        }
        record::finish(db, run.hold(), &run.worker_gone(request.now)).await?;
    }
    match known {
        None => insert(db, request, now).await,
        Some(run) if run.state == RunState::Deferred => {
            let trigger = run.trigger;
            again(db, run, request, trigger, now).await
        }
        Some(run) => Ok(Claim::Over(Box::new(run))),
    }
}

/// The run of this rotation that is in state running, with the seconds that its lease has left; and the run of
/// the request's version, if that is another.
async fn look(
    db: &mut PgConnection,
    request: &ClaimRequest,
    now: Option<&str>,
) -> Result<(Option<(Run, f64)>, Option<Run>), Reason> {
    let found = sqlx::query(
        "SELECT document::text AS document,
                extract(epoch FROM lease_until - COALESCE($3::text::timestamptz, clock_timestamp()))::float8 AS lease
           FROM run_documents
          WHERE rotation = $1 AND (state = 'running' OR version_id = $2)",
    )
    .bind(&request.rotation)
    .bind(&request.version_id.0)
    .bind(now)
    .fetch_all(db)
    .await?;
    let (mut running, mut known) = (None, None);
    for row in &found {
        let run = rows::decode(row)?;
        match row.try_get("lease")? {
            Some(left) => running = Some((run, left)),
            None => known = Some(run),
        }
    }
    Ok((running, known))
}

/// The next attempt of a run that is there. When it started stays what it was: the time that a
/// window's rotation takes counts from its first attempt.
async fn again(
    db: &mut PgConnection,
    run: Run,
    request: &ClaimRequest,
    trigger: Trigger,
    now: Option<String>,
) -> Result<Claim, Reason> {
    let row = sqlx::query(AssertSqlSafe(format!(
        r#"UPDATE runs SET state = 'running', attempt = attempt + 1, worker = $3, lease_until = {},
                  "trigger" = $6, finished = NULL,
                  error_code = NULL, error_message = NULL, error_hint = NULL
            WHERE id = $1::text::uuid AND attempt = $2
           RETURNING {LAST_FLIP}"#,
        lease_end(4, 5)
    )))
    .bind(run.id.to_string())
    .bind(count(run.attempt))
    .bind(&request.worker)
    .bind(now)
    .bind(request.lease.as_secs_f64())
    .bind(trigger.as_str())
    .fetch_optional(db)
    .await?
    .ok_or(Reason::Lost(run.id))?;
    claimed(run.again(request, trigger), &row)
}

/// When AWSCURRENT last moved, after what this claim has ended: of a row of `runs`, as JSON.
const LAST_FLIP: &str =
    "(SELECT to_jsonb(last_flip)::text FROM rotations WHERE name = runs.rotation) AS last_flip";

fn claimed(run: Run, row: &PgRow) -> Result<Claim, Reason> {
    let last_flip: Option<String> = row.try_get("last_flip")?;
    let last_flip = last_flip.map(|at| serde_json::from_str(&at)).transpose()?;
    Ok(Claim::Claimed(Box::new(Claimed { run, last_flip })))
}

async fn insert(
    db: &mut PgConnection,
    request: &ClaimRequest,
    now: Option<String>,
) -> Result<Claim, Reason> {
    let run = Run::new(request);
    let row = sqlx::query(AssertSqlSafe(format!(
        r#"INSERT INTO runs (id, rotation, "trigger", reason, opens, closes, state, worker,
                             version_id, started, attempt, lease_until)
           VALUES ($1::text::uuid, $2, $3, $4, $5::text::timestamptz, $6::text::timestamptz, 'running', $7,
                   $8, $9::text::timestamptz, 1, {})
           RETURNING {LAST_FLIP}"#,
        lease_end(10, 11)
    )))
    .bind(run.id.to_string())
    .bind(&run.rotation)
    .bind(run.trigger.as_str())
    .bind(&run.reason)
    .bind(run.window.map(|w| time(w.opens)))
    .bind(run.window.map(|w| time(w.closes)))
    .bind(&run.worker)
    .bind(&run.version_id.0)
    .bind(time(run.started))
    .bind(now)
    .bind(request.lease.as_secs_f64())
    .fetch_one(db)
    .await?;
    claimed(run, &row)
}

/// Holds a claim for longer. `false`: it is no longer this worker's.
pub(super) async fn renew(
    pool: &PgPool,
    hold: Hold,
    now: Option<String>,
    lease: Duration,
) -> Result<bool, Reason> {
    let done = sqlx::query(AssertSqlSafe(format!(
        "UPDATE runs SET lease_until = {}
          WHERE id = $1::text::uuid AND attempt = $2 AND state = 'running'",
        lease_end(3, 4)
    )))
    .bind(hold.run.to_string())
    .bind(count(hold.attempt))
    .bind(now)
    .bind(lease.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// When a lease ends whose clock's time and whose seconds are these parameters.
fn lease_end(now: u8, seconds: u8) -> String {
    format!(
        "COALESCE(${now}::text::timestamptz, clock_timestamp()) + make_interval(secs => ${seconds}::float8)"
    )
}

/// PostgreSQL has no unsigned numbers, and no run comes near the end of its signed ones.
pub(super) fn count(attempt: u32) -> i32 {
    i32::try_from(attempt).unwrap_or(i32::MAX)
}
