//! Store that counts its calls.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Description, ListFilter, ListedPage, SecretStore, SecretVersion, Selector, StoreError,
    StoreWrapper, VersionId,
};
use twinkey_core::secret::Sensitive;
use twinkey_core::telemetry::metrics::Metrics;

/// Counter of the calls to a store, by AWS's name of the operation and by outcome.
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
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let outcome = match &result {
            Ok(_) => "ok",
            Err(StoreError::NotFound { .. }) => "not_found",
            Err(StoreError::VersionExists { .. } | StoreError::StageMoved { .. }) => "conflict",
            Err(StoreError::Throttled { .. }) => "throttled",
            Err(StoreError::Quota { .. }) => "quota",
            Err(StoreError::Denied { .. } | StoreError::Credentials { .. }) => "denied",
            Err(
                StoreError::Refused { .. }
                | StoreError::Binary { .. }
                | StoreError::NoFile { .. }
                | StoreError::KeyFile { .. }
                | StoreError::Damaged { .. },
            ) => "refused",
            Err(StoreError::Unavailable { .. }) => "unavailable",
        };
        self.metrics.store_request(operation, outcome);
        result
    }
}

#[async_trait]
impl StoreWrapper for Measured {
    fn inner(&self) -> &dyn SecretStore {
        &*self.store
    }

    async fn describe(&self, secret: &str) -> Result<Description, StoreError> {
        self.count("DescribeSecret", self.store.describe(secret).await)
    }

    async fn get(&self, secret: &str, which: Selector<'_>) -> Result<SecretVersion, StoreError> {
        self.count("GetSecretValue", self.store.get(secret, which).await)
    }

    async fn get_batch(&self, secrets: &[&str]) -> Result<Vec<Option<SecretVersion>>, StoreError> {
        let result = self.store.get_batch(secrets).await;
        self.count("BatchGetSecretValue", result)
    }

    async fn list(
        &self,
        filters: &[ListFilter],
        page: Option<&str>,
    ) -> Result<ListedPage, StoreError> {
        self.count("ListSecrets", self.store.list(filters, page).await)
    }

    async fn unlabelled(&self, secret: &str) -> Result<Vec<VersionId>, StoreError> {
        let result = self.store.unlabelled(secret).await;
        self.count("ListSecretVersionIds", result)
    }

    async fn put(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Sensitive,
        stage: &str,
    ) -> Result<(), StoreError> {
        let result = self.store.put(secret, id, value, stage).await;
        self.count("PutSecretValue", result)
    }

    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        let result = self.store.move_stage(secret, stage, from, to).await;
        self.count("UpdateSecretVersionStage", result)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.count("ListSecrets", self.store.ping().await)
    }
}
