//! Rows read back as the journal's plain data. A `run`, whatever the query, comes with the steps of
//! its current attempt; a list of any length takes two queries, the whole memory three, and so does that of one rotation.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row, Sqlite, SqliteConnection};
use uuid::Uuid;

use crate::journal::{ClaimRequest, RotationMemory, Run, RunQuery, Seen, Step};
use crate::schedule::Window;
use twinkey_core::code::{Code, Problem};
use twinkey_stores::VersionId;

/// One run.
pub(super) async fn run(db: &mut SqliteConnection, id: Uuid) -> sqlx::Result<Option<Run>> {
    let row = sqlx::query("SELECT * FROM runs WHERE id = ?1")
        .bind(id.to_string())
        .fetch_optional(&mut *db)
        .await?;
    one(db, row).await
}

/// The run of a rotation that has this version id.
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

/// The run of a rotation that is in state running, and until when its claim holds; and the run of this version id, where
/// that is another.
pub(super) async fn running_or_known(
    db: &mut SqliteConnection,
    rotation: &str,
    version: &VersionId,
) -> sqlx::Result<(Option<(Run, DateTime<Utc>)>, Option<Run>)> {
    let sql = "SELECT * FROM runs WHERE rotation = ?1 AND (state = 'running' OR version_id = ?2)";
    let rows = sqlx::query(sql)
        .bind(rotation)
        .bind(&version.0)
        .fetch_all(&mut *db)
        .await?;
    let (mut running, mut known) = (None, None);
    for row in rows {
        let until = time_or_none(&row, "lease_until")?;
        let run = one(db, Some(row)).await?;
        match until {
            Some(until) => running = run.map(|run| (run, until)),
            None => known = run,
        }
    }
    Ok((running, known))
}

/// A run of the window that a request is about, and whether nobody works on it any more.
pub(super) async fn of_window(
    db: &mut SqliteConnection,
    request: &ClaimRequest,
) -> sqlx::Result<Option<(Run, bool)>> {
    let row = sqlx::query(
        "SELECT *, state = 'deferred' OR (state = 'running' AND lease_until <= ?4) AS given_up
           FROM runs WHERE rotation = ?1 AND (version_id = ?2 OR opens = ?3)
          ORDER BY given_up, seq DESC LIMIT 1",
    )
    .bind(&request.rotation)
    .bind(&request.version_id.0)
    .bind(request.window.map(|w| w.opens.timestamp_micros()))
    .bind(request.now.timestamp_micros())
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let given_up = row.try_get("given_up")?;
    Ok(one(db, Some(row)).await?.map(|run| (run, given_up)))
}

/// Runs, newest first. `before` a run that is not there: none.
pub(super) async fn list(db: &mut SqliteConnection, query: &RunQuery) -> sqlx::Result<Vec<Run>> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT * FROM runs WHERE true");
    if let Some(rotation) = &query.rotation {
        sql.push(" AND rotation = ").push_bind(rotation);
    }
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

/// Runs that nobody works on any more and whose time is over: without a live lease or deferred, and
/// without a window or with one that has closed.
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

/// What is remembered, by rotation: of one, or of all. There may be ten thousand, with a run and four steps each:
/// every row is taken as it comes.
pub(super) async fn memory(
    db: &mut SqliteConnection,
    only: Option<&str>,
) -> sqlx::Result<HashMap<String, RotationMemory>> {
    let filter = if only.is_some() {
        "WHERE name = ?1"
    } else {
        ""
    };
    let sql = format!("{REMEMBERED} FROM rotations {filter}");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    if let Some(name) = only {
        query = query.bind(name);
    }
    let mut known = Vec::new();
    let mut rows = query.fetch(&mut *db);
    while let Some(row) = rows.try_next().await? {
        known.push(remembered(&row)?);
    }
    drop(rows);
    let mut runs = last_runs(db, &known).await?;
    for one in &mut known {
        let in_window = one.last_in_window;
        one.memory.last_in_window = in_window.and_then(|seq| runs.get(&seq).cloned());
        one.memory.last_run = one.last.and_then(|seq| runs.remove(&seq));
    }
    add_steps(db, &mut known).await?;
    Ok(known
        .into_iter()
        .map(|one| (one.name, one.memory))
        .collect())
}

/// A rotation, with the places of its last run and of the last that had a window.
const REMEMBERED: &str = "SELECT *,
    (SELECT seq FROM runs WHERE rotation = name ORDER BY started DESC, seq DESC LIMIT 1) AS last,
    (SELECT seq FROM runs WHERE rotation = name AND opens IS NOT NULL
      ORDER BY seq DESC LIMIT 1) AS last_in_window";

/// What is remembered of a rotation, its runs by their places.
struct Remembered {
    name: String,
    /// Without the runs.
    memory: RotationMemory,
    last: Option<i64>,
    last_in_window: Option<i64>,
}

