//! Sessions of one user, with their start but without a client address.
//!
//! # Failure modes
//! - An admin that sees only its own sessions finds none. The result is then "unknown".
//! - The session of a recent sign-in check is still listed. A list that is not empty is read again
//!   after a short delay.
//! - Older tables (STV_SESSIONS) cut user names at 50 bytes. SYS_SESSION_HISTORY contains the
//!   user's number, and Redshift Serverless has it too.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use tokio::time::sleep;

use super::RedshiftAdmin;
use super::api::{BatchStatement, Row};
use super::apply::end_sessions;
use super::quote::literal;
use crate::session_ending::SessionEnding;
use crate::{EngineError, Session};

/// Time until a closed session is no longer listed.
const CLOSING_DELAY: Duration = Duration::from_millis(300);
/// Rounds until every session has ended.
const ROUNDS: u32 = 20;

/// The sessions of `user`; `None` if the admin cannot see them.
pub(super) async fn of_user(
    admin: &RedshiftAdmin,
    user: &str,
) -> Result<Option<Vec<Session>>, EngineError> {
    if !admin.rights.reads_all_relations() {
        return Ok(None);
    }
    let Some(number) = number(admin, user).await? else {
        return Ok(Some(Vec::new()));
    };
    let sessions = read(admin, user, number).await?;
    if sessions.is_empty() {
        return Ok(Some(sessions));
    }
    sleep(CLOSING_DELAY).await;
    read(admin, user, number).await.map(Some)
}

/// The user's number, usually from the last inspection.
async fn number(admin: &RedshiftAdmin, user: &str) -> Result<Option<i64>, EngineError> {
    if let Some(number) = admin.numbers.get(user) {
        return Ok(Some(*number));
    }
    let query = BatchStatement::plain(format!(
        "SELECT usesysid FROM pg_user WHERE usename = {}",
        literal(user)
    ));
    let found = admin.read(&[query]).await?;
    Ok(found[0].first().and_then(|row| row.number(0).ok()?))
}

async fn read(admin: &RedshiftAdmin, user: &str, number: i64) -> Result<Vec<Session>, EngineError> {
    let query = BatchStatement::plain(format!(
        "SELECT start_time FROM sys_session_history \
         WHERE status = 'active' AND user_id = '{number}' ORDER BY start_time"
    ));
    let rows = admin.read(&[query]).await?;
    Ok(rows[0].iter().map(|row| session(user, row)).collect())
}

fn session(user: &str, row: &Row) -> Session {
    Session {
        user: user.to_owned(),
        client: None,
        application: None,
        since: row.text(0).ok().and_then(|text| instant(&text)),
        idle: false,
        pooler: None,
    }
}

/// Parses `2026-07-17 15:50:12.030104`, in UTC, with or without an offset.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim().trim_end_matches("+00");
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .ok()
        .map(|naive| naive.and_utc())
}

/// Ends all sessions of `user`; returns their number.
pub(super) async fn end(admin: &RedshiftAdmin, user: &str) -> Result<usize, EngineError> {
    let Some(number) = number(admin, user).await? else {
        return Ok(0);
    };
    let query = BatchStatement::plain(format!(
        "SELECT session_id FROM sys_session_history WHERE status = 'active' AND user_id = '{number}'"
    ));
    let mut ending = SessionEnding::new(user, ROUNDS, CLOSING_DELAY);
    loop {
        let rows = admin.read(std::slice::from_ref(&query)).await?;
        let ids: Vec<i64> = rows[0]
            .iter()
            .filter_map(|row| row.number(0).ok().flatten())
            .collect();
        if ids.is_empty() {
            return Ok(ending.count());
        }
        // The function is one of the leader node, and cannot be applied to the rows of a view.
        let statements = ids
            .iter()
            .map(|id| BatchStatement::plain(format!("SELECT pg_terminate_backend({id})")));
        let statements: Vec<BatchStatement> = statements.collect();
        end_sessions(admin, &statements).await?;
        ending.finish_round(ids).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_utc_with_or_without_an_offset() {
        let read = instant("2026-07-17 15:50:12.030104").unwrap();
        assert_eq!(read.to_rfc3339(), "2026-07-17T15:50:12.030104+00:00");
        assert_eq!(instant("2026-07-17 15:50:12.030104+00"), Some(read));
        assert!(instant("2026-07-17 15:50:12").is_some());
        assert_eq!(instant("now"), None);
    }
}
