//! Conversion of rows into the journal's types.

use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use uuid::Uuid;

use crate::journal::{Actor, CurrentRefusal, Pause, Run, SecretSummary, Step};
use crate::schedule::Window;
use twinkey_core::code::{Code, Problem};
use twinkey_stores::VersionId;

/// A row of `runs`.
pub(super) fn run(row: &SqliteRow, id: &str, steps: Vec<Step>) -> sqlx::Result<Run> {
    Ok(Run {
        id: uuid("id", id)?,
        rotation: row.try_get("rotation")?,
        trigger: row.try_get("trigger")?,
        actor: row
            .try_get::<Option<Json<Actor>>, _>("actor")?
            .map(|Json(actor)| actor),
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

/// A row of `steps`.
pub(super) fn step(row: &SqliteRow) -> sqlx::Result<Step> {
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
    let Some(code) = code(row, "error_code")? else {
        return Ok(None);
    };
    Ok(Some(Problem {
        code,
        message: row.try_get("error_message")?,
        hint: row.try_get("error_hint")?,
    }))
}

/// The secret of a row of `rotations`, if it was observed.
pub(super) fn seen(row: &SqliteRow) -> sqlx::Result<Option<SecretSummary>> {
    let Some(engine) = row.try_get("engine")? else {
        return Ok(None);
    };
    Ok(Some(SecretSummary {
        engine,
        host: row.try_get("host")?,
        port: row.try_get("port")?,
        active_user: row.try_get("active_user")?,
        standby_user: row.try_get("standby_user")?,
    }))
}

/// The refusal of AWSCURRENT in a row of `rotations`.
pub(super) fn refusal(row: &SqliteRow) -> sqlx::Result<Option<CurrentRefusal>> {
    let Some(text) = row.try_get::<Option<String>, _>("refused")? else {
        return Ok(None);
    };
    let problem = serde_json::from_str(&text).map_err(|error| corrupt("refused", error))?;
    let since = time(row, "refused_since")?;
    Ok(Some(CurrentRefusal { since, problem }))
}

/// A column with an error code that may be null.
pub(super) fn code(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Code>> {
    let Some(text) = row.try_get::<Option<String>, _>(column)? else {
        return Ok(None);
    };
    let code = Code::ALL.into_iter().find(|code| code.as_str() == text);
    let unknown = || corrupt(column, format!("{text:?} is no error code"));
    code.ok_or_else(unknown).map(Some)
}

/// The pause of a row of `rotations`.
pub(super) fn pause(row: &SqliteRow) -> sqlx::Result<Option<Pause>> {
    if !row.try_get::<bool, _>("paused")? {
        return Ok(None);
    }
    let pause: Option<Json<Pause>> = row.try_get("pause")?;
    // A version before the records wrote no details.
    Ok(Some(pause.map(|Json(pause)| pause).unwrap_or_default()))
}

pub(super) fn uuid(column: &str, text: &str) -> sqlx::Result<Uuid> {
    Uuid::try_parse(text).map_err(|error| corrupt(column, error))
}

pub(super) fn time(row: &SqliteRow, column: &str) -> sqlx::Result<DateTime<Utc>> {
    let micros: i64 = row.try_get(column)?;
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| corrupt(column, format!("{micros} is not a time")))
}

/// A column of microseconds that may be null.
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
