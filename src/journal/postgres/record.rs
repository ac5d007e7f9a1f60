//! What happened: steps, sightings, endings, pauses.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::claim::count;
use super::{rows, text, time};
use crate::journal::fault::Reason;
use crate::journal::{ClaimRequest, Hold, Note, Outcome, Run, RunState, Seen, Step, StepState};
use twinkey_core::code::Problem;

/// Makes sure that a rotation has a row, and holds it until the transaction ends.
pub(super) async fn hold(db: &mut PgConnection, rotation: &str) -> Result<(), Reason> {
    sqlx::query(
        "INSERT INTO rotations (name) VALUES ($1)
         ON CONFLICT (name) DO UPDATE SET name = excluded.name",
    )
    .bind(rotation)
    .execute(db)
    .await?;
    Ok(())
}

/// Records what a run tells. The first sighting counts for whom it goes from and to: an attempt after the flip sees
/// the two users in the other places.
pub(super) async fn note(db: &mut PgConnection, hold: Hold, note: &Note) -> Result<(), Reason> {
    if let Some(first) = &note.seen {
        // The rotation's row before the run's, as everywhere.
        let rotation = rotation_of(db, hold).await?;
        seen(&mut *db, &rotation, first).await?;
        sqlx::query(
            "UPDATE runs SET from_user = COALESCE(from_user, $3), to_user = COALESCE(to_user, $4)
              WHERE id = $1::text::uuid AND attempt = $2 AND state = 'running'",
        )
        .bind(hold.run.to_string())
        .bind(count(hold.attempt))
        .bind(text(&first.active_user))
        .bind(text(&first.standby_user))
        .execute(&mut *db)
        .await?;
    }
    let held = sqlx::query(
        "WITH run AS (
             SELECT id, attempt FROM runs
              WHERE id = $1::text::uuid AND attempt = $2 AND state = 'running' FOR UPDATE
         ), told AS (
             INSERT INTO steps (run, attempt, name, state, started, finished, detail)
             SELECT run.id, run.attempt, step.*
               FROM run, jsonb_to_recordset($3::text::jsonb)
                    AS step (name text, state text, started timestamptz, finished timestamptz, detail text)
             ON CONFLICT (run, attempt, name) DO UPDATE SET
                 state = excluded.state, started = excluded.started,
                 finished = excluded.finished, detail = excluded.detail
         )
         SELECT FROM run",
    )
    .bind(hold.run.to_string())
    .bind(count(hold.attempt))
    .bind(steps(&note.steps)?)
    .fetch_optional(db)
    .await?;
    held.map(drop).ok_or(Reason::Lost(hold.run))
}

/// The name of a run's rotation, whose row is held from here on.
async fn rotation_of(db: &mut PgConnection, hold: Hold) -> Result<String, Reason> {
    let name = sqlx::query_scalar(
        "SELECT name FROM rotations
          WHERE name = (SELECT rotation FROM runs WHERE id = $1::text::uuid) FOR UPDATE",
    )
    .bind(hold.run.to_string())
    .fetch_optional(db)
    .await?;
    name.ok_or(Reason::Lost(hold.run))
}

/// Records what a run still had to tell, and ends it.
pub(super) async fn conclude(
    db: &mut PgConnection,
    hold: Hold,
    said: &Note,
    outcome: &Outcome,
) -> Result<(), Reason> {
    if !said.is_empty() {
        rotation_of(db, hold).await?;
        note(db, hold, said).await?;
    }
    finish(db, hold, outcome).await
}

/// Steps as JSON that PostgreSQL can store.
fn steps(steps: &[Step]) -> Result<String, Reason> {
    let steps: Vec<Step> = steps
        .iter()
        .map(|step| Step {
            detail: step.detail.as_deref().map(text),
            ..step.clone()
        })
        .collect();
    Ok(serde_json::to_string(&steps)?)
}

/// Records what was seen of a secret.
pub(super) async fn seen(
    db: impl PgExecutor<'_>,
    rotation: &str,
    seen: &Seen,
) -> Result<(), Reason> {
    sqlx::query(
        "INSERT INTO rotations (name, engine, host, active_user, standby_user)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (name) DO UPDATE SET
             engine = excluded.engine, host = excluded.host,
             active_user = excluded.active_user, standby_user = excluded.standby_user",
    )
    .bind(rotation)
    .bind(text(&seen.engine))
    .bind(seen.host.as_deref().map(text))
    .bind(text(&seen.active_user))
    .bind(text(&seen.standby_user))
    .execute(db)
    .await?;
    Ok(())
}

