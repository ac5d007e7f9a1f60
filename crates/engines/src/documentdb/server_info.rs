//! Information about the server and the signed-in user: `hello`, `buildInfo`, `connectionStatus`.

use std::collections::BTreeSet;

use mongodb::bson::{Bson, DateTime, Document, doc};

use super::connect::{ADMIN, Connection};
use super::privileges::{self, Privileges};
use super::role::DatabaseRole;
use crate::EngineError;

/// The response to `hello`.
pub(super) struct Hello {
    pub writable: bool,
    /// `host:port` of the primary, if the server names one.
    pub primary: Option<String>,
    /// The identity of this server and its replicas: the replica set and its members, or the
    /// process of a standalone server.
    pub identity: Option<String>,
    /// The running process, which has no other number after a restart or a restored backup.
    pub process: Option<String>,
    pub local_time: Option<DateTime>,
}

/// The signed-in user.
pub(super) struct CurrentUser {
    pub name: String,
    pub privileges: Privileges,
}

/// Runs `hello`.
///
/// # Errors
/// The connection's.
pub(super) async fn hello(connection: &Connection) -> Result<Hello, EngineError> {
    let what = "reading the server's role";
    let response = match connection.try_run(ADMIN, doc! { "hello": 1 }).await {
        // Before MongoDB 4.4.2, and Amazon DocumentDB of that time.
        Err(failure) if failure.is_unsupported() => {
            connection.run(ADMIN, doc! { "isMaster": 1 }, what).await?
        }
        response => response.map_err(|failure| connection.explain(what, false, failure))?,
    };
    let is = |field: &str| response.get_bool(field).unwrap_or(false);
    Ok(Hello {
        writable: is("isWritablePrimary") || is("ismaster"),
        primary: response.get_str("primary").ok().map(str::to_owned),
        identity: identity(&response),
        process: process(&response),
        local_time: response.get_datetime("localTime").ok().copied(),
    })
}

fn identity(hello: &Document) -> Option<String> {
    if let (Ok(set), Ok(hosts)) = (hello.get_str("setName"), hello.get_array("hosts")) {
        let mut hosts: Vec<&str> = hosts.iter().filter_map(Bson::as_str).collect();
        hosts.sort_unstable();
        return Some(format!("{set}/{}", hosts.join(",")));
    }
    process(hello)
}

fn process(hello: &Document) -> Option<String> {
    let version = hello.get_document("topologyVersion").ok()?;
    Some(version.get_object_id("processId").ok()?.to_hex())
}

/// The server's version.
///
/// # Errors
/// The connection's.
pub(super) async fn version(connection: &Connection) -> Result<String, EngineError> {
    let what = "reading the server's version";
    let response = connection.run(ADMIN, doc! { "buildInfo": 1 }, what).await?;
    Ok(response.get_str("version").unwrap_or("unknown").to_owned())
}

/// Reads the name and the privileges of the signed-in user.
///
/// # Errors
/// The connection's.
pub(super) async fn current_user(connection: &Connection) -> Result<CurrentUser, EngineError> {
    let what = "reading the current user";
    let with_privileges = doc! { "connectionStatus": 1, "showPrivileges": true };
    let response = match connection.try_run(ADMIN, with_privileges).await {
        Err(failure) if failure.is_unsupported() => {
            connection
                .run(ADMIN, doc! { "connectionStatus": 1 }, what)
                .await?
        }
        response => response.map_err(|failure| connection.explain(what, false, failure))?,
    };
    let nothing = Document::new();
    let info = response.get_document("authInfo").unwrap_or(&nothing);
    let users = documents(info, "authenticatedUsers");
    let user = users.first().and_then(|user| user.get_str("user").ok());
    let listed: Vec<serde_json::Value> = documents(info, "authenticatedUserPrivileges")
        .into_iter()
        .filter_map(|one| serde_json::to_value(one).ok())
        .collect();
    let privileges = privileges::parse(&listed).map_or_else(
        || Privileges::OfRoles(roles(info, "authenticatedUserRoles")),
        Privileges::Listed,
    );
    Ok(CurrentUser {
        name: user.unwrap_or_default().to_owned(),
        privileges,
    })
}

/// Whether the server has the role `userAdmin`; `None` if the user may not read roles.
///
/// # Errors
/// The connection's.
pub(super) async fn has_user_admin(connection: &Connection) -> Result<Option<bool>, EngineError> {
    let command = doc! { "rolesInfo": { "role": "userAdmin", "db": ADMIN } };
    match connection.try_run(ADMIN, command).await {
        Ok(response) => Ok(Some(!documents(&response, "roles").is_empty())),
        Err(failure) if failure.is_unauthorized() => Ok(None),
        Err(failure) if failure.is_unsupported() || failure.is_role_not_found() => Ok(Some(false)),
        Err(failure) => Err(connection.explain("reading the server's roles", false, failure)),
    }
}

/// The roles in an array of a document.
pub(super) fn roles(of: &Document, list: &str) -> BTreeSet<DatabaseRole> {
    documents(of, list)
        .into_iter()
        .filter_map(|one| {
            Some(DatabaseRole::new(
                one.get_str("role").ok()?,
                one.get_str("db").ok()?,
            ))
        })
        .collect()
}

/// The documents in an array of a document.
pub(super) fn documents<'a>(of: &'a Document, list: &str) -> Vec<&'a Document> {
    let all = of.get_array(list).map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(Bson::as_document).collect()
}
