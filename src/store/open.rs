//! The one place that knows which stores there are.

use std::sync::Arc;

use super::aws::AwsStore;
use super::local::LocalStore;
use super::throttle::{Pace, Throttled};
use super::{SecretStore, StoreError};
use crate::aws::Aws;
use crate::config::settings::{Limits, SecretsBackend};

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
