//! The served store of the demo, from which its applications read their secrets with the AWS SDK.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::config::{Credentials, SharedCredentialsProvider};
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;

use crate::environment::DemoError;
use twinkey::config::settings::SecretsBackend;
use twinkey_core::telemetry::Clock;
use twinkey_core::telemetry::metrics::Metrics;
use twinkey_stores::SecretStore;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::listener::Listener;
use twinkey_stores::local::LocalStore;
use twinkey_stores::served::keys::{AccessKey, AccessKeys, NewKey};
use twinkey_stores::served::policy::Policy;
use twinkey_stores::served::{Served, router};

/// The served store, on a free port of this machine. Dropping it stops it.
pub(super) struct Applications {
    endpoint: JoinHandle<()>,
    config: SdkConfig,
}

impl Applications {
    /// Serves the store to one key, which may read it.
    ///
    /// # Errors
    /// [`DemoError`]
    pub(super) async fn serve(
        secrets: &SecretsBackend,
        metrics: &Metrics,
        clock: &Clock,
    ) -> Result<Self, DemoError> {
        let SecretsBackend::Local { path, key_file, .. } = secrets else {
            return Err(DemoError::Other(
                "the store of the demo is not the embedded one".into(),
            ));
        };
        let defect = |error: &dyn std::fmt::Display| DemoError::Other(error.to_string());
        let store = Arc::new(LocalStore::open(path, key_file).await?);
        let new = NewKey::draw().map_err(|error| defect(&error))?;
        let policy = Policy::new(&["GetSecretValue".into()], &["demo/*".into()]);
        let policy = policy.map_err(|error| defect(&error))?;
        let keys: AccessKeys = [AccessKey::new(&new.id, "demo", &new.secret, policy)]
            .into_iter()
            .collect();
        let served = Served::new(store, keys, metrics.clone(), clock.clone());
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), None).await?;
        let url = format!("http://{}", listener.address());
        // It ends with the demo. The tallies report applications that cannot read.
        let serving = listener.serve(router(Arc::new(served)), std::future::pending());
        let endpoint = tokio::spawn(serving);
        let secret = new.secret.expose_secret();
        let credentials = Credentials::new(&new.id, secret, None, None, "demo");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(url)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        Ok(Self { endpoint, config })
    }

    /// The client of an application.
    pub(super) fn client(&self) -> Arc<dyn SecretStore> {
        Arc::new(AwsStore::from_config(&self.config))
    }
}

impl Drop for Applications {
    fn drop(&mut self) {
        self.endpoint.abort();
    }
}