/// Ends a run, or frees it for another attempt, in one statement. Steps that are still running end with it.
///
/// A run that may have moved AWSCURRENT (cut off in its last step), and nobody was left to hear so, moves the last
/// flip: `min_interval` counts from now.
pub(super) async fn finish(
    db: &mut PgConnection,
    hold: Hold,
    outcome: &Outcome,
) -> Result<(), Reason> {
    let run = hold.run;
    if outcome.state == RunState::Running {
        return Err(Reason::Other(format!("run {run} cannot end as running")));
    }
    let success = outcome.state == RunState::Succeeded;
    let left_over = if success {
        StepState::Succeeded
    } else {
        StepState::Failed
    };
    let (code, message, hint) = parts(outcome.error.as_ref());
    let done = sqlx::query(
        "WITH place AS (
             SELECT name FROM rotations
              WHERE name = (SELECT rotation FROM runs WHERE id = $1::text::uuid) FOR UPDATE
         ), ended AS (
             UPDATE runs SET state = $3, lease_until = NULL,
                    -- A deferred run is not over.
                    finished = CASE WHEN $3 <> 'deferred' THEN $4::text::timestamptz END,
                    error_code = $5, error_message = $6, error_hint = $7
               FROM place
              WHERE id = $1::text::uuid AND attempt = $2 AND state IN ('running', 'deferred')
             RETURNING id, rotation, from_user, to_user
         ), stopped AS (
             UPDATE steps SET state = $8, finished = $4::text::timestamptz
               FROM ended WHERE run = ended.id AND state = 'running'
         )
         UPDATE rotations SET
                last_success = CASE WHEN $9 THEN $4::text::timestamptz ELSE last_success END,
                last_flip = CASE WHEN $9 OR EXISTS (SELECT 1 FROM steps
                                 WHERE run = ended.id AND steps.name = 'finish' AND state <> 'succeeded')
                            THEN $4::text::timestamptz ELSE last_flip END,
                retired = CASE WHEN $9 THEN NULL ELSE retired END,
                active_user = CASE WHEN $9 THEN COALESCE(to_user, active_user) ELSE active_user END,
                standby_user = CASE WHEN $9 THEN COALESCE(from_user, standby_user) ELSE standby_user END
           FROM ended WHERE rotations.name = ended.rotation",
    )
    .bind(run.to_string())
    .bind(count(hold.attempt))
    .bind(outcome.state.as_str())
    .bind(time(outcome.now))
    .bind(code)
    .bind(message)
    .bind(hint)
    .bind(left_over.as_str())
    .bind(success)
    .execute(db)
    .await?;
    Reason::held(done.rows_affected(), run)
}

