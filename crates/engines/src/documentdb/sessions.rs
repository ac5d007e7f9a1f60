//! Sessions of one user, without their start, which the server does not report.
//!
//! # Failure modes
//! - The master sees only its own sessions, or the server does not report users. The result is then
//!   "unknown", not an empty list.
//! - twinkey's own sign-in checks count as consumers. Their application name is `twinkey`, and they
//!   are excluded.

use mongodb::bson::{Document, doc};

use super::connect::{ADMIN, APPLICATION, Connection};
use super::failure::Failure;
use super::server_info::documents;
use crate::{EngineError, Session};

/// The sessions of `user`; `None` if they cannot be read.
pub(super) async fn of_user(
    connection: &Connection,
    user: &str,
) -> Result<Option<Vec<Session>>, EngineError> {
    match list(connection).await {
        Ok(response) => Ok(read(&documents(&response, "inprog"), user)),
        Err(failure) if failure.is_unauthorized() || failure.is_unsupported() => Ok(None),
        Err(failure) => Err(connection.explain("listing sessions", false, failure)),
    }
}

/// Whether the server supports the query.
pub(super) async fn are_supported(connection: &Connection) -> Result<bool, EngineError> {
    match list(connection).await {
        Err(failure) if failure.is_unsupported() => Ok(false),
        Err(failure) if !failure.is_unauthorized() => {
            Err(connection.explain("listing sessions", false, failure))
        }
        _ => Ok(true),
    }
}

async fn list(connection: &Connection) -> Result<Document, Failure> {
    // `$all` includes idle connections.
    let command = doc! { "currentOp": 1, "$all": true };
    connection.try_run(ADMIN, command).await
}

/// `None` if no session has a user: twinkey's own connection would have one.
fn read(all: &[&Document], user: &str) -> Option<Vec<Session>> {
    let users = |one: &Document| -> Vec<String> {
        let users = documents(one, "effectiveUsers").into_iter();
        let names = users.filter_map(|user| Some(user.get_str("user").ok()?.to_owned()));
        names.collect()
    };
    if all.iter().all(|one| users(one).is_empty()) {
        return None;
    }
    let sessions = all
        .iter()
        // The list also contains sessions and cursors without a connection.
        .filter(|one| one.contains_key("client"))
        .filter(|one| users(one).iter().any(|name| name == user))
        .map(|one| Session {
            user: user.to_owned(),
            client: one.get_str("client").ok().map(address),
            application: application(one),
            since: None,
        })
        .filter(|session| session.application.as_deref() != Some(APPLICATION));
    Some(sessions.collect())
}

fn address(client: &str) -> String {
    let (address, _) = client.rsplit_once(':').unwrap_or((client, ""));
    address.to_owned()
}

fn application(one: &Document) -> Option<String> {
    if let Ok(name) = one.get_str("appName") {
        return Some(name.to_owned());
    }
    let metadata = one.get_document("clientMetadata").ok()?;
    let application = metadata.get_document("application").ok()?;
    application.get_str("name").ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(user: &str, name: &str) -> Document {
        doc! {
            "client": "10.0.0.7:5123",
            "effectiveUsers": [{ "user": user, "db": "admin" }],
            "clientMetadata": { "application": { "name": name } },
        }
    }

    #[test]
    fn only_consumers_of_the_user_are_sessions() {
        let idle =
            doc! { "type": "idleSession", "effectiveUsers": [{ "user": "app", "db": "admin" }] };
        let all = [
            connection("app", "shop"),
            connection("app", APPLICATION),
            connection("other", "shop"),
            idle,
        ];
        let all: Vec<&Document> = all.iter().collect();
        let sessions = read(&all, "app").unwrap();
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions[0].client.as_deref(), Some("10.0.0.7"));
        assert_eq!(sessions[0].application.as_deref(), Some("shop"));
    }

    #[test]
    fn sessions_are_unknown_if_no_users_are_reported() {
        let silent = doc! { "client": "10.0.0.7:5123", "op": "query" };
        assert_eq!(read(&[&silent], "app"), None);
    }
}
