//! What a server says of itself, and whom it takes us for.

use std::collections::BTreeSet;

use mongodb::bson::{Bson, DateTime, Document, doc};

use super::connect::{ADMIN, Connection};
use super::facts::Role;
use super::powers::{self, Powers};
use crate::EngineError;

/// The answer to `hello`.
pub(super) struct Hello {
    pub writable: bool,
    /// `host:port` of the primary, where the server names one.
    pub primary: Option<String>,
    /// What tells this server, with its replicas, from every other one: the set and its members. Of a
    /// server that is in none, its process.
    pub identity: Option<String>,
    pub local_time: Option<DateTime>,
}

/// Who has signed in.
pub(super) struct Who {
    pub user: String,
    pub powers: Powers,
}

/// # Errors
/// The connection's.
pub(super) async fn hello(connection: &Connection) -> Result<Hello, EngineError> {
    let what = "asking what server this is";
    let answer = match connection.ask(ADMIN, doc! { "hello": 1 }).await {
        // Before MongoDB 4.4.2, and Amazon DocumentDB of that time.
        Err(failure) if failure.is_unknown() => {
            connection.run(ADMIN, doc! { "isMaster": 1 }, what).await?
        }
        answer => answer.map_err(|failure| connection.explain(what, false, failure))?,
    };
    let is = |field: &str| answer.get_bool(field).unwrap_or(false);
    Ok(Hello {
        writable: is("isWritablePrimary") || is("ismaster"),
        primary: answer.get_str("primary").ok().map(str::to_owned),
        identity: identity(&answer),
        local_time: answer.get_datetime("localTime").ok().copied(),
    })
}

fn identity(hello: &Document) -> Option<String> {
    if let (Ok(set), Ok(hosts)) = (hello.get_str("setName"), hello.get_array("hosts")) {
        let mut hosts: Vec<&str> = hosts.iter().filter_map(Bson::as_str).collect();
        hosts.sort_unstable();
        return Some(format!("{set}/{}", hosts.join(",")));
    }
    let process = hello.get_document("topologyVersion").ok()?;
    Some(process.get_object_id("processId").ok()?.to_hex())
}

/// The server's version, as it calls it.
///
/// # Errors
/// The connection's.
pub(super) async fn version(connection: &Connection) -> Result<String, EngineError> {
    let what = "asking for the server's version";
    let answer = connection.run(ADMIN, doc! { "buildInfo": 1 }, what).await?;
    Ok(answer.get_str("version").unwrap_or("unknown").to_owned())
}

/// # Errors
/// The connection's.
pub(super) async fn who(connection: &Connection) -> Result<Who, EngineError> {
    let what = "asking who has signed in";
    let with_privileges = doc! { "connectionStatus": 1, "showPrivileges": true };
    let answer = match connection.ask(ADMIN, with_privileges).await {
        Err(failure) if failure.is_unknown() => {
            connection
                .run(ADMIN, doc! { "connectionStatus": 1 }, what)
                .await?
        }
        answer => answer.map_err(|failure| connection.explain(what, false, failure))?,
    };
    let nothing = Document::new();
    let info = answer.get_document("authInfo").unwrap_or(&nothing);
    let users = documents(info, "authenticatedUsers");
    let user = users.first().and_then(|user| user.get_str("user").ok());
    let told: Vec<serde_json::Value> = documents(info, "authenticatedUserPrivileges")
        .into_iter()
        .filter_map(|one| serde_json::to_value(one).ok())
        .collect();
    let powers = powers::privileges(&told).map_or_else(
        || Powers::Roles(roles(info, "authenticatedUserRoles")),
        Powers::Privileges,
    );
    Ok(Who {
        user: user.unwrap_or_default().to_owned(),
        powers,
    })
}

/// The roles in a list of a document.
pub(super) fn roles(of: &Document, list: &str) -> BTreeSet<Role> {
    documents(of, list)
        .into_iter()
        .filter_map(|one| {
            Some(Role::new(
                one.get_str("role").ok()?,
                one.get_str("db").ok()?,
            ))
        })
        .collect()
}

/// The documents in a list of a document.
pub(super) fn documents<'a>(of: &'a Document, list: &str) -> Vec<&'a Document> {
    let all = of.get_array(list).map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(Bson::as_document).collect()
}
