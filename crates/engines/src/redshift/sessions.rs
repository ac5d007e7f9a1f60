//! Who is signed in as a user.
//!
//! What can go wrong, and what prevents it:
//! - the admin sees its own sessions only, and "nobody" is wrong: then it cannot be known;
//! - our own proof, closed a moment ago, is still listed: a list that is not empty is read once more;
//! - names are cut off after 50 bytes in the older tables (STV_SESSIONS): SYS_SESSION_HISTORY goes by the
//!   user's number, and is the one that Redshift Serverless has too.
//!
//! It tells since when, and not from where.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use tokio::time::sleep;

use super::Master;
use super::batch::Line;
use super::quote::literal;
use super::rows::Row;
use crate::{EngineError, Session};

const A_MOMENT: Duration = Duration::from_millis(300);

pub(super) async fn of_user(
    master: &Master,
    user: &str,
) -> Result<Option<Vec<Session>>, EngineError> {
    if !master.sees_all {
        return Ok(None);
    }
    let Some(number) = number(master, user).await? else {
        return Ok(Some(Vec::new()));
    };
    let sessions = read(master, user, number).await?;
    if sessions.is_empty() {
        return Ok(Some(sessions));
    }
    sleep(A_MOMENT).await;
    read(master, user, number).await.map(Some)
}

/// The user's number: known from the last look, as a rule.
async fn number(master: &Master, user: &str) -> Result<Option<i64>, EngineError> {
    if let Some(number) = master.numbers.get(user) {
        return Ok(Some(*number));
    }
    let who = Line::plain(format!(
        "SELECT usesysid FROM pg_user WHERE usename = {}",
        literal(user)
    ));
    let found = master.read(&[who]).await?;
    Ok(found[0].first().and_then(|row| row.number(0).ok()?))
}

async fn read(master: &Master, user: &str, number: i64) -> Result<Vec<Session>, EngineError> {
    let ask = Line::plain(format!(
        "SELECT start_time FROM sys_session_history \
         WHERE status = 'active' AND user_id = '{number}' ORDER BY start_time"
    ));
    let rows = master.read(&[ask]).await?;
    Ok(rows[0].iter().map(|row| session(user, row)).collect())
}

fn session(user: &str, row: &Row) -> Session {
    Session {
        user: user.to_owned(),
        client: None,
        application: None,
        since: row.text(0).ok().and_then(|text| instant(&text)),
    }
}

/// `2026-07-17 15:50:12.030104`, in UTC, with or without an offset.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim().trim_end_matches("+00");
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .ok()
        .map(|naive| naive.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_utc_whatever_follows_it() {
        let read = instant("2026-07-17 15:50:12.030104").unwrap();
        assert_eq!(read.to_rfc3339(), "2026-07-17T15:50:12.030104+00:00");
        assert_eq!(instant("2026-07-17 15:50:12.030104+00"), Some(read));
        assert!(instant("2026-07-17 15:50:12").is_some());
        assert_eq!(instant("now"), None);
    }
}
