//! What happened: steps, sightings, endings, pauses. Everything here happens inside the caller's
//! writing transaction.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{Reason, rows};
use crate::journal::{ClaimRequest, Hold, Note, Outcome, Run, RunState, Seen, Step, StepState};
use twinkey_core::code::Problem;

/// Makes sure that a rotation has a row; gives its last flip.
pub(super) async fn know(
    db: &mut SqliteConnection,
    rotation: &str,
) -> Result<Option<DateTime<Utc>>, Reason> {
    let row = sqlx::query(
        "INSERT INTO rotations (name) VALUES (?1)
         ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING last_flip",
    )
    .bind(rotation)
    .fetch_one(db)
    .await?;
    Ok(rows::time_or_none(&row, "last_flip")?)
}

/// Records what a run tells; the steps in one statement, however many there are. The first sighting counts for whom it
/// goes from and to: an attempt after the flip sees the two users in the other places.
pub(super) async fn note(db: &mut SqliteConnection, hold: Hold, note: &Note) -> Result<(), Reason> {
    let first = note.seen.as_ref();
    if first.is_some() || note.steps.is_empty() {
        let rotation: Option<String> = sqlx::query_scalar(
            "UPDATE runs SET from_user = COALESCE(from_user, ?3), to_user = COALESCE(to_user, ?4)
              WHERE id = ?1 AND attempt = ?2 AND state = 'running' RETURNING rotation",
        )
        .bind(hold.run.to_string())
        .bind(hold.attempt)
        .bind(first.map(|seen| &seen.active_user))
        .bind(first.map(|seen| &seen.standby_user))
        .fetch_optional(&mut *db)
        .await?;
        let rotation = rotation.ok_or(Reason::Lost(hold.run))?;
        if let Some(first) = first {
            seen(db, &rotation, first).await?;
        }
    }
    if note.steps.is_empty() {
        return Ok(());
    }
    let steps: Vec<serde_json::Value> = note.steps.iter().map(as_row).collect();
    let done = sqlx::query(
        "INSERT INTO steps (run, attempt, name, state, started, finished, detail)
         SELECT runs.id, runs.attempt, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
           FROM runs, json_each(?3)
          WHERE runs.id = ?1 AND runs.attempt = ?2 AND runs.state = 'running'
         ON CONFLICT (run, attempt, name) DO UPDATE SET
             state = excluded.state, started = excluded.started,
             finished = excluded.finished, detail = excluded.detail",
    )
    .bind(hold.run.to_string())
    .bind(hold.attempt)
    .bind(serde_json::json!(steps).to_string())
    .execute(db)
    .await?;
    // All of them or none, whether the run is held.
    match done.rows_affected() {
        0 => Err(Reason::Lost(hold.run)),
        _ => Ok(()),
    }
}

/// A step as a row of the table `steps`.
fn as_row(step: &Step) -> serde_json::Value {
    serde_json::json!([
        step.name,
        step.state,
        step.started.timestamp_micros(),
        step.finished.map(|at| at.timestamp_micros()),
        step.detail,
    ])
}

/// Records what was seen of a secret.
pub(super) async fn seen(
    db: &mut SqliteConnection,
    rotation: &str,
    seen: &Seen,
) -> Result<(), Reason> {
    sqlx::query(
        "INSERT INTO rotations (name, engine, host, active_user, standby_user)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (name) DO UPDATE SET
             engine = excluded.engine, host = excluded.host,
             active_user = excluded.active_user, standby_user = excluded.standby_user",
    )
    .bind(rotation)
    .bind(&seen.engine)
    .bind(&seen.host)
    .bind(&seen.active_user)
    .bind(&seen.standby_user)
    .execute(db)
    .await?;
    Ok(())
}

/// Records what a run still had to tell, and ends it.
pub(super) async fn conclude(
    db: &mut SqliteConnection,
    hold: Hold,
    said: &Note,
    outcome: &Outcome,
) -> Result<(), Reason> {
    if !said.is_empty() {
        note(db, hold, said).await?;
    }
    finish(db, hold, outcome).await
}

