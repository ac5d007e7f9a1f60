//! Log and metrics of a request: always a count, and an audit line for changes and for refusals of
//! a known key.
//!
//! # Failure modes
//! - A value appears in the log. Only the members SecretId and Name of a body are read here.

use std::sync::Arc;

use serde::Deserialize;

use crate::listener::PeerAddr;
use crate::local::api::Action;
use crate::local::{Refusal, RefusalKind};
use twinkey_core::telemetry::AUDIT;
use twinkey_core::telemetry::metrics::Metrics;

use super::keys::AccessKey;

/// Details of one request, added while it is processed.
pub(super) struct RequestLog<'a> {
    metrics: &'a Metrics,
    interface: &'static str,
    peer: PeerAddr,
    pub key: Option<Arc<AccessKey>>,
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
    pub(super) fn new(metrics: &'a Metrics, interface: &'static str, peer: PeerAddr) -> Self {
        Self {
            metrics,
            interface,
            peer,
            key: None,
            action: None,
        }
    }

    /// Counts and logs the result. `secret` parses the body, and is called only for an audit line.
    pub(super) fn finish(self, refusal: Option<&Refusal>, secret: impl FnOnce() -> String) {
        let action = self.action.map_or("unknown", Action::name);
        let outcome = refusal.map_or("ok", |refusal| refusal.kind.name());
        self.metrics.served_request(self.interface, action, outcome);
        let Some(key) = &self.key else {
            tracing::debug!(peer = %self.peer.0, outcome, "request to the served store refused");
            return;
        };
        let changes = self.action.is_some_and(|action| !action.reads());
        let denied = refusal.is_some_and(|refusal| refusal.kind == RefusalKind::AccessDenied);
        if changes || denied {
            tracing::info!(target: AUDIT, secret = secret(), asked = action, key = key.id(), of = key.name(), interface = self.interface, peer = %self.peer.0, refused = refusal.map_or("", |_| outcome), "request to the served store");
        } else {
            tracing::debug!(
                asked = action,
                key = key.id(),
                outcome,
                "read from the served store"
            );
        }
    }
}
