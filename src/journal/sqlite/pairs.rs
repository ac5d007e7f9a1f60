//! The pairs of users of all rotations.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::decode;
use crate::journal::PairRecord;

/// The pairs that have one of these users, at an address or at a server with this identity.
pub(super) async fn at_server(
    db: &mut SqliteConnection,
    server: &str,
    identity: Option<&str>,
    users: [&str; 2],
) -> sqlx::Result<Vec<PairRecord>> {
    let rows = sqlx::query(
        "SELECT * FROM pairs WHERE (server = ?1 OR server_identity = ?4)
            AND (base IN (?2, ?3) OR clone IN (?2, ?3))
          ORDER BY rotation",
    )
    .bind(server)
    .bind(users[0])
    .bind(users[1])
    .bind(identity)
    .fetch_all(db)
    .await?;
    rows.iter().map(pair).collect()
}

/// The pairs of all rotations.
pub(super) async fn all(db: &mut SqliteConnection) -> sqlx::Result<Vec<PairRecord>> {
    let rows = sqlx::query("SELECT * FROM pairs ORDER BY rotation")
        .fetch_all(db)
        .await?;
    rows.iter().map(pair).collect()
}

fn pair(row: &SqliteRow) -> sqlx::Result<PairRecord> {
    Ok(PairRecord {
        rotation: row.try_get("rotation")?,
        secret: row.try_get("secret")?,
        server: row.try_get("server")?,
        server_identity: row.try_get("server_identity")?,
        base: row.try_get("base")?,
        clone: row.try_get("clone")?,
        owned: decode::time_or_none(row, "owned")?,
        adopted: decode::time_or_none(row, "adopted")?,
    })
}

/// Replaces the pair of a rotation.
pub(super) async fn record(db: &mut SqliteConnection, pair: &PairRecord) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO pairs
             (rotation, secret, server, base, clone, owned, adopted, server_identity)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(&pair.rotation)
    .bind(&pair.secret)
    .bind(&pair.server)
    .bind(&pair.base)
    .bind(&pair.clone)
    .bind(pair.owned.map(|at| at.timestamp_micros()))
    .bind(pair.adopted.map(|at| at.timestamp_micros()))
    .bind(&pair.server_identity)
    .execute(db)
    .await?;
    Ok(())
}

/// Records the pair of a rotation, unless the rotation has it.
pub(super) async fn seen(db: &mut SqliteConnection, pair: &PairRecord) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO pairs (rotation, secret, server, base, clone) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (rotation) DO UPDATE SET
             secret = excluded.secret, server = excluded.server, base = excluded.base,
             clone = excluded.clone, owned = NULL, adopted = NULL,
             server_identity = CASE WHEN server = excluded.server THEN server_identity END
         WHERE (secret, server, base, clone)
            <> (excluded.secret, excluded.server, excluded.base, excluded.clone)",
    )
    .bind(&pair.rotation)
    .bind(&pair.secret)
    .bind(&pair.server)
    .bind(&pair.base)
    .bind(&pair.clone)
    .execute(db)
    .await?;
    Ok(())
}
