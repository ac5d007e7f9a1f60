//! Errors of the API, named as in its model.

use serde_json::{Value as Json, json};

/// An error response.
#[derive(Debug)]
pub struct ApiError {
    pub status: u16,
    pub body: Json,
}

impl ApiError {
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
