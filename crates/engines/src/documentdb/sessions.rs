//! Sessions of one user, without their start, which the server does not report.
//!
//! # Failure modes
//! - The master sees only its own sessions, or the server does not report users. The result is then
//!   "unknown", not an empty list.
//! - Amazon DocumentDB reports the user of a connection only while it runs an operation. An idle
//!   connection may be the standby's, so that the result is "unknown" and not an empty list.
//! - `currentOp` lists the connections of one instance. A sign-in at a reader lists those of that one.
//! - twinkey's own sign-in checks count as consumers. Their application name is `twinkey`, and they
//!   are excluded.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc};

use super::connect::{ADMIN, APPLICATION, Connection};
use super::facts::SessionReport;
use super::failure::Failure;
use super::server_info::documents;
use crate::{EngineError, Session};

/// The sessions of `user` on this instance; `None` if they cannot be read, or may not be all. `own`: the
/// connection is signed in as this user, which may list its own without a privilege.
pub(super) async fn of_user(
    connection: &Connection,
    user: &str,
    own: bool,
) -> Result<Option<Vec<Session>>, EngineError> {
    match list(connection, own).await {
        Ok(response) => Ok(sessions_of(&documents(&response, "inprog"), user)),
        Err(failure) if failure.is_unauthorized() || failure.is_unsupported() => Ok(None),
        Err(failure) => Err(connection.explain("listing sessions", false, failure)),
    }
}

/// How much of the sessions the server reports.
pub(super) async fn report(connection: &Connection) -> Result<SessionReport, EngineError> {
    match list(connection, false).await {
        Ok(response) => Ok(report_of(&documents(&response, "inprog"))),
        Err(failure) if failure.is_unsupported() => Ok(SessionReport::Unsupported),
        Err(failure) if failure.is_unauthorized() => Ok(SessionReport::Denied),
        Err(failure) => Err(connection.explain("listing sessions", false, failure)),
    }
}

async fn list(connection: &Connection, own: bool) -> Result<Document, Failure> {
    // `$all` includes idle connections.
    let mut command = doc! { "currentOp": 1, "$all": true };
    if own {
        command.insert("$ownOps", true);
    }
    connection.try_run(ADMIN, command).await
}

/// `None` if no listed session is the user's and one may be.
fn sessions_of(all: &[&Document], user: &str) -> Option<Vec<Session>> {
    let sessions: Vec<Session> = all
        .iter()
        // The list also contains sessions and cursors without a connection.
        .filter(|one| one.contains_key("client"))
        .filter(|one| users(one).iter().any(|name| name == user))
        .map(|one| Session {
            user: user.to_owned(),
            client: one.get_str("client").ok().map(address),
            application: application(one),
            since: None,
            idle: false,
            pooler: None,
        })
        .filter(|session| session.application.as_deref() != Some(APPLICATION))
        .collect();
    let is_complete = match report_of(all) {
        SessionReport::Listed => true,
        SessionReport::WithoutUsers { connections, .. } => connections == 0,
        SessionReport::Unsupported | SessionReport::Denied => false,
    };
    (is_complete || !sessions.is_empty()).then_some(sessions)
}

fn report_of(all: &[&Document]) -> SessionReport {
    // twinkey's own connection has a user where the server reports any.
    if all.iter().all(|one| users(one).is_empty()) {
        return SessionReport::Unsupported;
    }
    let is_idle = |one: &&&Document| !one.get_bool("active").unwrap_or(false);
    if all.iter().filter(is_idle).any(|one| !users(one).is_empty()) {
        // Connections without a user have not signed in, such as those that monitor the server.
        return SessionReport::Listed;
    }
    let unknown: Vec<Option<String>> = all
        .iter()
        .filter(|one| one.contains_key("client") && is_of_client(one) && users(one).is_empty())
        .map(|one| application(one))
        .filter(|application| application.as_deref() != Some(APPLICATION))
        .collect();
    SessionReport::WithoutUsers {
        connections: unknown.len(),
        applications: unknown.into_iter().flatten().collect(),
    }
}

/// The server's own threads have other descriptions.
fn is_of_client(one: &Document) -> bool {
    let description = one.get_str("desc").unwrap_or("conn");
    description.to_ascii_lowercase().starts_with("conn")
}

fn users(one: &Document) -> BTreeSet<String> {
    let users = documents(one, "effectiveUsers").into_iter();
    let names = users.filter_map(|user| Some(user.get_str("user").ok()?.to_owned()));
    names.collect()
}

fn address(client: &str) -> String {
    let (address, _) = client.rsplit_once(':').unwrap_or((client, ""));
    address.to_owned()
}

fn application(one: &Document) -> Option<String> {
    if let Ok(name) = one.get_str("appName") {
        return Some(name.to_owned());
    }
    // Amazon DocumentDB writes it with a capital letter.
    let metadata = ["clientMetadata", "clientMetaData"]
        .iter()
        .find_map(|name| one.get_document(name).ok())?;
    let application = metadata.get_document("application").ok()?;
    application.get_str("name").ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(user: &str, name: &str) -> Document {
        doc! {
            "client": "10.0.0.7:5123",
            "active": false,
            "effectiveUsers": [{ "user": user, "db": "admin" }],
            "clientMetadata": { "application": { "name": name } },
        }
    }

    /// A connection of Amazon DocumentDB.
    fn without_user(name: &str) -> Document {
        doc! {
            "desc": "Conn", "client": "10.0.0.7:5123", "active": false,
            "clientMetaData": { "application": { "name": name } },
        }
    }

    fn own() -> Document {
        let mut own = connection("master", APPLICATION);
        own.insert("active", true);
        own
    }

    #[test]
    fn only_consumers_of_the_user_are_sessions() {
        let idle =
            doc! { "type": "idleSession", "effectiveUsers": [{ "user": "app", "db": "admin" }] };
        let monitor = doc! { "client": "10.0.0.7:5124", "active": true, "appName": "shop" };
        let all = [
            connection("app", "shop"),
            connection("app", APPLICATION),
            connection("other", "shop"),
            idle,
            monitor,
        ];
        let all: Vec<&Document> = all.iter().collect();
        let sessions = sessions_of(&all, "app").unwrap();
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions[0].client.as_deref(), Some("10.0.0.7"));
        assert_eq!(sessions[0].application.as_deref(), Some("shop"));
        assert_eq!(sessions_of(&all, "gone"), Some(vec![]));
    }

    #[test]
    fn sessions_are_unknown_if_no_users_are_reported() {
        let silent = doc! { "client": "10.0.0.7:5123", "op": "query" };
        assert_eq!(sessions_of(&[&silent], "app"), None);
    }

    #[test]
    fn an_idle_connection_without_user_may_be_anyones() {
        let (own, idle) = (own(), without_user("shop"));
        assert_eq!(sessions_of(&[&own, &idle], "app"), None);
        let expected = SessionReport::WithoutUsers {
            connections: 1,
            applications: BTreeSet::from(["shop".to_owned()]),
        };
        assert_eq!(report_of(&[&own, &idle]), expected);
        // The server's own threads and twinkey's connections are none of a consumer.
        let mut thread = without_user("shop");
        thread.insert("desc", "GarbageCollection");
        let mine = without_user(APPLICATION);
        assert_eq!(sessions_of(&[&own, &thread, &mine], "app"), Some(vec![]));
        // A connection that runs an operation has its user.
        let mut running = connection("app", "report");
        running.insert("active", true);
        let sessions = sessions_of(&[&own, &idle, &running], "app").unwrap();
        assert_eq!(sessions[0].application.as_deref(), Some("report"));
    }
}
