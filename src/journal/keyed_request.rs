//! Requests with an idempotency key, which are executed once.

use chrono::{DateTime, TimeDelta, Utc};

/// Time for which a key is remembered.
pub(super) const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// A request with an idempotency key. Each rotation has its own keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRequest {
    pub rotation: String,
    pub key: String,
    /// The action and the parameters that change its effect.
    pub request: String,
    pub worker: String,
    pub at: DateTime<Utc>,
}

/// What the journal had of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyedState {
    /// Nothing: the caller executes the request.
    New,
    /// The same request, whose end is not recorded.
    Open { worker: String, at: DateTime<Utc> },
    /// The same request, with its answer.
    Ended(serde_json::Value),
    /// Another request.
    Other { request: String },
}

impl KeyedState {
    /// The state of a key that is recorded with `found`, for a request.
    pub(super) fn of(
        request: &KeyedRequest,
        found: KeyedRequest,
        answer: Option<serde_json::Value>,
    ) -> Self {
        if found.request != request.request {
            return Self::Other {
                request: found.request,
            };
        }
        match answer {
            Some(answer) => Self::Ended(answer),
            None => Self::Open {
                worker: found.worker,
                at: found.at,
            },
        }
    }
}