/// Ends what nobody works on any more and whose time is over; gives it as it is then. What another worker
/// is ending at this moment is left to it.
pub(super) async fn sweep(
    db: &mut PgConnection,
    now: DateTime<Utc>,
    lease_now: Option<String>,
) -> Result<Vec<Run>, Reason> {
    let rows = sqlx::query(
        "SELECT d.document::text
           FROM rotations JOIN run_documents d ON d.rotation = rotations.name
          WHERE (d.state = 'deferred' OR (d.state = 'running'
                    AND d.lease_until <= COALESCE($2::text::timestamptz, clock_timestamp())))
            AND (d.closes IS NULL OR d.closes <= $1::text::timestamptz)
            FOR UPDATE OF rotations SKIP LOCKED",
    )
    .bind(time(now))
    .bind(lease_now)
    .fetch_all(&mut *db)
    .await?;
    let mut ended = Vec::new();
    for row in &rows {
        let run = rows::decode(row)?;
        let outcome = run.abandoned(now);
        match finish(db, run.hold(), &outcome).await {
            Ok(()) => ended.push(as_ended(run, outcome)),
            // Another worker had ended or claimed it between the look and the lock.
            Err(Reason::Lost(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ended)
}

/// A run as it is after it was ended so.
fn as_ended(mut run: Run, outcome: Outcome) -> Run {
    for step in &mut run.steps {
        if step.state == StepState::Running {
            step.state = StepState::Failed;
            step.finished = Some(outcome.now);
        }
    }
    run.state = outcome.state;
    run.error = outcome.error;
    run.finished = Some(outcome.now);
    run
}

/// Records how a window ended: once, and never over a run of it that ended or is still held.
pub(super) async fn end_window(
    db: &mut PgConnection,
    request: &ClaimRequest,
    outcome: &Outcome,
    lease_now: Option<String>,
) -> Result<Option<Run>, Reason> {
    hold(db, &request.rotation).await?;
    match rows::of_window(db, request, lease_now).await? {
        Some((run, true)) => {
            finish(db, run.hold(), outcome).await?;
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
) -> Result<Run, Reason> {
    let id = Uuid::new_v4();
    let (code, message, hint) = parts(outcome.error.as_ref());
    sqlx::query(
        r#"INSERT INTO runs (id, rotation, "trigger", reason, opens, closes, state, worker,
                             version_id, started, finished, attempt,
                             error_code, error_message, error_hint)
           VALUES ($1::text::uuid, $2, $3, $4, $5::text::timestamptz, $6::text::timestamptz, $7, $8,
                   $9, $10::text::timestamptz, $10::text::timestamptz, 1, $11, $12, $13)"#,
    )
    .bind(id.to_string())
    .bind(&request.rotation)
    .bind(request.trigger.as_str())
    .bind(request.reason.as_deref().map(text))
    .bind(request.window.map(|w| time(w.opens)))
    .bind(request.window.map(|w| time(w.closes)))
    .bind(outcome.state.as_str())
    .bind(text(&request.worker))
    .bind(&request.version_id.0)
    .bind(time(outcome.now))
    .bind(code)
    .bind(message)
    .bind(hint)
    .execute(&mut *db)
    .await?;
    let row = sqlx::query("SELECT document::text FROM run_documents WHERE id = $1::text::uuid")
        .bind(id.to_string())
        .fetch_one(db)
        .await?;
    rows::decode(&row)
}

/// Records that AWSCURRENT was moved outside a run.
pub(super) async fn flipped(
    pool: &PgPool,
    rotation: &str,
    at: DateTime<Utc>,
) -> Result<(), Reason> {
    sqlx::query(
        "INSERT INTO rotations (name, last_flip) VALUES ($1, $2::text::timestamptz)
         ON CONFLICT (name) DO UPDATE SET last_flip = excluded.last_flip, retired = NULL",
    )
    .bind(rotation)
    .bind(time(at))
    .execute(pool)
    .await?;
    Ok(())
}

/// Records that the user of AWSPREVIOUS was locked.
pub(super) async fn retired(
    pool: &PgPool,
    rotation: &str,
    at: DateTime<Utc>,
) -> Result<(), Reason> {
    sqlx::query(
        "INSERT INTO rotations (name, retired) VALUES ($1, $2::text::timestamptz)
         ON CONFLICT (name) DO UPDATE SET retired = excluded.retired",
    )
    .bind(rotation)
    .bind(time(at))
    .execute(pool)
    .await?;
    Ok(())
}

/// Remembers when rotations were first seen, in one statement however many there are.
pub(super) async fn first_seen(
    pool: &PgPool,
    rotations: &[String],
    now: DateTime<Utc>,
) -> Result<(), Reason> {
    sqlx::query(
        "INSERT INTO rotations (name, first_seen)
         SELECT name, $2::text::timestamptz FROM unnest($1::text[]) AS name ORDER BY name
         ON CONFLICT (name) DO UPDATE SET first_seen = excluded.first_seen
          WHERE rotations.first_seen IS NULL OR rotations.first_seen > excluded.first_seen",
    )
    .bind(rotations)
    .bind(time(now))
    .execute(pool)
    .await?;
    Ok(())
}

/// Pauses or resumes a rotation's schedule.
pub(super) async fn set_paused(pool: &PgPool, rotation: &str, paused: bool) -> Result<(), Reason> {
    sqlx::query(
        "INSERT INTO rotations (name, paused) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET paused = excluded.paused",
    )
    .bind(rotation)
    .bind(paused)
    .execute(pool)
    .await?;
    Ok(())
}

fn parts(problem: Option<&Problem>) -> (Option<&'static str>, Option<String>, Option<String>) {
    (
        problem.map(|p| p.code.as_str()),
        problem.map(|p| text(&p.message)),
        problem.map(|p| text(&p.hint)),
    )
}
