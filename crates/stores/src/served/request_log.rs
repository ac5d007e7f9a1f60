//! Log and metrics of a request: always a count, and audit lines for changes, for refusals and, with
//! `audit_reads`, for reads.
//!
//! # Failure modes
//! - A value appears in the log. Only the members SecretId and Name of a body are read here, and of a
//!   batch's response only names and error codes.
//! - A secret in the place of a key id appears in the log. An unknown id is logged only if it has the
//!   form of an id, and a token never.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::listener::PeerAddr;
use crate::local::api::Action;
use crate::local::{Refusal, RefusalKind};
use twinkey_core::telemetry::AUDIT;

use super::Served;
use super::audit::printable;
use super::keys::AccessKey;

/// The longest unknown key id in a line. Ids of AWS have 20 characters, secrets 40.
const MAX_ID: usize = 32;

/// The key of a request.
pub(super) enum RequestKey {
    /// The request names no key.
    None,
    /// The request names an id that no key has.
    Unknown(String),
    /// The request names this key, and has not proved it.
    Claimed(Arc<AccessKey>),
    /// The request was signed by this key, or has its token.
    Authenticated(Arc<AccessKey>),
}

/// Details of one request, added while it is processed.
pub(super) struct RequestLog<'a> {
    served: &'a Served,
    interface: &'static str,
    peer: PeerAddr,
    pub key: RequestKey,
    pub action: Option<Action>,
}

/// The secret that a body names, or an empty text.
pub(super) fn secret_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "SecretId", alias = "Name")]
        secret: String,
    }
    let body = serde_json::from_slice::<Body>(body);
    body.map(|body| body.secret).unwrap_or_default()
}

impl<'a> RequestLog<'a> {
    pub(super) fn new(served: &'a Served, interface: &'static str, peer: PeerAddr) -> Self {
        Self {
            served,
            interface,
            peer,
            key: RequestKey::None,
            action: None,
        }
    }

    /// Counts and logs the result. `secret` parses the body, and is called only for an audit line.
    pub(super) fn finish(self, answer: Result<&Json, &Refusal>, secret: impl FnOnce() -> String) {
        let action = self.action.map_or("unknown", Action::name);
        let refusal = answer.err();
        let outcome = refusal.map_or("ok", |refusal| refusal.kind.name());
        let metrics = &self.served.metrics;
        metrics.served_request(self.interface, action, outcome);
        let RequestKey::Authenticated(key) = &self.key else {
            let guessed = refusal.is_some_and(|refusal| {
                matches!(
                    refusal.kind,
                    RefusalKind::InvalidSignature | RefusalKind::UnrecognizedClient
                )
            });
            self.unauthenticated(outcome, guessed);
            return;
        };
        let reads = self.action.is_some_and(Action::reads);
        let denied = refusal.is_some_and(|refusal| refusal.kind == RefusalKind::AccessDenied);
        if denied {
            if self.permitted(key.id()) {
                self.line(key, action, &secret(), outcome);
            }
        } else if let (Some(Action::BatchGetSecretValue), Ok(answer)) = (self.action, answer) {
            self.batch_items(key, answer);
        } else if self.action.is_some() && (!reads || self.served.audit_reads) {
            self.line(key, action, &secret(), refusal.map_or("", |_| outcome));
        } else {
            tracing::debug!(
                asked = action,
                key = key.id(),
                outcome,
                "read from the served store"
            );
        }
    }

    /// Logs a request with a wrong token for the agent's interface.
    pub(super) fn wrong_token(&self, outcome: &'static str) {
        let metrics = &self.served.metrics;
        metrics.served_request(self.interface, "unknown", outcome);
        self.unauthenticated(outcome, true);
    }

    /// Logs a request whose key is not proved; `guessed` if it tried to.
    fn unauthenticated(&self, outcome: &'static str, guessed: bool) {
        let (id, unknown_id, holder) = match &self.key {
            RequestKey::Claimed(key) | RequestKey::Authenticated(key) => (key.id(), "", key.name()),
            RequestKey::Unknown(id) if is_id(id) => ("", id.as_str(), ""),
            RequestKey::Unknown(_) | RequestKey::None => ("", "", ""),
        };
        // All unknown ids of one address are one source, so that they cannot fill the table.
        if guessed && self.permitted(id) {
            tracing::info!(target: AUDIT, key = printable(id), unknown_key = printable(unknown_id), of = printable(holder), interface = self.interface, peer = %self.peer.0, refused = outcome, "request to the served store refused");
        } else {
            tracing::debug!(peer = %self.peer.0, outcome, "request to the served store refused");
        }
    }

    /// Logs the refused items of a batch, and with `audit_reads` the others.
    fn batch_items(&self, key: &AccessKey, answer: &Json) {
        let items = |list: &str| answer[list].as_array().into_iter().flatten();
        let text =
            |item: &'_ Json, member: &str| item[member].as_str().unwrap_or_default().to_owned();
        let action = Action::BatchGetSecretValue.name();
        for item in items("Errors") {
            let code = text(item, "ErrorCode");
            let denied = code == RefusalKind::AccessDenied.name();
            if (denied && self.permitted(key.id())) || (!denied && self.served.audit_reads) {
                self.line(key, action, &text(item, "SecretId"), &code);
            }
        }
        for item in items("SecretValues").filter(|_| self.served.audit_reads) {
            self.line(key, action, &text(item, "Name"), "");
        }
    }

    fn permitted(&self, key: &str) -> bool {
        let now = self.served.clock.now();
        self.served.refusals.permits(key, self.peer.0.ip(), now)
    }

    fn line(&self, key: &AccessKey, action: &str, secret: &str, refused: &str) {
        tracing::info!(target: AUDIT, secret = printable(secret), asked = action, key = printable(key.id()), of = printable(key.name()), interface = self.interface, peer = %self.peer.0, refused, "request to the served store");
    }
}

/// Whether an unknown id has the form of a key id.
fn is_id(id: &str) -> bool {
    id.len() <= MAX_ID && id.bytes().all(|b| b.is_ascii_alphanumeric())
}
