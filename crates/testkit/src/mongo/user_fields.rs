//! Fields of users that MongoDB stores and the server ignores: `customData` and
//! `authenticationRestrictions`. The relay stores them in its place.
//!
//! # Failure modes
//! - The server refuses an `updateUser` of these fields alone, because nothing is left of it. The
//!   relay answers it.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document, doc};
use parking_lot::Mutex;

use super::documentdb_rules::RuledCommand;

const FIELDS: [&str; 2] = ["customData", "authenticationRestrictions"];

/// The fields by database and user.
#[derive(Default)]
pub(super) struct UserFields(Mutex<BTreeMap<(String, String), Document>>);

impl UserFields {
    /// Stores the fields of a command and removes them from it.
    pub fn on_command(&self, mut command: Document) -> RuledCommand {
        let verb = command.keys().next().cloned().unwrap_or_default();
        let (Ok(user), Ok(db)) = (command.get_str(&verb), command.get_str("$db")) else {
            return RuledCommand::Unchanged;
        };
        let key = (db.to_owned(), user.to_owned());
        match verb.as_str() {
            "createUser" | "updateUser" => {}
            "dropUser" => {
                self.0.lock().remove(&key);
                return RuledCommand::Unchanged;
            }
            _ => return RuledCommand::Unchanged,
        }
        let mut all = self.0.lock();
        let stored = all.entry(key).or_default();
        if verb == "createUser" {
            stored.clear();
        }
        for field in FIELDS {
            if let Some(value) = command.remove(field) {
                stored.insert(field, value);
            }
        }
        if verb == "updateUser" && !command.contains_key("pwd") && !command.contains_key("roles") {
            return RuledCommand::Answered(doc! { "ok": 1.0 });
        }
        RuledCommand::Changed(command)
    }

    /// Adds the fields to the users of a response.
    pub fn on_response(&self, mut response: Document) -> Option<Document> {
        let all = self.0.lock();
        if all.is_empty() {
            return None;
        }
        let users = response.get_array_mut("users").ok()?;
        for user in users.iter_mut().filter_map(Bson::as_document_mut) {
            let key = (user.get_str("db").ok()?, user.get_str("user").ok()?);
            let stored = all.get(&(key.0.to_owned(), key.1.to_owned()));
            user.extend(stored.cloned().unwrap_or_default());
        }
        Some(response)
    }
}
