//! Reads of runs and rotation records.
//!
//! A run includes the steps of its current attempt. A list of any length takes two queries;
//! rotation records, of all rotations or of one, take three.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, QueryBuilder, Row, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::decode;
use crate::journal::{ClaimRequest, RecordChanges, Revision, RotationRecord, Run, RunQuery, Step};
use twinkey_stores::VersionId;

/// One run.
pub(super) async fn run(db: &mut SqliteConnection, id: Uuid) -> sqlx::Result<Option<Run>> {
    let row = sqlx::query("SELECT * FROM runs WHERE id = ?1")
        .bind(id.to_string())
        .fetch_optional(&mut *db)
        .await?;
    one(db, row).await
}

/// The run of a rotation with this version id.
pub(super) async fn by_version(
    db: &mut SqliteConnection,
    rotation: &str,
    version: &VersionId,
) -> sqlx::Result<Option<Run>> {
    let row = sqlx::query("SELECT * FROM runs WHERE rotation = ?1 AND version_id = ?2")
        .bind(rotation)
        .bind(&version.0)
        .fetch_optional(&mut *db)
        .await?;
    one(db, row).await
}

/// The running run of a rotation with the end of its lease, and the run of the requested version if
/// that is another; without one, the run that waits under the provisional id.
pub(super) async fn running_or_known(
    db: &mut SqliteConnection,
    request: &ClaimRequest,
) -> sqlx::Result<(Option<(Run, DateTime<Utc>)>, Option<Run>)> {
    let rows = sqlx::query(
        "SELECT * FROM runs
          WHERE rotation = ?1 AND (state = 'running' OR version_id = ?2
                                   OR (version_id = ?3 AND state = 'deferred'))
          ORDER BY version_id = ?2",
    )
    .bind(&request.rotation)
    .bind(&request.version_id.0)
    .bind(request.provisional.as_ref().map(|id| &id.0))
    .fetch_all(&mut *db)
    .await?;
    let (mut running, mut known) = (None, None);
    for row in rows {
        let until = decode::time_or_none(&row, "lease_until")?;
        let run = one(db, Some(row)).await?;
        match until {
            Some(until) => running = run.map(|run| (run, until)),
            None => known = run,
        }
    }
    Ok((running, known))
}

/// A run of the requested window, and whether it is abandoned.
pub(super) async fn of_window(
    db: &mut SqliteConnection,
    request: &ClaimRequest,
) -> sqlx::Result<Option<(Run, bool)>> {
    let row = sqlx::query(
        "SELECT *, state = 'deferred' OR (state = 'running' AND lease_until <= ?4) AS abandoned
           FROM runs WHERE rotation = ?1 AND (version_id = ?2 OR opens = ?3)
          ORDER BY abandoned, seq DESC LIMIT 1",
    )
    .bind(&request.rotation)
    .bind(&request.version_id.0)
    .bind(request.window.map(|w| w.opens.timestamp_micros()))
    .bind(request.now.timestamp_micros())
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let abandoned = row.try_get("abandoned")?;
    Ok(one(db, Some(row)).await?.map(|run| (run, abandoned)))
}

/// Restricts a query to one rotation, to these rotations, and to those that match a pattern.
pub(super) fn of_rotations(
    sql: &mut QueryBuilder<Sqlite>,
    rotation: Option<&str>,
    rotations: Option<&[String]>,
    patterns: Option<&[String]>,
) {
    if let Some(rotation) = rotation {
        sql.push(" AND rotation = ").push_bind(rotation.to_owned());
    }
    if let Some(rotations) = rotations {
        sql.push(" AND rotation IN (SELECT value FROM json_each(")
            .push_bind(Json(rotations.to_vec()))
            .push("))");
    }
    if let Some(patterns) = patterns {
        // In GLOB, a bracket begins a set of characters.
        let globs = patterns.iter().map(|one| one.replace('[', "[[]"));
        sql.push(" AND EXISTS (SELECT 1 FROM json_each(")
            .push_bind(Json(globs.collect::<Vec<_>>()))
            .push(") AS pattern WHERE rotation GLOB pattern.value)");
    }
}

