//! Who is signed in as a user.
//!
//! What can go wrong, and what prevents it:
//! - the master sees its own sessions only, or the server does not tell who has signed in, and "nobody" is
//!   wrong: then it cannot be known;
//! - our own proofs are taken for consumers: they call themselves `twinkey`, and are left out;
//! - when a connection began is not to be had here: it is left out rather than guessed.

use mongodb::bson::{Document, doc};

use super::connect::{ADMIN, APPLICATION, Connection};
use super::failure::Failure;
use super::greeting::documents;
use crate::{EngineError, Session};

/// `None` where it cannot be known.
pub(super) async fn of_user(
    connection: &Connection,
    user: &str,
) -> Result<Option<Vec<Session>>, EngineError> {
    match list(connection).await {
        Ok(answer) => Ok(read(&documents(&answer, "inprog"), user)),
        Err(failure) if failure.is_unauthorized() || failure.is_unknown() => Ok(None),
        Err(failure) => Err(connection.explain("listing sessions", false, failure)),
    }
}

/// Whether the server knows the question.
pub(super) async fn are_told(connection: &Connection) -> Result<bool, EngineError> {
    match list(connection).await {
        Err(failure) if failure.is_unknown() => Ok(false),
        Err(failure) if !failure.is_unauthorized() => {
            Err(connection.explain("listing sessions", false, failure))
        }
        _ => Ok(true),
    }
}

async fn list(connection: &Connection) -> Result<Document, Failure> {
    // With `$all`, connections that do nothing now are told too.
    let everything = doc! { "currentOp": 1, "$all": true };
    connection.ask(ADMIN, everything).await
}

/// Our own connection at least must be there with its user, or users are not told.
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
        // Sessions and cursors without a connection are listed besides.
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
    fn connections_of_the_user_are_told_from_those_of_others_and_from_our_own_proofs() {
        let idle =
            doc! { "type": "idleSession", "effectiveUsers": [{ "user": "app", "db": "admin" }] };
        let all = [
            connection("app", "shop"),
            connection("app", APPLICATION),
            connection("somebody", "shop"),
            idle,
        ];
        let all: Vec<&Document> = all.iter().collect();
        let sessions = read(&all, "app").unwrap();
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions[0].client.as_deref(), Some("10.0.0.7"));
        assert_eq!(sessions[0].application.as_deref(), Some("shop"));
    }

    #[test]
    fn a_server_that_tells_no_users_leaves_it_unknown() {
        let silent = doc! { "client": "10.0.0.7:5123", "op": "query" };
        assert_eq!(read(&[&silent], "app"), None);
    }
}
