//! The one place that knows which stores there are.

use std::sync::Arc;

use crate::config::settings::{Limits, SecretsBackend};
use twinkey_core::aws::Aws;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::local::LocalStore;
use twinkey_stores::throttle::{Pace, Throttled};
use twinkey_stores::{SecretStore, StoreError};

/// Opens the store of a config. AWS's writes are throttled, by `shared` where several workers share the quota; the
/// embedded store's need not be.
///
/// # Errors
/// [`StoreError`] when the embedded store does not open. AWS is first called with the first call.
pub async fn open(
    backend: &SecretsBackend,
    limits: &Limits,
    aws: &Aws,
    shared: Option<Arc<dyn Pace>>,
) -> Result<Arc<dyn SecretStore>, StoreError> {
    match backend {
        SecretsBackend::Aws { .. } => {
            let store = AwsStore::from_config(aws.config().await);
            Ok(Arc::new(match shared {
                Some(pace) => Throttled::paced(store, pace),
                None => Throttled::new(store, limits.store_writes()),
            }))
        }
        SecretsBackend::Local { path, key_file, .. } => {
            Ok(Arc::new(LocalStore::open(path, key_file).await?))
        }
    }
}
