//! A command as the witness notes it: the database, a space, and JSON in one line.
//!
//! What can go wrong, and what prevents it:
//! - a password that should not be there is not seen: it is left out in one place only, `pwd` of
//!   `createUser` and `updateUser`, where there is no other form; and what a sign-in carries is noted
//!   as text, not in base64, in which nobody would find a password again;
//! - a note differs from what was planned by what the driver adds: that is left out.

use mongodb::bson::{Bson, Document};

/// What drivers add to every command.
const ADDED: [&str; 4] = ["$db", "lsid", "$clusterTime", "$readPreference"];
const WITH_PASSWORD: [&str; 2] = ["createUser", "updateUser"];

/// One command.
pub struct Noted {
    pub name: String,
    /// Without the line's end.
    pub line: String,
    /// What was left out of the line.
    pub password: Option<String>,
}

impl Noted {
    pub fn of(mut command: Document) -> Self {
        let name = command.keys().next().cloned().unwrap_or_default();
        let database = command.get_str("$db").unwrap_or_default().to_owned();
        for added in ADDED {
            command.remove(added);
        }
        let mut password = None;
        if WITH_PASSWORD.contains(&name.as_str())
            && let Some(Bson::String(pwd)) = command.get_mut("pwd")
        {
            password = Some(std::mem::replace(pwd, "***".into()));
        }
        read_payloads(&mut command);
        let json = serde_json::to_string(&command).unwrap();
        Self {
            name,
            line: format!("{database} {json}"),
            password,
        }
    }
}

/// Of `saslStart`, `saslContinue`, and the sign-in that a `hello` begins.
fn read_payloads(document: &mut Document) {
    for (name, value) in document.iter_mut() {
        match value {
            Bson::Binary(binary) if name == "payload" => {
                *value = String::from_utf8_lossy(&binary.bytes).into_owned().into();
            }
            Bson::Document(inner) => read_payloads(inner),
            _ => {}
        }
    }
}
