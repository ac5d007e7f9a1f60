//! All users, roles and collections of a server, as documents that can be compared.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document, doc};

use super::server::Server;
use super::world::World;

/// Database, kind and name of an object -> the server's report of it.
pub type Facts = BTreeMap<[String; 3], Document>;

/// Everything that a rotation could change, except the locks.
pub async fn snapshot(server: &Server, world: &World) -> Facts {
    // A rule answers for another database.
    server.follow_rules(false);
    let mut facts = Facts::new();
    let databases = world.databases.iter().map(String::as_str);
    for database in databases.chain(["admin", "twinkey"]) {
        let users = doc! { "usersInfo": 1, "showCredentials": true };
        let roles = doc! { "rolesInfo": 1, "showPrivileges": true };
        for (command, list, name) in [(users, "users", "user"), (roles, "roles", "role")] {
            let answer = server.run(database, command).await;
            for one in documents(&answer, list) {
                let key = [database, list, one.get_str(name).unwrap()];
                facts.insert(key.map(str::to_owned), with_roles_in_order(one));
            }
        }
        if database != "twinkey" {
            let answer = server.run(database, doc! { "listCollections": 1 }).await;
            let key = [database, "collections", ""].map(str::to_owned);
            facts.insert(
                key,
                doc! { "cursor": answer.get("cursor").cloned().unwrap() },
            );
        }
    }
    server.follow_rules(world.is_documentdb);
    facts
}

fn documents<'a>(of: &'a Document, list: &str) -> impl Iterator<Item = &'a Document> {
    let all = of.get_array(list).unwrap().iter();
    all.filter_map(Bson::as_document)
}

/// The order of roles has no meaning, and a role that is listed twice is one.
fn with_roles_in_order(one: &Document) -> Document {
    let mut one = one.clone();
    if let Ok(roles) = one.get_array_mut("roles") {
        roles.sort_by_key(ToString::to_string);
        roles.dedup();
    }
    one
}

/// The facts without one user.
pub fn without(facts: &Facts, database: &str, user: &str) -> Facts {
    let mut facts = facts.clone();
    facts.remove(&[database, "users", user].map(str::to_owned));
    facts
}

/// A user without its name and credentials.
pub fn of_user(facts: &Facts, database: &str, user: &str) -> Option<Document> {
    let found = facts.get(&[database, "users", user].map(str::to_owned));
    let mut found = found?.clone();
    for field in ["_id", "user", "userId", "credentials"] {
        found.remove(field);
    }
    // An empty value has the meaning of none.
    found.retain_values();
    Some(found)
}

trait RetainValues {
    fn retain_values(&mut self);
}

impl RetainValues for Document {
    fn retain_values(&mut self) {
        for field in ["customData", "authenticationRestrictions"] {
            let is_empty = match self.get(field) {
                Some(Bson::Document(all)) => all.is_empty(),
                Some(Bson::Array(all)) => all.is_empty(),
                _ => false,
            };
            if is_empty {
                self.remove(field);
            }
        }
        let sorted: BTreeMap<String, Bson> = std::mem::take(self).into_iter().collect();
        self.extend(sorted);
    }
}

/// The differences of two states, for a message.
pub fn difference(before: &Facts, after: &Facts) -> Option<String> {
    let mut all = Vec::new();
    for (key, was) in before {
        match after.get(key) {
            None => all.push(format!("- {key:?} {was}")),
            Some(is) if is != was => all.push(format!("- {key:?} {was}\n+ {key:?} {is}")),
            Some(_) => {}
        }
    }
    let new = after.iter().filter(|(key, _)| !before.contains_key(*key));
    all.extend(new.map(|(key, is)| format!("+ {key:?} {is}")));
    (!all.is_empty()).then(|| all.join("\n"))
}
