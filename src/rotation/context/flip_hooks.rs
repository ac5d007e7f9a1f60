//! Hooks before a flip, as a run sees them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What a hook is passed about a run. It holds no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlipFacts {
    pub rotation: String,
    /// The secret's name or ARN, as in the config.
    pub secret: String,
    /// The run in the journal.
    pub run: Option<Uuid>,
    /// The version of AWSPENDING.
    pub version_id: String,
    pub from_user: String,
    pub to_user: String,
    /// The secret's own host, with its port.
    pub host: String,
    /// The readers and poolers of the config, with their ports.
    pub readers: Vec<String>,
    pub poolers: Vec<String>,
    pub at: DateTime<Utc>,
}

/// The hooks of a config with `when = "before_flip"`.
#[async_trait]
pub trait FlipHooks: Send + Sync {
    /// The hooks of a rotation, in the order in which they run.
    fn of_rotation(&self, rotation: &str) -> Vec<String>;

    /// Runs the hooks of a rotation, one after the other, until one fails.
    ///
    /// # Errors
    /// Which hook failed, and why.
    async fn run(&self, facts: &FlipFacts) -> Result<(), String>;
}

/// A config without hooks before the flip.
pub struct NoFlipHooks;

#[async_trait]
impl FlipHooks for NoFlipHooks {
    fn of_rotation(&self, _rotation: &str) -> Vec<String> {
        Vec::new()
    }

    async fn run(&self, _facts: &FlipFacts) -> Result<(), String> {
        Ok(())
    }
}
