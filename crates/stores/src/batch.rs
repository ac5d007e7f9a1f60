//! Many secrets read in few calls, where that saves some: for the heartbeats, of which there may be thousands between two
//! windows, at AWS's price a call. A run reads its two secrets by themselves, at the same time: one call less would
//! cost every user another permission.
//!
//! What can go wrong, and what prevents it:
//! - `secretsmanager:BatchGetSecretValue` is not allowed, or a stand-in does not have it: each secret is asked for alone, as
//!   without all this, and the batch is not tried again for an hour (denied calls are what people set alarms on);
//! - one secret of twenty is missing, denied or made of bytes: it alone is asked for again, and has its own error.

use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{SecretStore, SecretVersion, Selector, StoreError, stage};

/// AWS takes at most so many in one call (`SecretIdList`, API reference).
pub const MAX_BATCH: usize = 20;
/// How long a store that does not allow it is left alone.
const OFF: Duration = Duration::from_secs(3600);

/// Reads in batches, and remembers where the store does not allow it.
#[derive(Debug, Default)]
pub struct BatchReader {
    off_until: Mutex<Option<Instant>>,
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
            let found = self.together(store, some).await;
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

    /// What one call gives of them.
    async fn together(&self, store: &dyn SecretStore, some: &[&str]) -> Vec<Option<SecretVersion>> {
        let nothing = || vec![None; some.len()];
        if some.len() < 2 || self.off_until().is_some_and(|until| Instant::now() < until) {
            return nothing();
        }
        match store.get_batch(some).await {
            Ok(found) => found,
            Err(error @ (StoreError::Denied { .. } | StoreError::Refused { .. })) => {
                tracing::info!(%error, "secrets are read one by one: allowing the worker's role secretsmanager:BatchGetSecretValue saves calls");
                *self.off_until() = Some(Instant::now() + OFF);
                nothing()
            }
            Err(error) => {
                tracing::debug!(%error, "a batch of secrets could not be read; each is asked for alone");
                nothing()
            }
        }
    }

    fn off_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.off_until.lock()
    }
}
