//! Read-only inspection of the pair's users.
//!
//! # Failure modes
//! - A user with the pair's name in another database is taken for the pair's. A pair is defined in
//!   the database of its active user, `admin` or the secret's own; a duplicate is reported. If both
//!   have such a user, the pair's is the one that AWSCURRENT signs in as.
//! - A version does not support `showAuthenticationRestrictions`. The query is repeated without it.
//! - The master may not read users. The result is a missing privilege, not an error.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc};
use serde_json::Value as Json;

use super::connect::{ADMIN, Connection, auth_databases};
use super::facts::{Facts, MasterFacts, Unsupported, User, Users};
use super::relay::Upstream;
use super::server_info::{documents, roles};
use super::sessions;
use crate::{Credentials, EngineError, InspectRequest};
use twinkey_core::secret::Sensitive;

/// Reads the facts of the pair; `own` is the rotation's database. `upstream` is the connection's.
///
/// # Errors
/// The connection's.
pub(super) async fn facts(
    connection: &Connection,
    upstream: &Upstream,
    version: &str,
    master: &MasterFacts,
    own: Option<&str>,
    request: &InspectRequest<'_>,
) -> Result<Facts, EngineError> {
    let pair = request.pair;
    let mut facts = Facts {
        version: version.to_owned(),
        auth_database: ADMIN.to_owned(),
        own: own.unwrap_or(ADMIN).to_owned(),
        master: master.clone(),
        users: Some(Users::default()),
        duplicates: Vec::new(),
        unsupported: BTreeSet::new(),
        sessions: None,
    };
    // A run reads the sessions themselves, so that only `check` needs this.
    if request.thorough {
        facts.sessions = Some(sessions::report(connection).await?);
    }
    let mut found: Vec<(&str, Users)> = Vec::new();
    let mut unreadable = None;
    for auth_database in auth_databases(own) {
        let active = look_up(connection, auth_database, pair.active_user(), &mut facts).await?;
        let standby = look_up(connection, auth_database, pair.standby_user(), &mut facts).await?;
        match (active, standby) {
            (Some(active), Some(standby)) => found.push((auth_database, Users { active, standby })),
            _ => {
                unreadable.get_or_insert(auth_database);
            }
        }
    }
    let with_active = found.iter().filter(|(_, users)| users.active.is_some());
    let used = match request.current {
        Some(password) if with_active.count() > 1 => {
            sign_in_database(upstream, pair.active_user(), password, own).await?
        }
        _ => None,
    };
    let is_used = |database: &str| used.as_deref().is_none_or(|used| used == database);
    let defined = found
        .iter()
        .position(|(database, users)| users.active.is_some() && is_used(database));
    // A master that cannot read one of two databases may still manage users in the other.
    let at = match (defined, unreadable) {
        (None, Some(unreadable)) => {
            unreadable.clone_into(&mut facts.auth_database);
            facts.users = None;
            return Ok(facts);
        }
        (defined, _) => defined.unwrap_or_default(),
    };
    let (auth_database, users) = found.swap_remove(at);
    auth_database.clone_into(&mut facts.auth_database);
    facts.users = Some(users);
    facts.duplicates = found
        .into_iter()
        .flat_map(|(_, users)| [users.active, users.standby])
        .flatten()
        .collect();
    Ok(facts)
}

/// The database in which the user signs in with this password; `None` if it does in neither.
async fn sign_in_database(
    upstream: &Upstream,
    user: &str,
    password: &Sensitive,
    own: Option<&str>,
) -> Result<Option<String>, EngineError> {
    let credentials = Credentials {
        username: user.to_owned(),
        password: password.clone(),
    };
    match Connection::open(upstream, &credentials, own).await {
        Ok((connection, database)) => {
            connection.close().await;
            Ok(Some(database))
        }
        Err(EngineError::SignIn { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a user. Outer `None`: the master may not read it. Inner `None`: it does not exist.
async fn look_up(
    connection: &Connection,
    auth_database: &str,
    name: &str,
    facts: &mut Facts,
) -> Result<Option<Option<User>>, EngineError> {
    let what = "reading the pair's users";
    let filter = doc! { "user": name, "db": auth_database };
    let plain = doc! { "usersInfo": filter };
    let mut response = None;
    if !facts.unsupported.contains(&Unsupported::Restrictions) {
        let mut full = plain.clone();
        full.insert("showAuthenticationRestrictions", true);
        match connection.try_run(auth_database, full).await {
            Err(failure) if failure.is_unsupported() => {
                facts.unsupported.insert(Unsupported::Restrictions);
            }
            other => response = Some(other),
        }
    }
    let response = match response {
        Some(response) => response,
        None => connection.try_run(auth_database, plain).await,
    };
    match response {
        Ok(response) => Ok(Some(
            documents(&response, "users")
                .into_iter()
                .find(|user| is_of(user, auth_database))
                .map(|user| read(user, name, auth_database)),
        )),
        Err(failure) if failure.is_unauthorized() => Ok(None),
        // A server with users in `admin` only may not support the query elsewhere.
        Err(failure) if failure.is_unsupported() && auth_database != ADMIN => Ok(Some(None)),
        Err(failure) => Err(connection.explain(what, false, failure)),
    }
}

/// Whether the user is defined in this database. The answer decides, because a server with users in
/// `admin` only may ignore the database of the request.
fn is_of(reported: &Document, auth_database: &str) -> bool {
    reported.get_str("db").unwrap_or(auth_database) == auth_database
}

fn read(reported: &Document, name: &str, auth_database: &str) -> User {
    let texts = |list: &str| -> Option<BTreeSet<String>> {
        let all = reported.get_array(list).ok()?;
        let all = all
            .iter()
            .filter_map(|text| Some(text.as_str()?.to_owned()));
        Some(all.collect())
    };
    let json = |field: &str| {
        reported
            .get(field)
            .and_then(|it| serde_json::to_value(it).ok())
    };
    User {
        name: name.to_owned(),
        auth_database: auth_database.to_owned(),
        roles: roles(reported, "roles"),
        mechanisms: texts("mechanisms"),
        restrictions: match json("authenticationRestrictions") {
            Some(Json::Array(all)) => all,
            _ => Vec::new(),
        },
        custom_data: json("customData").filter(|data| *data != serde_json::json!({})),
    }
}
