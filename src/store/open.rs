//! The one place that knows which stores there are.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::aws::AwsStore;
use super::local::LocalStore;
use super::throttle::Throttled;
use super::{SecretStore, StoreError};
use crate::aws::Aws;
use crate::config::settings::{Limits, SecretsBackend};

/// Opens the store of a config. AWS's writes are throttled; the embedded store's need not be.
///
/// # Errors
/// [`StoreError`] when the embedded store does not open. AWS is first called with the first call.
pub async fn open(
    backend: &SecretsBackend,
    limits: &Limits,
    aws: &Aws,
) -> Result<Arc<dyn SecretStore>, StoreError> {
    match backend {
        SecretsBackend::Aws { .. } => {
            let store = AwsStore::from_config(aws.config().await);
            // The config refuses 0; the slowest rate is the safe reading of it.
            let rate = NonZeroU32::new(limits.store_writes_per_second).unwrap_or(NonZeroU32::MIN);
            Ok(Arc::new(Throttled::new(store, rate)))
        }
        SecretsBackend::Local { path, key_file, .. } => {
            Ok(Arc::new(LocalStore::open(path, key_file).await?))
        }
    }
}
