//! SQL of the replacement of the key: pages over all rows that are sealed.

use sqlx::{FromRow, SqliteConnection};

use super::super::rows::SecretRow;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A version with its position in the file.
#[derive(Debug, FromRow)]
pub(super) struct StoredVersion {
    pub seq: i64,
    pub secret: String,
    pub id: String,
    pub sealed: Vec<u8>,
}

/// The versions after a position.
pub(super) async fn versions_after(
    db: &mut SqliteConnection,
    seq: i64,
    limit: i64,
) -> Result<Vec<StoredVersion>> {
    sqlx::query_as(
        "SELECT seq, secret, id, sealed FROM versions WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )
    .bind(seq)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The secrets after an ARN.
pub(super) async fn secrets_after(
    db: &mut SqliteConnection,
    arn: &str,
    limit: i64,
) -> Result<Vec<SecretRow>> {
    sqlx::query_as("SELECT * FROM secrets WHERE arn > ?1 ORDER BY arn LIMIT ?2")
        .bind(arn)
        .bind(limit)
        .fetch_all(db)
        .await
}

/// Replaces a sealed value.
pub(super) async fn set_sealed(db: &mut SqliteConnection, seq: i64, sealed: &[u8]) -> Result<()> {
    sqlx::query("UPDATE versions SET sealed = ?2 WHERE seq = ?1")
        .bind(seq)
        .bind(sealed)
        .execute(db)
        .await
        .map(drop)
}
