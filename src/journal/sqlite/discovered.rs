//! Listings for `[[discover]]`, and the secrets that they found.

use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{Row, SqliteConnection};

use super::{TransactionError, audit, decode};
use crate::journal::discovered::GONE_FOR;
use crate::journal::{ArmingChange, KnownSecret, Listing, ListingClaim, ListingState};
use twinkey_core::code::Problem;

/// Claims a listing, if it is due.
pub(super) async fn claim(db: &mut SqliteConnection, claim: &ListingClaim) -> sqlx::Result<bool> {
    let claimed = sqlx::query(
        "INSERT INTO discovery_listings (query, store, due, asked, worker)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (query) DO UPDATE
            SET due = excluded.due, asked = excluded.asked, worker = excluded.worker
          WHERE ?6 OR discovery_listings.due <= excluded.asked OR discovery_listings.due > ?7",
    )
    .bind(&claim.query)
    .bind(&claim.store)
    .bind(claim.claimed_until().timestamp_micros())
    .bind(claim.now.timestamp_micros())
    .bind(&claim.worker)
    .bind(claim.at_once)
    .bind(claim.latest().timestamp_micros())
    .execute(db)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Records why a listing was not complete.
pub(super) async fn fail(
    db: &mut SqliteConnection,
    claim: &ListingClaim,
    problem: &Problem,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE discovery_listings SET problem = ?2, due = ?3 WHERE query = ?1")
        .bind(&claim.query)
        .bind(Json(problem))
        .bind(claim.retried().timestamp_micros())
        .execute(db)
        .await?;
    Ok(())
}

/// Records a complete listing.
pub(super) async fn record(
    db: &mut SqliteConnection,
    claim: &ListingClaim,
    listing: &Listing,
) -> Result<(), TransactionError> {
    let mut found = Vec::with_capacity(listing.found.len());
    for secret in &listing.found {
        let document = serde_json::to_string(secret);
        let document = document.map_err(|error| TransactionError::Other(error.to_string()))?;
        found.push((&secret.arn, document));
    }
    let written = sqlx::query(
        "INSERT INTO discovered_secrets (store, arn, listed)
         SELECT ?1, value ->> 0, value ->> 1 FROM json_each(?2) WHERE true
         ON CONFLICT (store, arn) DO UPDATE
            SET listed = excluded.listed, gone = NULL, gone_at = NULL
          WHERE discovered_secrets.listed <> excluded.listed
             OR discovered_secrets.gone IS NOT NULL",
    )
    .bind(&claim.store)
    .bind(serde_json::json!(found).to_string())
    .execute(&mut *db)
    .await?;
    let gone = sqlx::query(
        "UPDATE discovered_secrets SET gone = one.value ->> 1, gone_at = ?3
           FROM json_each(?2) AS one
          WHERE store = ?1 AND arn = one.value ->> 0 AND gone IS NULL",
    )
    .bind(&claim.store)
    .bind(serde_json::json!(listing.gone).to_string())
    .bind(claim.now.timestamp_micros())
    .execute(&mut *db)
    .await?;
    sqlx::query("DELETE FROM discovered_secrets WHERE gone_at < ?1 AND armed IS NULL")
        .bind((claim.now - GONE_FOR).timestamp_micros())
        .execute(&mut *db)
        .await?;
    let changed = written.rows_affected() + gone.rows_affected() > 0;
    sqlx::query(
        "UPDATE discovery_listings
            SET listed = ?2, due = ?3, problem = NULL, revision = revision + ?4
          WHERE query = ?1",
    )
    .bind(&claim.query)
    .bind(claim.now.timestamp_micros())
    .bind(claim.latest().timestamp_micros())
    .bind(changed)
    .execute(db)
    .await?;
    Ok(())
}

/// The state of each listing.
pub(super) async fn listings(db: &mut SqliteConnection) -> sqlx::Result<Vec<ListingState>> {
    let rows = sqlx::query("SELECT * FROM discovery_listings ORDER BY query")
        .fetch_all(db)
        .await?;
    let state = |row: &SqliteRow| {
        let problem: Option<Json<Problem>> = row.try_get("problem")?;
        Ok(ListingState {
            query: row.try_get("query")?,
            store: row.try_get("store")?,
            asked: decode::time(row, "asked")?,
            listed: decode::time_or_none(row, "listed")?,
            problem: problem.map(|Json(problem)| problem),
            revision: row.try_get("revision")?,
        })
    };
    rows.iter().map(state).collect()
}

/// All secrets that were found.
pub(super) async fn known(db: &mut SqliteConnection) -> sqlx::Result<Vec<KnownSecret>> {
    let rows = sqlx::query("SELECT * FROM discovered_secrets ORDER BY store, arn")
        .fetch_all(db)
        .await?;
    let secret = |row: &SqliteRow| {
        let listed: Json<_> = row.try_get("listed")?;
        Ok(KnownSecret {
            store: row.try_get("store")?,
            listed: listed.0,
            gone: row.try_get("gone")?,
            rotation: row.try_get("rotation")?,
            armed: decode::time_or_none(row, "armed")?,
            refusal: row.try_get("refusal")?,
        })
    };
    rows.iter().map(secret).collect()
}

/// Records changes, each unless another process has recorded it.
pub(super) async fn arm(
    db: &mut SqliteConnection,
    changes: &[ArmingChange],
) -> Result<(), TransactionError> {
    for change in changes {
        let before = &change.before;
        let written = sqlx::query(
            "UPDATE discovered_secrets
                SET rotation = COALESCE(?3, rotation), armed = ?4, refusal = ?5
              WHERE store = ?1 AND arn = ?2 AND (armed IS NULL) = ?6 AND refusal IS ?7",
        )
        .bind(&before.store)
        .bind(&before.listed.arn)
        .bind(&change.rotation)
        .bind(change.armed.map(|at| at.timestamp_micros()))
        .bind(&change.refusal)
        .bind(before.armed.is_none())
        .bind(&before.refusal)
        .execute(&mut *db)
        .await?;
        if let (1, Some(record)) = (written.rows_affected(), &change.record) {
            audit::append(db, record).await?;
        }
    }
    Ok(())
}
