//! The secrets of the rotations, and what a renamed rotation keeps.

use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgPool};

use super::storable;
use crate::journal::RotationSecret;
use crate::journal::error::TransactionError;

/// The secrets of all rotations.
pub(super) async fn secrets(pool: &PgPool) -> Result<Vec<RotationSecret>, TransactionError> {
    let rows = sqlx::query("SELECT * FROM rotation_secrets ORDER BY rotation")
        .fetch_all(pool)
        .await?;
    let secret = |row: &sqlx::postgres::PgRow| {
        Ok(RotationSecret {
            rotation: row.try_get("rotation")?,
            secret: row.try_get("secret")?,
            configured: row.try_get("configured")?,
        })
    };
    Ok(rows.iter().map(secret).collect::<sqlx::Result<_>>()?)
}

/// Records the secrets of the rotations in a config.
pub(super) async fn record(
    pool: &PgPool,
    rotations: &[(String, String)],
    now: DateTime<Utc>,
) -> Result<(), TransactionError> {
    let (names, secrets): (Vec<&str>, Vec<String>) = rotations
        .iter()
        .map(|(name, secret)| (&**name, storable(secret)))
        .unzip();
    sqlx::query(
        "INSERT INTO rotation_secrets (rotation, secret, configured)
         SELECT name, secret, $3 FROM unnest($1::text[], $2::text[]) AS one (name, secret)
          ORDER BY name
         ON CONFLICT (rotation) DO UPDATE
            SET secret = excluded.secret, configured = excluded.configured",
    )
    .bind(&names[..])
    .bind(&secrets[..])
    .bind(now)
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives a rotation what is recorded of its former name.
pub(super) async fn rename(
    db: &mut PgConnection,
    from: &str,
    to: &str,
) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO rotations AS known (name, paused, pause, last_success, last_flip, retired,
                                         refused, refused_since, engine, host, port, active_user, standby_user)
         SELECT $2, paused, pause, last_success, last_flip, retired,
                refused, refused_since, engine, host, port, active_user, standby_user FROM rotations WHERE name = $1
         ON CONFLICT (name) DO UPDATE SET
             paused = known.paused OR excluded.paused,
             pause = COALESCE(known.pause, excluded.pause),
             retired = CASE WHEN known.last_flip > excluded.last_flip
                                 OR (known.last_flip IS NOT NULL AND excluded.last_flip IS NULL)
                            THEN known.retired ELSE excluded.retired END,
             last_success = GREATEST(known.last_success, excluded.last_success),
             last_flip = GREATEST(known.last_flip, excluded.last_flip)",
    )
    .bind(from)
    .bind(to)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO known_versions (rotation, label, secret, version_id, changed)
         SELECT $2, label, secret, version_id, changed FROM known_versions WHERE rotation = $1
         ON CONFLICT DO NOTHING",
    )
    .bind(from)
    .bind(to)
    .execute(db)
    .await?;
    Ok(())
}
