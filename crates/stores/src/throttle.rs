//! Write limit of a worker, or of all workers that share a journal.
//!
//! # Failure modes
//! - Many rotations of one window use up the account's quota (50 writes a second to Secrets
//!   Manager), and calls of other applications are refused. Every write waits for a token, in the
//!   order of arrival. Reads have a far higher quota and do not wait.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::{SecretStore, StoreError, StoreWrapper, VersionId};
use twinkey_core::secret::Sensitive;

/// Limiter of writes to a store.
#[async_trait]
pub trait WriteLimiter: Send + Sync {
    /// Waits until the caller may write.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the limit cannot be determined for a long time.
    async fn acquire(&self) -> Result<(), StoreError>;
}

/// Token bucket of this process.
struct LocalLimiter(DefaultDirectRateLimiter);

#[async_trait]
impl WriteLimiter for LocalLimiter {
    async fn acquire(&self) -> Result<(), StoreError> {
        self.0.until_ready().await;
        Ok(())
    }
}

/// Store with limited writes.
pub struct Throttled<S> {
    store: S,
    limiter: Arc<dyn WriteLimiter>,
}

impl<S: SecretStore> Throttled<S> {
    /// Limits writes to `writes_per_second`, evenly spaced. A burst is at most a tenth of that, so
    /// that no second has more than 1.1 times the rate.
    #[must_use]
    pub fn new(store: S, writes_per_second: NonZeroU32) -> Self {
        let burst = NonZeroU32::new(writes_per_second.get() / 10).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(writes_per_second).allow_burst(burst);
        Self::with_limiter(store, Arc::new(LocalLimiter(RateLimiter::direct(quota))))
    }

    /// Uses an external limiter.
    #[must_use]
    pub fn with_limiter(store: S, limiter: Arc<dyn WriteLimiter>) -> Self {
        Self { store, limiter }
    }
}

#[async_trait]
impl<S: SecretStore> StoreWrapper for Throttled<S> {
    fn inner(&self) -> &dyn SecretStore {
        &self.store
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
}
