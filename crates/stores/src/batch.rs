//! Reads of many secrets in few calls, which are billed per call.
//!
//! Heartbeats of thousands of rotations use this. A run reads its two secrets alone, at the same
//! time: a batch would save one call and require another permission from every user.
//!
//! # Failure modes
//! - The role lacks `secretsmanager:BatchGetSecretValue`, or a stand-in does not implement it. Each
//!   secret is read alone. Batches are retried after an hour, because denied calls can trigger
//!   alarms.
//! - One of twenty secrets is missing, denied or binary. It alone is read again, and has its own
//!   error.

use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{SecretStore, SecretVersion, Selector, StoreError, stage};

/// AWS's limit of secrets in one call (`SecretIdList`, API reference).
pub const MAX_BATCH: usize = 20;
/// Pause of batches after a denied one.
const PAUSE: Duration = Duration::from_secs(3600);

/// Reader of batches that pauses when the store denies them.
#[derive(Debug, Default)]
pub struct BatchReader {
    paused_until: Mutex<Option<Instant>>,
}

impl BatchReader {
    /// AWSCURRENT of each secret, in their order.
    pub async fn read(
        &self,
        store: &dyn SecretStore,
        secrets: &[&str],
    ) -> Vec<Result<SecretVersion, StoreError>> {
        let mut all = Vec::with_capacity(secrets.len());
        for some in secrets.chunks(MAX_BATCH) {
            let found = self.read_batch(store, some).await;
            let each = some
                .iter()
                .zip(found)
                .map(async |(secret, found)| match found {
                    Some(version) => Ok(version),
                    None => store.get(secret, Selector::Stage(stage::CURRENT)).await,
                });
            all.extend(join_all(each).await);
        }
        all
    }

    /// The result of one batch call.
    async fn read_batch(
        &self,
        store: &dyn SecretStore,
        some: &[&str],
    ) -> Vec<Option<SecretVersion>> {
        let nothing = || vec![None; some.len()];
        if some.len() < 2
            || self
                .paused_until()
                .is_some_and(|until| Instant::now() < until)
        {
            return nothing();
        }
        match store.get_batch(some).await {
            Ok(found) => found,
            Err(error @ (StoreError::Denied { .. } | StoreError::Refused { .. })) => {
                tracing::info!(%error, "batch reads paused; allow the worker's role secretsmanager:BatchGetSecretValue to save calls");
                *self.paused_until() = Some(Instant::now() + PAUSE);
                nothing()
            }
            Err(error) => {
                tracing::debug!(%error, "batch read failed; reading each secret alone");
                nothing()
            }
        }
    }

    fn paused_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.paused_until.lock()
    }
}
