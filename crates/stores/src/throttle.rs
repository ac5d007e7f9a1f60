//! One bucket for all writes of this worker, or of all workers that share a journal.
//!
//! What can go wrong: many rotations due in one window use up the account's quota (50 writes a second
//! to Secrets Manager) and get other people's calls refused. Every write waits for a token here, in
//! the order of arrival; reads have a far higher quota and do not wait.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{Description, SecretStore, SecretVersion, Selector, StoreError, VersionId};
use twinkey_core::secret::Sensitive;

/// Says when a write may be made.
#[async_trait]
pub trait WriteLimiter: Send + Sync {
    /// Waits for the caller's turn to write.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where nobody can say for long.
    async fn acquire(&self) -> Result<(), StoreError>;
}

/// A bucket of this process's own.
struct LocalLimiter(DefaultDirectRateLimiter);

#[async_trait]
impl WriteLimiter for LocalLimiter {
    async fn acquire(&self) -> Result<(), StoreError> {
        self.0.until_ready().await;
        Ok(())
    }
}

/// A store whose writes are spaced out.
pub struct Throttled<S> {
    store: S,
    limiter: Arc<dyn WriteLimiter>,
}

impl<S: SecretStore> Throttled<S> {
    /// At most `writes_per_second`, evenly: a burst after a quiet time is a tenth of it, so that no
    /// second ever sees more than 1.1 times the rate.
    #[must_use]
    pub fn new(store: S, writes_per_second: NonZeroU32) -> Self {
        let burst = NonZeroU32::new(writes_per_second.get() / 10).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(writes_per_second).allow_burst(burst);
        Self::with_limiter(store, Arc::new(LocalLimiter(RateLimiter::direct(quota))))
    }

    /// As somebody else says.
    #[must_use]
    pub fn with_limiter(store: S, limiter: Arc<dyn WriteLimiter>) -> Self {
        Self { store, limiter }
    }
}

#[async_trait]
impl<S: SecretStore> SecretStore for Throttled<S> {
    async fn describe(&self, secret: &str) -> Result<Description, StoreError> {
        self.store.describe(secret).await
    }

    async fn get(&self, secret: &str, which: Selector<'_>) -> Result<SecretVersion, StoreError> {
        self.store.get(secret, which).await
    }

    async fn get_batch(&self, secrets: &[&str]) -> Result<Vec<Option<SecretVersion>>, StoreError> {
        self.store.get_batch(secrets).await
    }

    async fn put(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Sensitive,
        stage: &str,
    ) -> Result<(), StoreError> {
        self.limiter.acquire().await?;
        self.store.put(secret, id, value, stage).await
    }

    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        self.limiter.acquire().await?;
        self.store.move_stage(secret, stage, from, to).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
