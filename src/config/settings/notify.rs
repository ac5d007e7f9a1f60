//! Settings of `[[notify]]`.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;
use serde::Serialize;

use super::TokenSource;

/// The shortest key of a webhook, in characters.
pub const MIN_KEY_LENGTH: usize = 16;

/// One `[[notify]]`.
#[derive(Debug, Clone)]
pub struct Notify {
    pub events: Vec<NotifyEvent>,
    pub to: Destination,
}

/// The receiver of notifications.
#[derive(Clone)]
pub enum Destination {
    /// `kind = "webhook"`: a signed POST request.
    Webhook {
        /// Often contains a secret, so that only its host is shown.
        url: Url,
        /// The key of the signature.
        key: TokenSource,
        /// A PEM file with additional TLS roots.
        ca_file: Option<PathBuf>,
    },
    /// `kind = "sns"`
    Sns { topic_arn: String },
    /// `kind = "eventbridge"`, with the name or ARN of a bus.
    EventBridge { bus: String },
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook { url, .. } => {
                write!(f, "webhook {}", url.host_str().unwrap_or_default())
            }
            Self::Sns { topic_arn } => write!(f, "sns {topic_arn}"),
            Self::EventBridge { bus } => write!(f, "eventbridge {bus}"),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An event that can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyEvent {
    Started,
    Succeeded,
    Failed,
    Missed,
    RolledBack,
    Retired,
    StandbyInUse,
    CurrentRefused,
}

impl NotifyEvent {
    /// All events.
    pub const ALL: [Self; 8] = [
        Self::Started,
        Self::Succeeded,
        Self::Failed,
        Self::Missed,
        Self::RolledBack,
        Self::Retired,
        Self::StandbyInUse,
        Self::CurrentRefused,
    ];

    /// The name in the config and in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Missed => "missed",
            Self::RolledBack => "rolled_back",
            Self::Retired => "retired",
            Self::StandbyInUse => "standby_in_use",
            Self::CurrentRefused => "current_refused",
        }
    }
}
