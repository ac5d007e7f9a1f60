//! Listings for `[[discover]]`, and the secrets that they found.

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::types::Json;

use super::{audit, storable};
use crate::journal::discovered::GONE_FOR;
use crate::journal::error::TransactionError;
use crate::journal::{ArmingChange, KnownSecret, Listing, ListingClaim, ListingState};
use twinkey_core::code::Problem;

/// Claims a listing, if it is due.
pub(super) async fn claim(pool: &PgPool, claim: &ListingClaim) -> Result<bool, TransactionError> {
    let claimed = sqlx::query(
        "INSERT INTO discovery_listings AS own (query, store, due, asked, worker)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (query) DO UPDATE
            SET due = excluded.due, asked = excluded.asked, worker = excluded.worker
          WHERE $6 OR own.due <= excluded.asked OR own.due > $7",
    )
    .bind(storable(&claim.query))
    .bind(&claim.store)
    .bind(claim.claimed_until())
    .bind(claim.now)
    .bind(&claim.worker)
    .bind(claim.at_once)
    .bind(claim.latest())
    .execute(pool)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Records why a listing was not complete.
pub(super) async fn fail(
    pool: &PgPool,
    claim: &ListingClaim,
    problem: &Problem,
) -> Result<(), TransactionError> {
    let problem = Problem {
        message: storable(&problem.message),
        hint: storable(&problem.hint),
        ..problem.clone()
    };
    sqlx::query("UPDATE discovery_listings SET problem = $2, due = $3 WHERE query = $1")
        .bind(storable(&claim.query))
        .bind(Json(problem))
        .bind(claim.retried())
        .execute(pool)
        .await?;
    Ok(())
}

/// Records a complete listing.
pub(super) async fn record(
    db: &mut PgConnection,
    claim: &ListingClaim,
    listing: &Listing,
) -> Result<(), TransactionError> {
    let mut found = Vec::with_capacity(listing.found.len());
    for secret in &listing.found {
        let document = serde_json::to_string(secret);
        let document = document.map_err(|error| TransactionError::Other(error.to_string()))?;
        found.push((storable(&secret.arn), document));
    }
    found.sort();
    found.dedup_by(|a, b| a.0 == b.0);
    let (arns, documents): (Vec<String>, Vec<String>) = found.into_iter().unzip();
    let written = sqlx::query(
        "INSERT INTO discovered_secrets AS own (store, arn, listed)
         SELECT $1, arn, listed FROM unnest($2::text[], $3::text[]) AS one (arn, listed)
          ORDER BY arn
         ON CONFLICT (store, arn) DO UPDATE
            SET listed = excluded.listed, gone = NULL, gone_at = NULL
          WHERE own.listed <> excluded.listed OR own.gone IS NOT NULL",
    )
    .bind(&claim.store)
    .bind(&arns[..])
    .bind(&documents[..])
    .execute(&mut *db)
    .await?;
    let (arns, reasons): (Vec<String>, Vec<String>) = listing
        .gone
        .iter()
        .map(|(arn, why)| (storable(arn), storable(why)))
        .unzip();
    let gone = sqlx::query(
        "UPDATE discovered_secrets AS own SET gone = one.why, gone_at = $4
           FROM unnest($2::text[], $3::text[]) AS one (arn, why)
          WHERE own.store = $1 AND own.arn = one.arn AND own.gone IS NULL",
    )
    .bind(&claim.store)
    .bind(&arns[..])
    .bind(&reasons[..])
    .bind(claim.now)
    .execute(&mut *db)
    .await?;
    sqlx::query("DELETE FROM discovered_secrets WHERE gone_at < $1 AND armed IS NULL")
        .bind(claim.now - GONE_FOR)
        .execute(&mut *db)
        .await?;
    let changed = written.rows_affected() + gone.rows_affected() > 0;
    sqlx::query(
        "UPDATE discovery_listings
            SET listed = $2, due = $3, problem = NULL, revision = revision + $4
          WHERE query = $1",
    )
    .bind(storable(&claim.query))
    .bind(claim.now)
    .bind(claim.latest())
    .bind(i64::from(changed))
    .execute(db)
    .await?;
    Ok(())
}

/// The state of each listing.
pub(super) async fn listings(pool: &PgPool) -> Result<Vec<ListingState>, TransactionError> {
    let rows = sqlx::query("SELECT * FROM discovery_listings ORDER BY query")
        .fetch_all(pool)
        .await?;
    let state = |row: &PgRow| {
        let problem: Option<Json<Problem>> = row.try_get("problem")?;
        Ok(ListingState {
            query: row.try_get("query")?,
            store: row.try_get("store")?,
            asked: row.try_get("asked")?,
            listed: row.try_get("listed")?,
            problem: problem.map(|Json(problem)| problem),
            revision: row.try_get("revision")?,
        })
    };
    Ok(rows.iter().map(state).collect::<sqlx::Result<_>>()?)
}

/// All secrets that were found.
pub(super) async fn known(pool: &PgPool) -> Result<Vec<KnownSecret>, TransactionError> {
    let rows = sqlx::query("SELECT * FROM discovered_secrets ORDER BY store, arn")
        .fetch_all(pool)
        .await?;
    let secret = |row: &PgRow| {
        let listed: String = row.try_get("listed")?;
        Ok(KnownSecret {
            store: row.try_get("store")?,
            listed: serde_json::from_str(&listed).map_err(|error| sqlx::Error::ColumnDecode {
                index: "listed".into(),
                source: error.into(),
            })?,
            gone: row.try_get("gone")?,
            rotation: row.try_get("rotation")?,
            armed: row.try_get("armed")?,
            refusal: row.try_get("refusal")?,
        })
    };
    Ok(rows.iter().map(secret).collect::<sqlx::Result<_>>()?)
}

/// Records changes, each unless another worker has recorded it.
pub(super) async fn arm(
    db: &mut PgConnection,
    changes: &[ArmingChange],
) -> Result<(), TransactionError> {
    for change in changes {
        let before = &change.before;
        let written = sqlx::query(
            "UPDATE discovered_secrets
                SET rotation = COALESCE($3, rotation), armed = $4, refusal = $5
              WHERE store = $1 AND arn = $2 AND (armed IS NULL) = $6
                AND refusal IS NOT DISTINCT FROM $7",
        )
        .bind(&before.store)
        .bind(storable(&before.listed.arn))
        .bind(&change.rotation)
        .bind(change.armed)
        .bind(change.refusal.as_deref().map(storable))
        .bind(before.armed.is_none())
        .bind(&before.refusal)
        .execute(&mut *db)
        .await?;
        if let (1, Some(record)) = (written.rows_affected(), &change.record) {
            audit::append(&mut *db, record).await?;
        }
    }
    Ok(())
}