/// Runs, newest first; none if `before` does not exist.
pub(super) async fn list(db: &mut SqliteConnection, query: &RunQuery) -> sqlx::Result<Vec<Run>> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT * FROM runs WHERE true");
    of_rotations(
        &mut sql,
        query.rotation.as_deref(),
        query.rotations.as_deref(),
        query.patterns.as_deref(),
    );
    if let Some(state) = query.state {
        sql.push(" AND state = ").push_bind(state);
    }
    if let Some(before) = query.before {
        sql.push(" AND (started, seq) < (SELECT started, seq FROM runs WHERE id = ")
            .push_bind(before.to_string())
            .push(")");
    }
    sql.push(" ORDER BY started DESC, seq DESC LIMIT ")
        .push_bind(query.limit);
    let rows = sql.build().fetch_all(&mut *db).await?;
    with_steps(db, &rows).await
}

/// Abandoned runs whose time is over: deferred or without a live lease, and without a window or
/// with a closed one.
pub(super) async fn abandoned(
    db: &mut SqliteConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Run>> {
    let rows = sqlx::query(
        "SELECT * FROM runs
          WHERE (state = 'deferred' OR (state = 'running' AND lease_until <= ?1))
            AND (closes IS NULL OR closes <= ?1)",
    )
    .bind(now.timestamp_micros())
    .fetch_all(&mut *db)
    .await?;
    with_steps(db, &rows).await
}

/// The records of all rotations or of these, by name. There may be ten thousand with a run and four
/// steps each: rows are processed one at a time.
pub(super) async fn rotation_records(
    db: &mut SqliteConnection,
    only: Option<&[&str]>,
) -> sqlx::Result<HashMap<String, RotationRecord>> {
    let filter = if only.is_some() {
        "WHERE name IN (SELECT value FROM json_each(?1))"
    } else {
        ""
    };
    let sql = format!("{SELECT_RECORD} FROM rotations {filter}");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    if let Some(names) = only {
        query = query.bind(serde_json::json!(names).to_string());
    }
    let mut known = Vec::new();
    let mut rows = query.fetch(&mut *db);
    while let Some(row) = rows.try_next().await? {
        known.push(numbered_record(&row)?);
    }
    drop(rows);
    let mut runs = last_runs(db, &known).await?;
    for one in &mut known {
        let in_window = one.last_in_window;
        one.record.last_in_window = in_window.and_then(|seq| runs.get(&seq).cloned());
        one.record.last_run = one.last.and_then(|seq| runs.remove(&seq));
    }
    add_steps(db, &mut known).await?;
    Ok(known
        .into_iter()
        .map(|one| (one.name, one.record))
        .collect())
}

/// The rotations whose records changed since a revision.
pub(super) async fn changed_rotations(
    db: &mut SqliteConnection,
    since: Option<Revision>,
) -> sqlx::Result<RecordChanges> {
    let newest: Option<i64> = sqlx::query_scalar("SELECT MAX(revision) FROM rotations")
        .fetch_one(&mut *db)
        .await?;
    let rotations = match since {
        None => Vec::new(),
        Some(Revision(since)) => {
            sqlx::query_scalar("SELECT name FROM rotations WHERE revision > ?1")
                .bind(since)
                .fetch_all(db)
                .await?
        }
    };
    Ok(RecordChanges {
        revision: Revision(newest.unwrap_or_default()),
        rotations,
    })
}

/// A rotation with the numbers of its last run and of its last run of a window.
const SELECT_RECORD: &str = "SELECT *,
    (SELECT seq FROM runs WHERE rotation = name ORDER BY started DESC, seq DESC LIMIT 1) AS last,
    (SELECT seq FROM runs WHERE rotation = name AND opens IS NOT NULL
      ORDER BY seq DESC LIMIT 1) AS last_in_window,
    (SELECT changed FROM known_versions
      WHERE rotation = name AND label = 'AWSCURRENT') AS changed";

/// A rotation record with the numbers of its runs.
struct NumberedRecord {
    name: String,
    /// Without the runs at first.
    record: RotationRecord,
    last: Option<i64>,
    last_in_window: Option<i64>,
}

fn numbered_record(row: &SqliteRow) -> sqlx::Result<NumberedRecord> {
    Ok(NumberedRecord {
        name: row.try_get("name")?,
        record: RotationRecord {
            paused: decode::pause(row)?,
            first_seen: decode::time_or_none(row, "first_seen")?,
            last_success: decode::time_or_none(row, "last_success")?,
            last_flip: decode::time_or_none(row, "last_flip")?,
            changed: decode::time_or_none(row, "changed")?,
            retired: decode::time_or_none(row, "retired")?,
            refused: decode::refusal(row)?,
            last_run: None,
            last_in_window: None,
            seen: decode::seen(row)?,
        },
        last: row.try_get("last")?,
        last_in_window: row.try_get("last_in_window")?,
    })
}

/// The runs of these records by number, without their steps.
async fn last_runs(
    db: &mut SqliteConnection,
    known: &[NumberedRecord],
) -> sqlx::Result<HashMap<i64, Run>> {
    let numbers = known.iter().flat_map(|one| [one.last, one.last_in_window]);
    let numbers: Vec<i64> = numbers.flatten().collect();
    let mut runs = HashMap::new();
    let mut rows = sqlx::query("SELECT * FROM runs WHERE seq IN (SELECT value FROM json_each(?1))")
        .bind(serde_json::json!(numbers).to_string())
        .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let (seq, id): (i64, String) = (row.try_get("seq")?, row.try_get("id")?);
        runs.insert(seq, decode::run(&row, &id, Vec::new())?);
    }
    Ok(runs)
}

