//! The stores of this build: the only place that names all of them.

use std::sync::Arc;

use crate::config::settings::{Limits, SecretsBackend};
use twinkey_core::aws::Aws;
use twinkey_stores::local::LocalStore;
use twinkey_stores::throttle::WriteLimiter;
use twinkey_stores::{SecretStore, StoreError};

/// Opens the store of a config; with `create`, a missing embedded store is created. Writes to AWS are
/// throttled, by `shared` where several workers share the quota.
///
/// # Errors
/// [`StoreError`] when the embedded store does not open. AWS is first called by the first operation.
pub async fn open(
    backend: &SecretsBackend,
    create: bool,
    limits: &Limits,
    aws: &Aws,
    shared: Option<Arc<dyn WriteLimiter>>,
) -> Result<Arc<dyn SecretStore>, StoreError> {
    match backend {
        SecretsBackend::Aws { .. } => open_aws(limits, aws, shared).await,
        SecretsBackend::Local { path, key_file, .. } if create => {
            Ok(Arc::new(LocalStore::open(path, key_file).await?))
        }
        SecretsBackend::Local { path, key_file, .. } => {
            Ok(Arc::new(LocalStore::open_existing(path, key_file).await?))
        }
    }
}

#[cfg(feature = "aws")]
async fn open_aws(
    limits: &Limits,
    aws: &Aws,
    shared: Option<Arc<dyn WriteLimiter>>,
) -> Result<Arc<dyn SecretStore>, StoreError> {
    use twinkey_stores::aws::AwsStore;
    use twinkey_stores::throttle::Throttled;

    let store = AwsStore::from_config(aws.config().await);
    Ok(Arc::new(match shared {
        Some(pace) => Throttled::with_limiter(store, pace),
        None => Throttled::new(store, limits.store_writes()),
    }))
}

/// The config refuses this backend before.
#[cfg(not(feature = "aws"))]
async fn open_aws(
    _limits: &Limits,
    _aws: &Aws,
    _shared: Option<Arc<dyn WriteLimiter>>,
) -> Result<Arc<dyn SecretStore>, StoreError> {
    Err(StoreError::Unavailable {
        reason: "this build lacks the Cargo feature `aws`".into(),
    })
}
