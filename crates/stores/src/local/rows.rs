//! SQL of the store, one function a statement, over one connection.
//!
//! # Failure modes
//! - Two processes read, decide and write at once. Every write runs in a transaction that took the
//!   write lock before its first read (BEGIN IMMEDIATE, in `mod.rs`).

use std::collections::BTreeMap;

use sqlx::{FromRow, Row, SqliteConnection};

use super::labels::Labels;
use super::naming::SecretId;
use crate::VersionId;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// One secret. Times are milliseconds since 1970.
#[derive(Debug, Clone, FromRow)]
pub(super) struct SecretRow {
    pub arn: String,
    pub name: String,
    pub description: Option<String>,
    /// The id of the request; the store seals with its own key.
    pub kms_key_id: Option<String>,
    pub created: i64,
    pub changed: i64,
    pub deleted: Option<i64>,
    pub due: Option<i64>,
    /// The seal of the labels; see `labels::seal`.
    pub label_seal: Option<Vec<u8>>,
    /// The ARN of the function that rotates the secret.
    pub rotation_function: Option<String>,
    /// Whether RotateSecret set the function, and CancelRotateSecret did not follow.
    pub rotation_enabled: bool,
    /// The last success of the function.
    pub rotated: Option<i64>,
    /// Its version.
    pub rotated_version: Option<String>,
    /// The day of the last read through the served store.
    pub accessed: Option<i64>,
}

/// One sealed version.
#[derive(Debug, Clone)]
pub(super) struct VersionRow {
    pub id: String,
    pub is_text: bool,
    pub sealed: Vec<u8>,
    pub created: i64,
}

/// A secret with its labels and the requested version, if it exists.
#[derive(Debug)]
pub(super) struct FoundSecret {
    pub secret: SecretRow,
    pub labels: Labels,
    pub version: Option<VersionRow>,
}

/// Reference to a version of a secret.
#[derive(Debug, Clone, Copy)]
pub(super) enum VersionRef<'a> {
    Id(&'a VersionId),
    Label(&'a str),
}

/// The current time by SQLite's clock. The store sets the times of its rows itself, as AWS does; no
/// decision of a rotation depends on them.
pub(super) async fn now(db: &mut SqliteConnection) -> Result<i64> {
    sqlx::query_scalar("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)")
        .fetch_one(db)
        .await
}

/// Deletes the secrets whose recovery window is over.
pub(super) async fn purge(db: &mut SqliteConnection) -> Result<()> {
    sqlx::query("DELETE FROM secrets WHERE due <= unixepoch('subsec') * 1000")
        .execute(db)
        .await
        .map(drop)
}

/// The sealed text of the file.
pub(super) async fn check(db: &mut SqliteConnection) -> Result<Option<Vec<u8>>> {
    sqlx::query_scalar("SELECT sealed FROM key_check")
        .fetch_optional(db)
        .await
}

/// Stores the sealed text of the file.
pub(super) async fn set_check(db: &mut SqliteConnection, sealed: &[u8]) -> Result<()> {
    sqlx::query(
        "INSERT INTO key_check (id, sealed) VALUES (1, ?1) \
         ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed",
    )
    .bind(sealed)
    .execute(db)
    .await
    .map(drop)
}

/// Finds a secret by name or ARN, in one statement: each is a round trip to SQLite's thread.
pub(super) async fn find(
    db: &mut SqliteConnection,
    secret: &str,
    which: Option<VersionRef<'_>>,
) -> Result<Option<FoundSecret>> {
    let (name, arn) = match SecretId::parse(secret) {
        SecretId::Name(name) => (Some(name), None),
        SecretId::Arn(arn) => (None, Some(arn)),
    };
    let (id, label) = match which {
        Some(VersionRef::Id(id)) => (Some(&id.0), None),
        Some(VersionRef::Label(label)) => (None, Some(label)),
        None => (None, None),
    };
    let row = sqlx::query(
        "SELECT s.*, v.id, v.is_text, v.sealed, v.created AS version_created, \
             (SELECT json_group_array(json_array(version.id, label.label)) FROM versions version \
                LEFT JOIN labels label ON label.secret = version.secret AND label.version = version.id \
               WHERE version.secret = s.arn) AS labels \
           FROM secrets s LEFT JOIN versions v ON v.secret = s.arn \
                AND v.id = COALESCE(?3, (SELECT version FROM labels WHERE secret = s.arn AND label = ?4)) \
          WHERE (s.name = ?1 OR s.arn = ?2) AND (s.due IS NULL OR s.due > unixepoch('subsec') * 1000)",
    )
    .bind(name)
    .bind(arn)
    .bind(id)
    .bind(label)
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let id: Option<String> = row.try_get("id")?;
    let version = |id| -> Result<VersionRow> {
        Ok(VersionRow {
            id,
            is_text: row.try_get("is_text")?,
            sealed: row.try_get("sealed")?,
            created: row.try_get("version_created")?,
        })
    };
    let labels: String = row.try_get("labels")?;
    let labels =
        serde_json::from_str(&labels).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Some(FoundSecret {
        secret: SecretRow::from_row(&row)?,
        labels: grouped(labels),
        version: id.map(version).transpose()?,
    }))
}

