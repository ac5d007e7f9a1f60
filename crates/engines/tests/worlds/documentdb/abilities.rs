//! What a user can do, tried by commands of its own session. Each changes nothing.

use std::collections::BTreeMap;

use mongodb::bson::{Document, doc};
use twinkey_engines::Credentials;

use super::server::{ELSEWHERE, Server};
use super::world::World;

/// Database and command -> nothing, or the code of its error.
pub type Abilities = BTreeMap<(String, String), Result<(), i32>>;

fn commands() -> Vec<Document> {
    let nothing = doc! { "_id": "none" };
    let no_index = doc! { "key": {}, "name": "none" };
    vec![
        doc! { "find": "things", "limit": 1 },
        doc! { "insert": "things", "documents": [{ "_id": 1 }] },
        doc! { "update": "things", "updates": [{ "q": &nothing, "u": { "$set": { "n": 2 } } }] },
        doc! { "delete": "things", "deletes": [{ "q": &nothing, "limit": 1 }] },
        doc! { "create": "things" },
        doc! { "createIndexes": "things", "indexes": [no_index] },
        doc! { "dropIndexes": "things", "index": "none" },
        doc! { "drop": "none" },
        doc! { "listCollections": 1 },
        doc! { "listIndexes": "things" },
        doc! { "collStats": "things" },
        doc! { "dbStats": 1 },
        doc! { "usersInfo": "none" },
        doc! { "rolesInfo": "none" },
        doc! { "createUser": "none", "pwd": "x", "roles": ["no such role"] },
        doc! { "dropUser": "none" },
        doc! { "updateUser": "none", "pwd": "x" },
        doc! { "grantRolesToUser": "none", "roles": [] },
        doc! { "revokeRolesFromUser": "none", "roles": [] },
        doc! { "createRole": "read", "privileges": [], "roles": [] },
        doc! { "dropRole": "none" },
        doc! { "grantRolesToRole": "none", "roles": [] },
    ]
}

fn of_cluster() -> Vec<Document> {
    vec![
        doc! { "listDatabases": 1, "nameOnly": true },
        doc! { "serverStatus": 1 },
        doc! { "currentOp": 1 },
        doc! { "getLog": "global" },
        doc! { "top": 1 },
        doc! { "hostInfo": 1 },
        doc! { "killOp": 1, "op": 0 },
        doc! { "getParameter": 1, "featureCompatibilityVersion": 1 },
    ]
}

/// Signs in with each mechanism and tries the commands with the last one.
pub async fn abilities(
    server: &Server,
    world: &World,
    who: &Credentials,
) -> Result<Abilities, String> {
    let mut session = None;
    for mechanism in &world.mechanisms {
        let client = server.sign_in(who, &world.auth_database, mechanism).await;
        session = Some(client.map_err(|error| format!("{mechanism}: {error}"))?);
    }
    let session = session.unwrap();
    let mut all = Abilities::new();
    let databases = world.databases.iter().map(String::as_str);
    for database in databases.chain(["admin", ELSEWHERE]) {
        for command in commands() {
            let key = (database.to_owned(), command.to_string());
            let done = Server::run_as(&session, database, command).await;
            all.insert(key, done.map(drop));
        }
    }
    for command in of_cluster() {
        let key = ("admin".to_owned(), command.to_string());
        all.insert(
            key,
            Server::run_as(&session, "admin", command).await.map(drop),
        );
    }
    Ok(all)
}
