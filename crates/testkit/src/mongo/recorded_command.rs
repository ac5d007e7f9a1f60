//! One recorded command: the database, a space, and JSON in one line.
//!
//! # Failure modes
//! - A test misses a leaked password. Only `pwd` of `createUser` and `updateUser` is masked, which
//!   has no other form; sign-in payloads are recorded as text instead of base64.
//! - Fields that the driver adds differ from the plan. They are removed.

use mongodb::bson::{Bson, Document};

/// Fields that drivers add to every command.
const DRIVER_FIELDS: [&str; 4] = ["$db", "lsid", "$clusterTime", "$readPreference"];
const WITH_PASSWORD: [&str; 2] = ["createUser", "updateUser"];

/// A command as the relay records it.
pub struct RecordedCommand {
    pub name: String,
    /// The line, without a line break.
    pub line: String,
    /// The password that is masked in the line.
    pub password: Option<String>,
}

impl RecordedCommand {
    pub fn new(mut command: Document) -> Self {
        let name = command.keys().next().cloned().unwrap_or_default();
        let database = command.get_str("$db").unwrap_or_default().to_owned();
        for field in DRIVER_FIELDS {
            command.remove(field);
        }
        let mut password = None;
        if WITH_PASSWORD.contains(&name.as_str())
            && let Some(Bson::String(pwd)) = command.get_mut("pwd")
        {
            password = Some(std::mem::replace(pwd, "***".into()));
        }
        decode_payloads(&mut command);
        let json = serde_json::to_string(&command).unwrap();
        Self {
            name,
            line: format!("{database} {json}"),
            password,
        }
    }
}

/// Replaces the payloads of `saslStart`, `saslContinue` and a speculative sign-in by text.
fn decode_payloads(document: &mut Document) {
    for (name, value) in document.iter_mut() {
        match value {
            Bson::Binary(binary) if name == "payload" => {
                *value = String::from_utf8_lossy(&binary.bytes).into_owned().into();
            }
            Bson::Document(inner) => decode_payloads(inner),
            _ => {}
        }
    }
}
