//! What is log of a request: a count always, a line where something was changed or a known key was refused.
//!
//! What can go wrong: a value stands in the log. Of a body only the members SecretId and Name are read here.

use std::sync::Arc;

use serde::Deserialize;

use crate::listener::PeerAddr;
use crate::local::api::Action;
use crate::local::{Refusal, RefusalKind};
use twinkey_core::telemetry::AUDIT;
use twinkey_core::telemetry::metrics::Metrics;

use super::keys::AccessKey;

/// One request, as it is found out about.
pub(super) struct RequestLog<'a> {
    metrics: &'a Metrics,
    interface: &'static str,
    peer: PeerAddr,
    pub key: Option<Arc<AccessKey>>,
    pub action: Option<Action>,
}

/// The secret that a request's body names, or an empty text.
pub(super) fn secret_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct About {
        #[serde(rename = "SecretId", alias = "Name")]
        secret: String,
    }
    let about = serde_json::from_slice::<About>(body);
    about.map(|about| about.secret).unwrap_or_default()
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

    /// It was answered so; `secret` finds out what it was about, which costs something, and is asked only
    /// where it is log.
    pub(super) fn finish(self, refusal: Option<&Refusal>, secret: impl FnOnce() -> String) {
        let action = self.action.map_or("unknown", Action::name);
        let outcome = refusal.map_or("ok", |refusal| refusal.kind.name());
        self.metrics.served_request(self.interface, action, outcome);
        let Some(key) = &self.key else {
            tracing::debug!(peer = %self.peer.0, outcome, "a request to the served store was refused");
            return;
        };
        let changes = self.action.is_some_and(|action| !action.reads());
        let denied = refusal.is_some_and(|refusal| refusal.kind == RefusalKind::AccessDenied);
        if changes || denied {
            tracing::info!(target: AUDIT, secret = secret(), asked = action, key = key.id(), of = key.name(), interface = self.interface, peer = %self.peer.0, refused = refusal.map_or("", |_| outcome), "asked for through the served store");
        } else {
            tracing::debug!(
                asked = action,
                key = key.id(),
                outcome,
                "read through the served store"
            );
        }
    }
}
