//! The API's own errors, as its model names them.

use serde_json::{Value as Json, json};

/// An answer that is an error.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub body: Json,
}

impl Refusal {
    pub fn new(status: u16, name: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self {
            status,
            body: json!({"__type": name, "Message": message}),
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", message)
    }

    pub fn missing(id: &str, message: impl Into<String>) -> Self {
        let mut refusal = Self::new(400, "ResourceNotFoundException", message);
        refusal.body["ResourceId"] = json!(id);
        refusal
    }
}