fn remembered(row: &SqliteRow) -> sqlx::Result<Remembered> {
    Ok(Remembered {
        name: row.try_get("name")?,
        memory: RotationMemory {
            paused: row.try_get("paused")?,
            first_seen: time_or_none(row, "first_seen")?,
            last_success: time_or_none(row, "last_success")?,
            last_flip: time_or_none(row, "last_flip")?,
            retired: time_or_none(row, "retired")?,
            last_run: None,
            last_in_window: None,
            seen: seen(row)?,
        },
        last: row.try_get("last")?,
        last_in_window: row.try_get("last_in_window")?,
    })
}

/// The runs that these rotations remember, by their places, without their steps.
async fn last_runs(
    db: &mut SqliteConnection,
    known: &[Remembered],
) -> sqlx::Result<HashMap<i64, Run>> {
    let places = known.iter().flat_map(|one| [one.last, one.last_in_window]);
    let places: Vec<i64> = places.flatten().collect();
    let mut runs = HashMap::new();
    let mut rows = sqlx::query("SELECT * FROM runs WHERE seq IN (SELECT value FROM json_each(?1))")
        .bind(serde_json::json!(places).to_string())
        .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let (seq, id): (i64, String) = (row.try_get("seq")?, row.try_get("id")?);
        runs.insert(seq, decode_run(&row, &id, Vec::new())?);
    }
    Ok(runs)
}

/// Gives the last runs the steps of their current attempts.
async fn add_steps(db: &mut SqliteConnection, known: &mut [Remembered]) -> sqlx::Result<()> {
    let mut runs: HashMap<i64, &mut Run> = (known.iter_mut())
        .filter_map(|one| Some((one.last?, one.memory.last_run.as_mut()?)))
        .collect();
    let places: Vec<i64> = runs.keys().copied().collect();
    let mut rows = sqlx::query(
        "SELECT seq, steps.* FROM runs JOIN steps ON steps.run = id AND steps.attempt = runs.attempt
          WHERE seq IN (SELECT value FROM json_each(?1))",
    )
    .bind(serde_json::json!(places).to_string())
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let seq: i64 = row.try_get("seq")?;
        if let Some(run) = runs.get_mut(&seq) {
            run.steps.push(step(&row)?);
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
            .push(step(row)?);
    }
    rows.iter()
        .zip(ids)
        .map(|(row, id)| {
            let mut steps = steps.remove(&id).unwrap_or_default();
            steps.sort_by_key(|step| step.name);
            decode_run(row, &id, steps)
        })
        .collect()
}

fn decode_run(row: &SqliteRow, id: &str, steps: Vec<Step>) -> sqlx::Result<Run> {
    Ok(Run {
        id: Uuid::try_parse(id).map_err(|error| corrupt("id", error))?,
        rotation: row.try_get("rotation")?,
        trigger: row.try_get("trigger")?,
        reason: row.try_get("reason")?,
        window: window(row)?,
        state: row.try_get("state")?,
        worker: row.try_get("worker")?,
        version_id: VersionId(row.try_get("version_id")?),
        from_user: row.try_get("from_user")?,
        to_user: row.try_get("to_user")?,
        started: time(row, "started")?,
        finished: time_or_none(row, "finished")?,
        attempt: row.try_get("attempt")?,
        steps,
        error: problem(row)?,
    })
}

fn step(row: &SqliteRow) -> sqlx::Result<Step> {
    Ok(Step {
        name: row.try_get("name")?,
        state: row.try_get("state")?,
        started: time(row, "started")?,
        finished: time_or_none(row, "finished")?,
        detail: row.try_get("detail")?,
    })
}

fn window(row: &SqliteRow) -> sqlx::Result<Option<Window>> {
    let (opens, closes) = (time_or_none(row, "opens")?, time_or_none(row, "closes")?);
    Ok(opens
        .zip(closes)
        .map(|(opens, closes)| Window { opens, closes }))
}

fn problem(row: &SqliteRow) -> sqlx::Result<Option<Problem>> {
    let Some(text) = row.try_get::<Option<String>, _>("error_code")? else {
        return Ok(None);
    };
    let code = Code::ALL
        .into_iter()
        .find(|code| code.as_str() == text)
        .ok_or_else(|| corrupt("error_code", format!("{text:?} is no code")))?;
    Ok(Some(Problem {
        code,
        message: row.try_get("error_message")?,
        hint: row.try_get("error_hint")?,
    }))
}

fn seen(row: &SqliteRow) -> sqlx::Result<Option<Seen>> {
    let Some(engine) = row.try_get("engine")? else {
        return Ok(None);
    };
    Ok(Some(Seen {
        engine,
        host: row.try_get("host")?,
        active_user: row.try_get("active_user")?,
        standby_user: row.try_get("standby_user")?,
    }))
}

fn time(row: &SqliteRow, column: &str) -> sqlx::Result<DateTime<Utc>> {
    let micros: i64 = row.try_get(column)?;
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| corrupt(column, format!("{micros} is no time")))
}

pub(super) fn time_or_none(row: &SqliteRow, column: &str) -> sqlx::Result<Option<DateTime<Utc>>> {
    match row.try_get::<Option<i64>, _>(column)? {
        None => Ok(None),
        Some(_) => time(row, column).map(Some),
    }
}

fn corrupt(
    column: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.into(),
        source: source.into(),
    }
}
