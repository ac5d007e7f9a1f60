//! Writes about a run in progress and about a rotation: steps, observations, flips, pauses. All
//! functions run inside the caller's writing transaction.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;
use sqlx::types::Json;

use super::{TransactionError, decode};
use crate::journal::{ClaimToken, CurrentRefusal, Note, Pause, SecretSummary, Step};

/// Creates a rotation's row if it is missing, and returns its last flip.
pub(super) async fn upsert_rotation(
    db: &mut SqliteConnection,
    rotation: &str,
) -> Result<Option<DateTime<Utc>>, TransactionError> {
    let row = sqlx::query(
        "INSERT INTO rotations (name) VALUES (?1)
         ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING last_flip",
    )
    .bind(rotation)
    .fetch_one(db)
    .await?;
    Ok(decode::time_or_none(&row, "last_flip")?)
}

/// Records the progress of a run; all steps in a single statement. The first observation determines
/// the two users: an attempt after the flip observes them in exchanged roles.
pub(super) async fn note(
    db: &mut SqliteConnection,
    token: ClaimToken,
    note: &Note,
) -> Result<(), TransactionError> {
    let observed = note.seen.as_ref();
    if observed.is_some() || note.steps.is_empty() {
        let rotation: Option<String> = sqlx::query_scalar(
            "UPDATE runs SET from_user = COALESCE(from_user, ?3), to_user = COALESCE(to_user, ?4)
              WHERE id = ?1 AND attempt = ?2 AND state = 'running' RETURNING rotation",
        )
        .bind(token.run.to_string())
        .bind(token.attempt)
        .bind(observed.map(|seen| &seen.active_user))
        .bind(observed.map(|seen| &seen.standby_user))
        .fetch_optional(&mut *db)
        .await?;
        let rotation = rotation.ok_or(TransactionError::Lost(token.run))?;
        if let Some(observed) = observed {
            seen(db, &rotation, observed).await?;
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
    .bind(token.run.to_string())
    .bind(token.attempt)
    .bind(serde_json::json!(steps).to_string())
    .execute(db)
    .await?;
    // All rows or none, depending on the claim.
    match done.rows_affected() {
        0 => Err(TransactionError::Lost(token.run)),
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

/// Records the observed state of a secret.
pub(super) async fn seen(
    db: &mut SqliteConnection,
    rotation: &str,
    seen: &SecretSummary,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO rotations (name, engine, host, active_user, standby_user, port)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (name) DO UPDATE SET
             engine = excluded.engine, host = excluded.host, port = excluded.port,
             active_user = excluded.active_user, standby_user = excluded.standby_user",
    )
    .bind(rotation)
    .bind(&seen.engine)
    .bind(&seen.host)
    .bind(&seen.active_user)
    .bind(&seen.standby_user)
    .bind(seen.port)
    .execute(db)
    .await?;
    Ok(())
}

/// Records a move of AWSCURRENT outside a run.
pub(super) async fn flipped(
    db: &mut SqliteConnection,
    rotation: &str,
    at: DateTime<Utc>,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO rotations (name, last_flip) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET last_flip = excluded.last_flip, retired = NULL,
             refused = NULL, refused_since = NULL",
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
) -> Result<(), TransactionError> {
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

/// Records that AWSCURRENT did not sign in.
pub(super) async fn current_refused(
    db: &mut SqliteConnection,
    rotation: &str,
    refusal: &CurrentRefusal,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO rotations (name, refused, refused_since) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET refused = excluded.refused,
             refused_since = COALESCE(refused_since, excluded.refused_since)",
    )
    .bind(rotation)
    .bind(serde_json::to_string(&refusal.problem)?)
    .bind(refusal.since.timestamp_micros())
    .execute(db)
    .await?;
    Ok(())
}

/// Records that AWSCURRENT signs in.
pub(super) async fn current_accepted(
    db: &mut SqliteConnection,
    rotation: &str,
) -> Result<(), TransactionError> {
    sqlx::query(
        "UPDATE rotations SET refused = NULL, refused_since = NULL
          WHERE name = ?1 AND refused IS NOT NULL",
    )
    .bind(rotation)
    .execute(db)
    .await?;
    Ok(())
}

/// Records when rotations were first seen, in a single statement.
pub(super) async fn first_seen(
    db: &mut SqliteConnection,
    rotations: &[String],
    now: DateTime<Utc>,
) -> Result<(), TransactionError> {
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

/// Pauses a rotation's schedule, or resumes it (`None`).
pub(super) async fn set_paused(
    db: &mut SqliteConnection,
    rotation: &str,
    pause: Option<&Pause>,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO rotations (name, paused, pause) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, pause = excluded.pause",
    )
    .bind(rotation)
    .bind(pause.is_some())
    .bind(pause.map(Json))
    .execute(db)
    .await?;
    Ok(())
}