/// All secrets by name.
pub(super) async fn all(db: &mut SqliteConnection) -> Result<Vec<SecretRow>> {
    sqlx::query_as(
        "SELECT * FROM secrets WHERE due IS NULL OR due > unixepoch('subsec') * 1000 ORDER BY name",
    )
    .fetch_all(db)
    .await
}

/// All secrets, including those whose recovery window is over.
pub(super) async fn every(db: &mut SqliteConnection) -> Result<Vec<SecretRow>> {
    sqlx::query_as("SELECT * FROM secrets").fetch_all(db).await
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

/// Stores whether a secret is marked for deletion.
pub(super) async fn mark(db: &mut SqliteConnection, row: &SecretRow) -> Result<()> {
    sqlx::query("UPDATE secrets SET deleted = ?2, due = ?3 WHERE arn = ?1")
        .bind(&row.arn)
        .bind(row.deleted)
        .bind(row.due)
        .execute(db)
        .await
        .map(drop)
}

/// Stores the columns that UpdateSecret changes, and returns the time of the change.
pub(super) async fn touch(db: &mut SqliteConnection, row: &SecretRow) -> Result<i64> {
    sqlx::query_scalar(
        "UPDATE secrets SET description = ?2, kms_key_id = ?3, \
                changed = CAST(unixepoch('subsec') * 1000 AS INTEGER) \
          WHERE arn = ?1 RETURNING changed",
    )
    .bind(&row.arn)
    .bind(&row.description)
    .bind(&row.kms_key_id)
    .fetch_one(db)
    .await
}

/// Stores the function that rotates a secret, and whether it does.
pub(super) async fn set_function(
    db: &mut SqliteConnection,
    arn: &str,
    function: Option<&str>,
    enabled: bool,
) -> Result<()> {
    sqlx::query("UPDATE secrets SET rotation_function = ?2, rotation_enabled = ?3 WHERE arn = ?1")
        .bind(arn)
        .bind(function)
        .bind(enabled)
        .execute(db)
        .await
        .map(drop)
}

/// Stores that the function of a secret has rotated it to this version now.
pub(super) async fn set_rotated(
    db: &mut SqliteConnection,
    arn: &str,
    version: &VersionId,
) -> Result<()> {
    sqlx::query(
        "UPDATE secrets SET rotated = CAST(unixepoch('subsec') * 1000 AS INTEGER), \
                rotated_version = ?2 \
          WHERE arn = ?1",
    )
    .bind(arn)
    .bind(&version.0)
    .execute(db)
    .await
    .map(drop)
}

/// Whether the day of a secret's last read is before today, or unknown.
pub(super) async fn is_read_before_today(db: &mut SqliteConnection, arn: &str) -> Result<bool> {
    let day: Option<i64> = sqlx::query_scalar(
        "SELECT 1 FROM secrets WHERE arn = ?1 \
         AND COALESCE(accessed, 0) < unixepoch('now', 'start of day') * 1000",
    )
    .bind(arn)
    .fetch_optional(db)
    .await?;
    Ok(day.is_some())
}

/// Stores today as the day of a secret's last read.
pub(super) async fn set_read_today(db: &mut SqliteConnection, arn: &str) -> Result<()> {
    sqlx::query(
        "UPDATE secrets SET accessed = unixepoch('now', 'start of day') * 1000 WHERE arn = ?1",
    )
    .bind(arn)
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

/// The ids and creation times of a secret's versions, newest first.
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

/// Replaces the value of a version.
pub(super) async fn replace_value(
    db: &mut SqliteConnection,
    arn: &str,
    row: &VersionRow,
) -> Result<()> {
    sqlx::query("UPDATE versions SET is_text = ?3, sealed = ?4 WHERE secret = ?1 AND id = ?2")
        .bind(arn)
        .bind(&row.id)
        .bind(row.is_text)
        .bind(&row.sealed)
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

/// All versions of a secret with their labels.
pub(super) async fn labels(db: &mut SqliteConnection, arn: &str) -> Result<Labels> {
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT v.id, l.label FROM versions v \
         LEFT JOIN labels l ON l.secret = v.secret AND l.version = v.id WHERE v.secret = ?1",
    )
    .bind(arn)
    .fetch_all(db)
    .await?;
    Ok(grouped(rows))
}

fn grouped(rows: Vec<(String, Option<String>)>) -> Labels {
    let mut labels = Labels::new();
    for (id, label) in rows {
        labels.entry(VersionId(id)).or_default().extend(label);
    }
    labels
}

/// Changes the labels of a secret from `before` to `after`.
pub(super) async fn set_labels(
    db: &mut SqliteConnection,
    arn: &str,
    before: &Labels,
    after: &Labels,
) -> Result<()> {
    let (before, after) = (by_label(before), by_label(after));
    if before.keys().any(|label| !after.contains_key(label)) {
        delete_labels(db, arn).await?;
    }
    sqlx::query(
        "INSERT INTO labels (secret, label, version) \
         SELECT ?1, key, value FROM json_each(?2) WHERE true \
         ON CONFLICT (secret, label) DO UPDATE SET version = excluded.version",
    )
    .bind(arn)
    .bind(serde_json::json!(after).to_string())
    .execute(db)
    .await
    .map(drop)
}

pub(super) async fn delete_labels(db: &mut SqliteConnection, arn: &str) -> Result<()> {
    sqlx::query("DELETE FROM labels WHERE secret = ?1")
        .bind(arn)
        .execute(db)
        .await
        .map(drop)
}

/// Stores the seal of a secret's labels.
pub(super) async fn set_label_seal(
    db: &mut SqliteConnection,
    arn: &str,
    seal: &[u8],
) -> Result<()> {
    sqlx::query("UPDATE secrets SET label_seal = ?2 WHERE arn = ?1")
        .bind(arn)
        .bind(seal)
        .execute(db)
        .await
        .map(drop)
}

fn by_label(labels: &Labels) -> BTreeMap<&str, &str> {
    let mut by_label = BTreeMap::new();
    for (id, on_it) in labels {
        by_label.extend(on_it.iter().map(|label| (label.as_str(), id.0.as_str())));
    }
    by_label
}

pub(super) async fn tags(db: &mut SqliteConnection, arn: &str) -> Result<BTreeMap<String, String>> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT key, value FROM tags WHERE secret = ?1")
            .bind(arn)
            .fetch_all(db)
            .await?;
    Ok(rows.into_iter().collect())
}

/// Replaces the tags of a secret.
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
