//! Stores that forward to another store and change some of its calls.

use async_trait::async_trait;

use crate::{
    Description, ListFilter, ListedPage, SecretStore, SecretVersion, Selector, StoreError,
    VersionId,
};
use twinkey_core::secret::Sensitive;

/// A [`SecretStore`] over an inner store. Every call is forwarded unless its method is overridden.
#[async_trait]
pub trait StoreWrapper: Send + Sync {
    /// The wrapped store.
    fn inner(&self) -> &dyn SecretStore;

    /// [`SecretStore::describe`]
    ///
    /// # Errors
    /// [`StoreError`]
    async fn describe(&self, secret: &str) -> Result<Description, StoreError> {
        self.inner().describe(secret).await
    }

    /// [`SecretStore::get`]
    ///
    /// # Errors
    /// [`StoreError`]
    async fn get(&self, secret: &str, which: Selector<'_>) -> Result<SecretVersion, StoreError> {
        self.inner().get(secret, which).await
    }

    /// [`SecretStore::get_batch`]
    ///
    /// # Errors
    /// [`StoreError`]
    async fn get_batch(&self, secrets: &[&str]) -> Result<Vec<Option<SecretVersion>>, StoreError> {
        self.inner().get_batch(secrets).await
    }

    /// [`SecretStore::list`]
    ///
    /// # Errors
    /// [`StoreError`]
    async fn list(
        &self,
        filters: &[ListFilter],
        page: Option<&str>,
    ) -> Result<ListedPage, StoreError> {
        self.inner().list(filters, page).await
    }

    /// [`SecretStore::unlabelled`]
    ///
    /// # Errors
    /// [`StoreError`]
    async fn unlabelled(&self, secret: &str) -> Result<Vec<VersionId>, StoreError> {
        self.inner().unlabelled(secret).await
    }

    /// [`SecretStore::put`]
    ///
    /// # Errors
    /// [`StoreError`]
    async fn put(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Sensitive,
        stage: &str,
    ) -> Result<(), StoreError> {
        self.inner().put(secret, id, value, stage).await
    }

    /// [`SecretStore::move_stage`]
    ///
    /// # Errors
    /// [`StoreError`]
    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        self.inner().move_stage(secret, stage, from, to).await
    }

    /// [`SecretStore::ping`]
    ///
    /// # Errors
    /// [`StoreError`]
    async fn ping(&self) -> Result<(), StoreError> {
        self.inner().ping().await
    }
}

#[async_trait]
impl<W: StoreWrapper> SecretStore for W {
    async fn describe(&self, secret: &str) -> Result<Description, StoreError> {
        StoreWrapper::describe(self, secret).await
    }

    async fn get(&self, secret: &str, which: Selector<'_>) -> Result<SecretVersion, StoreError> {
        StoreWrapper::get(self, secret, which).await
    }

    async fn get_batch(&self, secrets: &[&str]) -> Result<Vec<Option<SecretVersion>>, StoreError> {
        StoreWrapper::get_batch(self, secrets).await
    }

    async fn list(
        &self,
        filters: &[ListFilter],
        page: Option<&str>,
    ) -> Result<ListedPage, StoreError> {
        StoreWrapper::list(self, filters, page).await
    }

    async fn unlabelled(&self, secret: &str) -> Result<Vec<VersionId>, StoreError> {
        StoreWrapper::unlabelled(self, secret).await
    }

    async fn put(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Sensitive,
        stage: &str,
    ) -> Result<(), StoreError> {
        StoreWrapper::put(self, secret, id, value, stage).await
    }

    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        StoreWrapper::move_stage(self, secret, stage, from, to).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        StoreWrapper::ping(self).await
    }

    async fn close(&self) {
        self.inner().close().await;
    }
}
