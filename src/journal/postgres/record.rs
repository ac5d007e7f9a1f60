//! Writes about a run in progress and about a rotation: steps, observations, flips, pauses.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgExecutor, PgPool};
use sqlx::types::Json;

use super::claim::attempt_number;
use super::storable;
use crate::journal::error::TransactionError;
use crate::journal::{ClaimToken, CurrentRefusal, Note, Pause, SecretSummary, Step};
use twinkey_core::code::Problem;

/// Creates a rotation's row if it is missing, and locks it until the transaction ends.
pub(super) async fn lock_rotation(
    db: &mut PgConnection,
    rotation: &str,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO rotations (name) VALUES ($1)
         ON CONFLICT (name) DO UPDATE SET name = excluded.name",
    )
    .bind(rotation)
    .execute(db)
    .await?;
    Ok(())
}

/// Records the progress of a run. The first observation determines the two users: an attempt after
/// the flip observes them in exchanged roles.
pub(super) async fn note(
    db: &mut PgConnection,
    token: ClaimToken,
    note: &Note,
) -> Result<(), TransactionError> {
    if let Some(summary) = &note.seen {
        // The rotation's row is locked before the run's, as in every transaction.
        let rotation = lock_rotation_of(db, token).await?;
        seen(&mut *db, &rotation, summary).await?;
        sqlx::query(
            "UPDATE runs SET from_user = COALESCE(from_user, $3), to_user = COALESCE(to_user, $4)
              WHERE id = $1 AND attempt = $2 AND state = 'running'",
        )
        .bind(token.run)
        .bind(attempt_number(token.attempt))
        .bind(storable(&summary.active_user))
        .bind(storable(&summary.standby_user))
        .execute(&mut *db)
        .await?;
    }
    let claimed = sqlx::query(
        "WITH run AS (
             SELECT id, attempt FROM runs
              WHERE id = $1 AND attempt = $2 AND state = 'running' FOR UPDATE
         ), written AS (
             INSERT INTO steps (run, attempt, name, state, started, finished, detail)
             SELECT run.id, run.attempt, step.*
               FROM run, jsonb_to_recordset($3)
                    AS step (name text, state text, started timestamptz, finished timestamptz, detail text)
             ON CONFLICT (run, attempt, name) DO UPDATE SET
                 state = excluded.state, started = excluded.started,
                 finished = excluded.finished, detail = excluded.detail
         )
         SELECT FROM run",
    )
    .bind(token.run)
    .bind(attempt_number(token.attempt))
    .bind(Json(storable_steps(&note.steps)))
    .fetch_optional(db)
    .await?;
    claimed.map(drop).ok_or(TransactionError::Lost(token.run))
}

/// The name of a run's rotation, whose row is locked until the transaction ends.
pub(super) async fn lock_rotation_of(
    db: &mut PgConnection,
    token: ClaimToken,
) -> Result<String, TransactionError> {
    let name = sqlx::query_scalar(
        "SELECT name FROM rotations
          WHERE name = (SELECT rotation FROM runs WHERE id = $1) FOR UPDATE",
    )
    .bind(token.run)
    .fetch_optional(db)
    .await?;
    name.ok_or(TransactionError::Lost(token.run))
}

fn storable_steps(steps: &[Step]) -> Vec<Step> {
    steps
        .iter()
        .map(|step| Step {
            detail: step.detail.as_deref().map(storable),
            ..step.clone()
        })
        .collect()
}

/// Records the observed state of a secret.
pub(super) async fn seen(
    db: impl PgExecutor<'_>,
    rotation: &str,
    seen: &SecretSummary,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO rotations (name, engine, host, active_user, standby_user, port)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (name) DO UPDATE SET
             engine = excluded.engine, host = excluded.host, port = excluded.port,
             active_user = excluded.active_user, standby_user = excluded.standby_user",
    )
    .bind(rotation)
    .bind(storable(&seen.engine))
    .bind(seen.host.as_deref().map(storable))
    .bind(storable(&seen.active_user))
    .bind(storable(&seen.standby_user))
    .bind(seen.port.map(i32::from))
    .execute(db)
    .await?;
    Ok(())
}

/// Records a move of AWSCURRENT outside a run.
pub(super) async fn flipped(
    db: &mut PgConnection,
    rotation: &str,
    at: DateTime<Utc>,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO rotations (name, last_flip) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET last_flip = excluded.last_flip, retired = NULL,
             refused = NULL, refused_since = NULL",
    )
    .bind(rotation)
    .bind(at)
    .execute(db)
    .await?;
    Ok(())
}

/// Records that the user of AWSPREVIOUS was locked.
pub(super) async fn retired(
    db: &mut PgConnection,
    rotation: &str,
    at: DateTime<Utc>,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO rotations (name, retired) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET retired = excluded.retired",
    )
    .bind(rotation)
    .bind(at)
    .execute(db)
    .await?;
    Ok(())
}

/// Records that AWSCURRENT did not sign in.
pub(super) async fn current_refused(
    pool: &PgPool,
    rotation: &str,
    refusal: &CurrentRefusal,
) -> Result<(), TransactionError> {
    let problem = &refusal.problem;
    let problem = Problem {
        code: problem.code,
        message: storable(&problem.message),
        hint: storable(&problem.hint),
    };
    sqlx::query(
        "INSERT INTO rotations AS known (name, refused, refused_since) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET refused = excluded.refused,
             refused_since = COALESCE(known.refused_since, excluded.refused_since)",
    )
    .bind(rotation)
    .bind(Json(problem))
    .bind(refusal.since)
    .execute(pool)
    .await?;
    Ok(())
}

/// Records that AWSCURRENT signs in.
pub(super) async fn current_accepted(
    pool: &PgPool,
    rotation: &str,
) -> Result<(), TransactionError> {
    sqlx::query(
        "UPDATE rotations SET refused = NULL, refused_since = NULL
          WHERE name = $1 AND refused IS NOT NULL",
    )
    .bind(rotation)
    .execute(pool)
    .await?;
    Ok(())
}

/// Records when rotations were first seen, in a single statement.
pub(super) async fn first_seen(
    pool: &PgPool,
    rotations: &[String],
    now: DateTime<Utc>,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO rotations (name, first_seen)
         SELECT name, $2 FROM unnest($1) AS name ORDER BY name
         ON CONFLICT (name) DO UPDATE SET first_seen = excluded.first_seen
          WHERE rotations.first_seen IS NULL OR rotations.first_seen > excluded.first_seen",
    )
    .bind(rotations)
    .bind(now)
    .execute(pool)
    .await?;
    Ok(())
}

/// Pauses a rotation's schedule, or resumes it (`None`).
pub(super) async fn set_paused(
    db: &mut PgConnection,
    rotation: &str,
    pause: Option<&Pause>,
) -> Result<(), TransactionError> {
    let pause = pause.cloned().map(|pause| Pause {
        by: pause.by.as_deref().map(storable),
        reason: pause.reason.as_deref().map(storable),
        ..pause
    });
    sqlx::query(
        "INSERT INTO rotations (name, paused, pause) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, pause = excluded.pause",
    )
    .bind(rotation)
    .bind(pause.is_some())
    .bind(pause.map(Json))
    .execute(db)
    .await?;
    Ok(())
}
