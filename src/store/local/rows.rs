//! The store's SQL, one function a statement, over one connection inside a transaction.
//!
//! What can go wrong: two processes read, decide and write at once. Every write runs in a
//! transaction that took the file's write lock before it read (BEGIN IMMEDIATE, in `mod.rs`).

use std::collections::BTreeMap;

use sqlx::{FromRow, SqliteConnection};

use super::labels::Labels;
use super::naming::SecretId;
use crate::store::VersionId;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// One secret. Times are milliseconds since 1970.
#[derive(Debug, Clone, FromRow)]
pub(super) struct SecretRow {
    pub arn: String,
    pub name: String,
    pub description: Option<String>,
    /// As it was given: this store has one key of its own.
    pub kms_key_id: Option<String>,
    pub created: i64,
    pub changed: i64,
    pub deleted: Option<i64>,
    pub due: Option<i64>,
}

/// One version, sealed.
#[derive(Debug, Clone, FromRow)]
pub(super) struct VersionRow {
    pub id: String,
    pub is_text: bool,
    pub sealed: Vec<u8>,
    pub created: i64,
}

/// The store stamps its rows itself, as AWS does: SQLite's clock is the store's, like the service's
/// own clock there. No decision of a rotation rests on it.
pub(super) async fn now(db: &mut SqliteConnection) -> Result<i64> {
    sqlx::query_scalar("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)")
        .fetch_one(db)
        .await
}

/// Removes the secrets whose recovery window is over.
pub(super) async fn purge(db: &mut SqliteConnection) -> Result<()> {
    sqlx::query("DELETE FROM secrets WHERE due <= unixepoch('subsec') * 1000")
        .execute(db)
        .await
        .map(drop)
}

pub(super) async fn find(db: &mut SqliteConnection, secret: &str) -> Result<Option<SecretRow>> {
    let (sql, key) = match SecretId::parse(secret) {
        SecretId::Name(name) => (
            "SELECT * FROM secrets WHERE name = ?1 AND (due IS NULL OR due > unixepoch('subsec') * 1000)",
            name,
        ),
        SecretId::Arn(arn) => (
            "SELECT * FROM secrets WHERE arn = ?1 AND (due IS NULL OR due > unixepoch('subsec') * 1000)",
            arn,
        ),
    };
    sqlx::query_as(sql).bind(key).fetch_optional(db).await
}

/// Every secret, by name.
pub(super) async fn all(db: &mut SqliteConnection) -> Result<Vec<SecretRow>> {
    sqlx::query_as(
        "SELECT * FROM secrets WHERE due IS NULL OR due > unixepoch('subsec') * 1000 ORDER BY name",
    )
    .fetch_all(db)
    .await
}

pub(super) async fn insert_secret(db: &mut SqliteConnection, row: &SecretRow) -> Result<()> {
    sqlx::query(
        "INSERT INTO secrets (arn, name, description, kms_key_id, created, changed) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(&row.arn)
    .bind(&row.name)
    .bind(&row.description)
    .bind(&row.kms_key_id)
    .bind(row.created)
    .bind(row.changed)
    .execute(db)
    .await
    .map(drop)
}

/// Writes back what of a secret may change.
pub(super) async fn update_secret(db: &mut SqliteConnection, row: &SecretRow) -> Result<()> {
    sqlx::query(
        "UPDATE secrets SET description = ?2, changed = ?3, deleted = ?4, due = ?5, kms_key_id = ?6 \
         WHERE arn = ?1",
    )
    .bind(&row.arn)
    .bind(&row.description)
    .bind(row.changed)
    .bind(row.deleted)
    .bind(row.due)
    .bind(&row.kms_key_id)
    .execute(db)
    .await
    .map(drop)
}

pub(super) async fn delete_secret(db: &mut SqliteConnection, arn: &str) -> Result<()> {
    sqlx::query("DELETE FROM secrets WHERE arn = ?1")
        .bind(arn)
        .execute(db)
        .await
        .map(drop)
}

pub(super) async fn version(
    db: &mut SqliteConnection,
    arn: &str,
    id: &VersionId,
) -> Result<Option<VersionRow>> {
    sqlx::query_as(
        "SELECT id, is_text, sealed, created FROM versions WHERE secret = ?1 AND id = ?2",
    )
    .bind(arn)
    .bind(&id.0)
    .fetch_optional(db)
    .await
}

/// The ids of a secret's versions and when they were made, newest first.
pub(super) async fn version_ids(
    db: &mut SqliteConnection,
    arn: &str,
) -> Result<Vec<(VersionId, i64)>> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT id, created FROM versions WHERE secret = ?1 ORDER BY seq DESC")
            .bind(arn)
            .fetch_all(db)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(id, created)| (VersionId(id), created))
        .collect())
}

pub(super) async fn insert_version(
    db: &mut SqliteConnection,
    arn: &str,
    row: &VersionRow,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO versions (secret, id, is_text, sealed, created) VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(arn)
    .bind(&row.id)
    .bind(row.is_text)
    .bind(&row.sealed)
    .bind(row.created)
    .execute(db)
    .await
    .map(drop)
}

pub(super) async fn delete_version(
    db: &mut SqliteConnection,
    arn: &str,
    id: &VersionId,
) -> Result<()> {
    sqlx::query("DELETE FROM versions WHERE secret = ?1 AND id = ?2")
        .bind(arn)
        .bind(&id.0)
        .execute(db)
        .await
        .map(drop)
}

/// Every version of a secret with its labels.
pub(super) async fn labels(db: &mut SqliteConnection, arn: &str) -> Result<Labels> {
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT v.id, l.label FROM versions v \
         LEFT JOIN labels l ON l.secret = v.secret AND l.version = v.id WHERE v.secret = ?1",
    )
    .bind(arn)
    .fetch_all(db)
    .await?;
    let mut labels = Labels::new();
    for (id, label) in rows {
        labels.entry(VersionId(id)).or_default().extend(label);
    }
    Ok(labels)
}

/// Makes the labels of a secret exactly these.
pub(super) async fn set_labels(
    db: &mut SqliteConnection,
    arn: &str,
    labels: &Labels,
) -> Result<()> {
    sqlx::query("DELETE FROM labels WHERE secret = ?1")
        .bind(arn)
        .execute(&mut *db)
        .await?;
    let by_label: BTreeMap<&String, &String> = labels
        .iter()
        .flat_map(|(id, on_it)| on_it.iter().map(move |label| (label, &id.0)))
        .collect();
    sqlx::query(
        "INSERT INTO labels (secret, label, version) SELECT ?1, key, value FROM json_each(?2)",
    )
    .bind(arn)
    .bind(serde_json::json!(by_label).to_string())
    .execute(db)
    .await
    .map(drop)
}

pub(super) async fn tags(db: &mut SqliteConnection, arn: &str) -> Result<BTreeMap<String, String>> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT key, value FROM tags WHERE secret = ?1")
            .bind(arn)
            .fetch_all(db)
            .await?;
    Ok(rows.into_iter().collect())
}

/// Makes the tags of a secret exactly these.
pub(super) async fn set_tags(
    db: &mut SqliteConnection,
    arn: &str,
    tags: &BTreeMap<String, String>,
) -> Result<()> {
    sqlx::query("DELETE FROM tags WHERE secret = ?1")
        .bind(arn)
        .execute(&mut *db)
        .await?;
    for (key, value) in tags {
        sqlx::query("INSERT INTO tags (secret, key, value) VALUES (?1, ?2, ?3)")
            .bind(arn)
            .bind(key)
            .bind(value)
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}