/// Ends a run, or frees it for another attempt. Steps that are still running end with it.
pub(super) async fn finish(
    db: &mut SqliteConnection,
    hold: Hold,
    outcome: &Outcome,
) -> Result<(), Reason> {
    let run = hold.run;
    if outcome.state == RunState::Running {
        return Err(Reason::Other(format!("run {run} cannot end as running")));
    }
    let now = outcome.now.timestamp_micros();
    let (code, message, hint) = parts(outcome.error.as_ref());
    let done = sqlx::query(
        "UPDATE runs SET state = ?3, finished = ?4, lease_until = NULL,
                error_code = ?5, error_message = ?6, error_hint = ?7
          WHERE id = ?1 AND attempt = ?2 AND state IN ('running', 'deferred')",
    )
    .bind(run.to_string())
    .bind(hold.attempt)
    .bind(outcome.state)
    // A deferred run is not over.
    .bind((outcome.state != RunState::Deferred).then_some(now))
    .bind(code)
    .bind(message)
    .bind(hint)
    .execute(&mut *db)
    .await?;
    Reason::held(done.rows_affected(), run)?;

    let success = outcome.state == RunState::Succeeded;
    if !success {
        // It may have moved AWSCURRENT, and nobody was left to hear so: `min_interval` counts from now.
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
    let left_over = if success {
        StepState::Succeeded
    } else {
        StepState::Failed
    };
    sqlx::query("UPDATE steps SET state = ?2, finished = ?3 WHERE run = ?1 AND state = 'running'")
        .bind(run.to_string())
        .bind(left_over)
        .bind(now)
        .execute(&mut *db)
        .await?;
    if success {
        sqlx::query(
            "UPDATE rotations SET last_success = ?2, last_flip = ?2, retired = NULL,
                    active_user = COALESCE(to_user, active_user),
                    standby_user = COALESCE(from_user, standby_user)
               FROM (SELECT rotation, from_user, to_user FROM runs WHERE id = ?1) AS run
              WHERE name = run.rotation",
        )
        .bind(run.to_string())
        .bind(now)
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Ends what nobody works on any more and whose time is over; gives it as it is then.
pub(super) async fn sweep(
    db: &mut SqliteConnection,
    now: DateTime<Utc>,
) -> Result<Vec<Run>, Reason> {
    let mut ended = Vec::new();
    for run in rows::abandoned(db, now).await? {
        finish(db, run.hold(), &run.abandoned(now)).await?;
        ended.extend(rows::run(db, run.id).await?);
    }
    Ok(ended)
}

/// Records how a window ended: once, and never over a run of it that ended or is still held.
pub(super) async fn end_window(
    db: &mut SqliteConnection,
    request: &ClaimRequest,
    outcome: &Outcome,
) -> Result<Option<Run>, Reason> {
    let id = match rows::of_window(db, request).await? {
        Some((run, true)) => {
            finish(db, run.hold(), outcome).await?;
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
) -> Result<Uuid, Reason> {
    know(db, &request.rotation).await?;
    let id = Uuid::new_v4();
    let (code, message, hint) = parts(outcome.error.as_ref());
    sqlx::query(
        r#"INSERT INTO runs (id, rotation, "trigger", reason, opens, closes, state, worker,
                             version_id, started, finished, attempt,
                             error_code, error_message, error_hint)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, 1, ?11, ?12, ?13)"#,
    )
    .bind(id.to_string())
    .bind(&request.rotation)
    .bind(request.trigger)
    .bind(&request.reason)
    .bind(request.window.map(|w| w.opens.timestamp_micros()))
    .bind(request.window.map(|w| w.closes.timestamp_micros()))
    .bind(outcome.state)
    .bind(&request.worker)
    .bind(&request.version_id.0)
    .bind(outcome.now.timestamp_micros())
    .bind(code)
    .bind(message)
    .bind(hint)
    .execute(db)
    .await?;
    Ok(id)
}

/// Records that AWSCURRENT was moved outside a run.
pub(super) async fn flipped(
    db: &mut SqliteConnection,
    rotation: &str,
    at: DateTime<Utc>,
) -> Result<(), Reason> {
    sqlx::query(
        "INSERT INTO rotations (name, last_flip) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET last_flip = excluded.last_flip, retired = NULL",
    )
    .bind(rotation)
    .bind(at.timestamp_micros())
    .execute(db)
    .await?;
    Ok(())
}

/// Records that the user of AWSPREVIOUS was locked.
pub(super) async fn retired(
    db: &mut SqliteConnection,
    rotation: &str,
    at: DateTime<Utc>,
) -> Result<(), Reason> {
    sqlx::query(
        "INSERT INTO rotations (name, retired) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET retired = excluded.retired",
    )
    .bind(rotation)
    .bind(at.timestamp_micros())
    .execute(db)
    .await?;
    Ok(())
}

/// Remembers when rotations were first seen, in one statement however many there are.
pub(super) async fn first_seen(
    db: &mut SqliteConnection,
    rotations: &[String],
    now: DateTime<Utc>,
) -> Result<(), Reason> {
    sqlx::query(
        "INSERT INTO rotations (name, first_seen) SELECT value, ?2 FROM json_each(?1) WHERE true
         ON CONFLICT (name) DO UPDATE
            SET first_seen = MIN(COALESCE(first_seen, excluded.first_seen), excluded.first_seen)",
    )
    .bind(serde_json::json!(rotations).to_string())
    .bind(now.timestamp_micros())
    .execute(db)
    .await?;
    Ok(())
}

/// Pauses or resumes a rotation's schedule.
pub(super) async fn set_paused(
    db: &mut SqliteConnection,
    rotation: &str,
    paused: bool,
) -> Result<(), Reason> {
    sqlx::query(
        "INSERT INTO rotations (name, paused) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET paused = excluded.paused",
    )
    .bind(rotation)
    .bind(paused)
    .execute(db)
    .await?;
    Ok(())
}

fn parts(problem: Option<&Problem>) -> (Option<&str>, Option<&str>, Option<&str>) {
    (
        problem.map(|p| p.code.as_str()),
        problem.map(|p| p.message.as_str()),
        problem.map(|p| p.hint.as_str()),
    )
}