/// Adds the steps of the current attempts to the last runs.
async fn add_steps(db: &mut SqliteConnection, known: &mut [NumberedRecord]) -> sqlx::Result<()> {
    let mut runs: HashMap<i64, &mut Run> = (known.iter_mut())
        .filter_map(|one| Some((one.last?, one.record.last_run.as_mut()?)))
        .collect();
    let numbers: Vec<i64> = runs.keys().copied().collect();
    let mut rows = sqlx::query(
        "SELECT seq, steps.* FROM runs JOIN steps ON steps.run = id AND steps.attempt = runs.attempt
          WHERE seq IN (SELECT value FROM json_each(?1))",
    )
    .bind(serde_json::json!(numbers).to_string())
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let seq: i64 = row.try_get("seq")?;
        if let Some(run) = runs.get_mut(&seq) {
            run.steps.push(decode::step(&row)?);
        }
    }
    for run in runs.into_values() {
        run.steps.sort_by_key(|step| step.name);
    }
    Ok(())
}

async fn one(db: &mut SqliteConnection, row: Option<SqliteRow>) -> sqlx::Result<Option<Run>> {
    Ok(with_steps(db, row.as_slice()).await?.pop())
}

async fn with_steps(db: &mut SqliteConnection, rows: &[SqliteRow]) -> sqlx::Result<Vec<Run>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = rows
        .iter()
        .map(|row| row.try_get("id"))
        .collect::<sqlx::Result<_>>()?;
    let mut steps: HashMap<String, Vec<Step>> = HashMap::new();
    let found = sqlx::query(
        "SELECT steps.* FROM json_each(?1) JOIN runs ON runs.id = json_each.value
           JOIN steps ON steps.run = runs.id AND steps.attempt = runs.attempt",
    )
    .bind(serde_json::json!(ids).to_string())
    .fetch_all(db)
    .await?;
    for row in &found {
        steps
            .entry(row.try_get("run")?)
            .or_default()
            .push(decode::step(row)?);
    }
    rows.iter()
        .zip(ids)
        .map(|(row, id)| {
            let mut steps = steps.remove(&id).unwrap_or_default();
            steps.sort_by_key(|step| step.name);
            decode::run(row, &id, steps)
        })
        .collect()
}
