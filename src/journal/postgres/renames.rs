//! The secrets of the rotations, and what a renamed rotation keeps.

use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgPool};

use super::storable;
use crate::journal::error::TransactionError;
use crate::journal::{Rename, RotationSecret};

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
pub(super) async fn rename(db: &mut PgConnection, rename: &Rename) -> Result<(), TransactionError> {
    let (former, to) = (&rename.from, &rename.to);
    let recorded = sqlx::query(
        "INSERT INTO rotation_secrets (rotation, secret, configured)
         SELECT $2, secret, configured FROM rotation_secrets
          WHERE rotation = $1 AND secret = $3 AND configured = $4 FOR UPDATE
         ON CONFLICT (rotation) DO UPDATE
            SET secret = excluded.secret, configured = excluded.configured
          WHERE rotation_secrets.secret <> excluded.secret
             OR rotation_secrets.configured < excluded.configured",
    )
    .bind(&former.rotation)
    .bind(to)
    .bind(storable(&former.secret))
    .bind(former.configured)
    .execute(&mut *db)
    .await?;
    if recorded.rows_affected() == 0 {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO rotations AS known (name, paused, pause, last_success, last_flip, retired,
                                         refused, refused_since, engine, host, port, active_user, standby_user)
         SELECT $2, paused, pause, last_success, last_flip, retired,
                refused, refused_since, engine, host, port, active_user, standby_user FROM rotations WHERE name = $1
         ON CONFLICT (name) DO UPDATE SET
             paused = excluded.paused OR (known.paused AND NOT $3),
             pause = CASE WHEN $3 THEN excluded.pause ELSE COALESCE(known.pause, excluded.pause) END,
             retired = CASE WHEN known.last_flip > excluded.last_flip
                                 OR (known.last_flip IS NOT NULL AND excluded.last_flip IS NULL)
                            THEN known.retired ELSE excluded.retired END,
             last_success = GREATEST(known.last_success, excluded.last_success),
             last_flip = GREATEST(known.last_flip, excluded.last_flip)",
    )
    .bind(&former.rotation)
    .bind(to)
    .bind(rename.replaces_pause)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO known_versions (rotation, label, secret, version_id, changed)
         SELECT $2, label, secret, version_id, changed FROM known_versions WHERE rotation = $1
         ON CONFLICT DO NOTHING",
    )
    .bind(&former.rotation)
    .bind(to)
    .execute(&mut *db)
    .await?;
    if rename.is_moved {
        move_rest(db, &former.rotation, to).await?;
    }
    Ok(())
}

/// Moves what a name that has another secret now does not keep.
async fn move_rest(db: &mut PgConnection, from: &str, to: &str) -> Result<(), TransactionError> {
    for statement in [
        "UPDATE runs SET rotation = $2
          WHERE rotation = $1
            AND NOT EXISTS (SELECT 1 FROM runs AS own WHERE own.rotation = $2
                    AND (own.version_id = runs.version_id
                         OR (own.state = 'running' AND runs.state = 'running')))",
        "DELETE FROM pairs
          WHERE rotation = $2 AND EXISTS (SELECT 1 FROM pairs AS former WHERE former.rotation = $1)",
        "UPDATE pairs SET rotation = $2 WHERE rotation = $1",
    ] {
        let statement = sqlx::query(statement).bind(from).bind(to);
        statement.execute(&mut *db).await?;
    }
    for statement in [
        "DELETE FROM known_versions WHERE rotation = $1",
        "DELETE FROM rotation_secrets WHERE rotation = $1",
        "UPDATE rotations
            SET paused = FALSE, pause = NULL, first_seen = NULL, last_success = NULL, last_flip = NULL,
                retired = NULL, refused = NULL, refused_since = NULL,
                engine = NULL, host = NULL, port = NULL, active_user = NULL, standby_user = NULL
          WHERE name = $1",
    ] {
        sqlx::query(statement).bind(from).execute(&mut *db).await?;
    }
    Ok(())
}
