//! The secrets of the rotations, and what a renamed rotation keeps.

use chrono::{DateTime, Utc};
use sqlx::{Row, SqliteConnection};

use super::decode;
use crate::journal::{Rename, RotationSecret};

/// The secrets of all rotations.
pub(super) async fn secrets(db: &mut SqliteConnection) -> sqlx::Result<Vec<RotationSecret>> {
    let rows = sqlx::query("SELECT * FROM rotation_secrets ORDER BY rotation")
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(RotationSecret {
                rotation: row.try_get("rotation")?,
                secret: row.try_get("secret")?,
                configured: decode::time_or_none(row, "configured")?.unwrap_or_default(),
            })
        })
        .collect()
}

/// Records the secrets of the rotations in a config.
pub(super) async fn record(
    db: &mut SqliteConnection,
    rotations: &[(String, String)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO rotation_secrets (rotation, secret, configured)
         SELECT value ->> 0, value ->> 1, ?2 FROM json_each(?1)",
    )
    .bind(serde_json::json!(rotations).to_string())
    .bind(now.timestamp_micros())
    .execute(db)
    .await?;
    Ok(())
}

/// Gives a rotation what is recorded of its former name.
pub(super) async fn rename(db: &mut SqliteConnection, rename: &Rename) -> sqlx::Result<()> {
    let (former, to) = (&rename.from, &rename.to);
    let recorded = sqlx::query(
        "INSERT INTO rotation_secrets (rotation, secret, configured)
         SELECT ?2, secret, configured FROM rotation_secrets
          WHERE rotation = ?1 AND secret = ?3 AND configured = ?4
         ON CONFLICT (rotation) DO UPDATE
            SET secret = excluded.secret, configured = excluded.configured
          WHERE rotation_secrets.secret <> excluded.secret
             OR rotation_secrets.configured < excluded.configured",
    )
    .bind(&former.rotation)
    .bind(to)
    .bind(&former.secret)
    .bind(former.configured.timestamp_micros())
    .execute(&mut *db)
    .await?;
    if recorded.rows_affected() == 0 {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO rotations (name, paused, pause, last_success, last_flip, retired,
                                refused, refused_since, engine, host, port, active_user, standby_user)
         SELECT ?2, paused, pause, last_success, last_flip, retired,
                refused, refused_since, engine, host, port, active_user, standby_user FROM rotations WHERE name = ?1
         ON CONFLICT (name) DO UPDATE SET
             paused = iif(?3, excluded.paused, max(paused, excluded.paused)),
             pause = iif(?3, excluded.pause, COALESCE(pause, excluded.pause)),
             retired = iif(COALESCE(last_flip, 0) > COALESCE(excluded.last_flip, 0),
                           retired, excluded.retired),
             last_success = NULLIF(max(COALESCE(last_success, 0),
                                       COALESCE(excluded.last_success, 0)), 0),
             last_flip = NULLIF(max(COALESCE(last_flip, 0), COALESCE(excluded.last_flip, 0)), 0)",
    )
    .bind(&former.rotation)
    .bind(to)
    .bind(rename.replaces_pause)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT OR IGNORE INTO known_versions (rotation, label, secret, version_id, changed)
         SELECT ?2, label, secret, version_id, changed FROM known_versions WHERE rotation = ?1",
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
async fn move_rest(db: &mut SqliteConnection, from: &str, to: &str) -> sqlx::Result<()> {
    for statement in [
        "UPDATE runs SET rotation = ?2
          WHERE rotation = ?1
            AND NOT EXISTS (SELECT 1 FROM runs AS own WHERE own.rotation = ?2
                    AND (own.version_id = runs.version_id
                         OR (own.state = 'running' AND runs.state = 'running')))",
        "DELETE FROM pairs
          WHERE rotation = ?2 AND EXISTS (SELECT 1 FROM pairs AS former WHERE former.rotation = ?1)",
        "UPDATE pairs SET rotation = ?2 WHERE rotation = ?1",
    ] {
        let statement = sqlx::query(statement).bind(from).bind(to);
        statement.execute(&mut *db).await?;
    }
    for statement in [
        "DELETE FROM known_versions WHERE rotation = ?1",
        "DELETE FROM rotation_secrets WHERE rotation = ?1",
        "UPDATE rotations
            SET paused = FALSE, pause = NULL, first_seen = NULL, last_success = NULL, last_flip = NULL,
                retired = NULL, refused = NULL, refused_since = NULL,
                engine = NULL, host = NULL, port = NULL, active_user = NULL, standby_user = NULL
          WHERE name = ?1",
    ] {
        sqlx::query(statement).bind(from).execute(&mut *db).await?;
    }
    Ok(())
}
