//! The secrets of the rotations, and what a renamed rotation keeps.

use chrono::{DateTime, Utc};
use sqlx::{Row, SqliteConnection};

use super::decode;
use crate::journal::RotationSecret;

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
pub(super) async fn rename(db: &mut SqliteConnection, from: &str, to: &str) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO rotations (name, paused, pause, last_success, last_flip, retired,
                                refused, refused_since, engine, host, port, active_user, standby_user)
         SELECT ?2, paused, pause, last_success, last_flip, retired,
                refused, refused_since, engine, host, port, active_user, standby_user FROM rotations WHERE name = ?1
         ON CONFLICT (name) DO UPDATE SET
             paused = max(paused, excluded.paused),
             pause = COALESCE(pause, excluded.pause),
             retired = iif(COALESCE(last_flip, 0) > COALESCE(excluded.last_flip, 0),
                           retired, excluded.retired),
             last_success = NULLIF(max(COALESCE(last_success, 0),
                                       COALESCE(excluded.last_success, 0)), 0),
             last_flip = NULLIF(max(COALESCE(last_flip, 0), COALESCE(excluded.last_flip, 0)), 0)",
    )
    .bind(from)
    .bind(to)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT OR IGNORE INTO known_versions (rotation, label, secret, version_id, changed)
         SELECT ?2, label, secret, version_id, changed FROM known_versions WHERE rotation = ?1",
    )
    .bind(from)
    .bind(to)
    .execute(db)
    .await?;
    Ok(())
}
