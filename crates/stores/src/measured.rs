//! A store whose calls are counted.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Description, SecretStore, SecretVersion, Selector, StoreError, VersionId};
use twinkey_core::secret::Sensitive;
use twinkey_core::telemetry::metrics::Metrics;

/// Counts every call to a store, by AWS's name for it and by how it was answered.
pub struct Measured {
    store: Arc<dyn SecretStore>,
    metrics: Metrics,
}

impl Measured {
    #[must_use]
    pub const fn new(store: Arc<dyn SecretStore>, metrics: Metrics) -> Self {
        Self { store, metrics }
    }

    fn count<T>(
        &self,
        operation: &'static str,
        answer: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let outcome = match &answer {
            Ok(_) => "ok",
            Err(StoreError::NotFound { .. }) => "not_found",
            Err(StoreError::VersionExists { .. } | StoreError::StageMoved { .. }) => "conflict",
            Err(StoreError::Throttled { .. }) => "throttled",
            Err(StoreError::Denied { .. }) => "denied",
            Err(StoreError::Refused { .. } | StoreError::KeyFile { .. }) => "refused",
            Err(StoreError::Unavailable { .. }) => "unavailable",
        };
        self.metrics.store_request(operation, outcome);
        answer
    }
}

#[async_trait]
impl SecretStore for Measured {
    async fn describe(&self, secret: &str) -> Result<Description, StoreError> {
        self.count("DescribeSecret", self.store.describe(secret).await)
    }

    async fn get(&self, secret: &str, which: Selector<'_>) -> Result<SecretVersion, StoreError> {
        self.count("GetSecretValue", self.store.get(secret, which).await)
    }

    async fn get_batch(&self, secrets: &[&str]) -> Result<Vec<Option<SecretVersion>>, StoreError> {
        let answer = self.store.get_batch(secrets).await;
        self.count("BatchGetSecretValue", answer)
    }

    async fn put(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Sensitive,
        stage: &str,
    ) -> Result<(), StoreError> {
        let answer = self.store.put(secret, id, value, stage).await;
        self.count("PutSecretValue", answer)
    }

    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        let answer = self.store.move_stage(secret, stage, from, to).await;
        self.count("UpdateSecretVersionStage", answer)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.count("ListSecrets", self.store.ping().await)
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
