//! The pairs of users of all rotations.

use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};

use super::storable;
use crate::journal::PairRecord;
use crate::journal::error::TransactionError;

/// The pairs that have one of these users, at an address or at a server with this identity.
pub(super) async fn at_server(
    pool: &PgPool,
    server: &str,
    identity: Option<&str>,
    users: [&str; 2],
) -> Result<Vec<PairRecord>, TransactionError> {
    let users = users.map(storable);
    let rows = sqlx::query(
        "SELECT * FROM pairs WHERE (server = $1 OR server_identity = $3)
            AND (base = ANY ($2) OR clone = ANY ($2))
          ORDER BY rotation",
    )
    .bind(storable(server))
    .bind(&users[..])
    .bind(identity.map(storable))
    .fetch_all(pool)
    .await?;
    Ok(rows.iter().map(pair).collect::<sqlx::Result<_>>()?)
}

/// The pairs of all rotations.
pub(super) async fn all(pool: &PgPool) -> Result<Vec<PairRecord>, TransactionError> {
    let rows = sqlx::query("SELECT * FROM pairs ORDER BY rotation")
        .fetch_all(pool)
        .await?;
    Ok(rows.iter().map(pair).collect::<sqlx::Result<_>>()?)
}

fn pair(row: &PgRow) -> sqlx::Result<PairRecord> {
    Ok(PairRecord {
        rotation: row.try_get("rotation")?,
        secret: row.try_get("secret")?,
        server: row.try_get("server")?,
        server_identity: row.try_get("server_identity")?,
        base: row.try_get("base")?,
        clone: row.try_get("clone")?,
        owned: row.try_get("owned")?,
        adopted: row.try_get("adopted")?,
    })
}

/// Replaces the pair of a rotation.
pub(super) async fn record(pool: &PgPool, pair: &PairRecord) -> Result<(), TransactionError> {
    sqlx::query(
        "INSERT INTO pairs (rotation, secret, server, base, clone, owned, adopted, server_identity)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (rotation) DO UPDATE SET
             secret = excluded.secret, server = excluded.server, base = excluded.base,
             clone = excluded.clone, owned = excluded.owned, adopted = excluded.adopted,
             server_identity = excluded.server_identity",
    )
    .bind(&pair.rotation)
    .bind(storable(&pair.secret))
    .bind(storable(&pair.server))
    .bind(storable(&pair.base))
    .bind(storable(&pair.clone))
    .bind(pair.owned)
    .bind(pair.adopted)
    .bind(pair.server_identity.as_deref().map(storable))
    .execute(pool)
    .await?;
    Ok(())
}

/// Records pairs, unless their rotations have them. In the order of the rotations, so that two
/// workers do not wait for each other.
pub(super) async fn seen(pool: &PgPool, pairs: &[PairRecord]) -> Result<(), TransactionError> {
    let mut pairs: Vec<&PairRecord> = pairs.iter().collect();
    pairs.sort_by(|one, other| one.rotation.cmp(&other.rotation));
    let column = |text: fn(&PairRecord) -> &str| -> Vec<_> {
        pairs.iter().map(|pair| storable(text(pair))).collect()
    };
    let rotations: Vec<&str> = pairs.iter().map(|pair| &*pair.rotation).collect();
    sqlx::query(
        "INSERT INTO pairs AS known (rotation, secret, server, base, clone)
         SELECT * FROM unnest ($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
         ON CONFLICT (rotation) DO UPDATE SET
             secret = excluded.secret, server = excluded.server, base = excluded.base,
             clone = excluded.clone, owned = NULL, adopted = NULL,
             server_identity =
                 CASE WHEN known.server = excluded.server THEN known.server_identity END
         WHERE (known.secret, known.server, known.base, known.clone)
            <> (excluded.secret, excluded.server, excluded.base, excluded.clone)",
    )
    .bind(&rotations[..])
    .bind(&column(|pair| &pair.secret)[..])
    .bind(&column(|pair| &pair.server)[..])
    .bind(&column(|pair| &pair.base)[..])
    .bind(&column(|pair| &pair.clone)[..])
    .execute(pool)
    .await?;
    Ok(())
}
