//! How the demo's applications read their secrets: from the served store, through the AWS SDK, as they would from
//! Secrets Manager.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::config::{Credentials, SharedCredentialsProvider};
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;

use crate::stage::StageError;
use twinkey::config::settings::SecretsBackend;
use twinkey_core::telemetry::Clock;
use twinkey_core::telemetry::metrics::Metrics;
use twinkey_stores::SecretStore;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::listener::{Listener, Peer};
use twinkey_stores::local::LocalStore;
use twinkey_stores::served::keys::{Key, Keys, NewKey};
use twinkey_stores::served::policy::Policy;
use twinkey_stores::served::{Served, router};

/// The served store of a demo, on a free port of this machine. It ends when it is dropped.
pub(super) struct Applications {
    endpoint: JoinHandle<()>,
    config: SdkConfig,
}

impl Applications {
    /// Serves the stage's store to whoever has the one key, which may read it.
    ///
    /// # Errors
    /// [`StageError`]
    pub(super) async fn serve(
        secrets: &SecretsBackend,
        metrics: &Metrics,
        clock: &Clock,
    ) -> Result<Self, StageError> {
        let SecretsBackend::Local { path, key_file, .. } = secrets else {
            return Err(StageError::Other("the demo's store is not its own".into()));
        };
        let defect = |error: &dyn std::fmt::Display| StageError::Other(error.to_string());
        let store = Arc::new(LocalStore::open(path, key_file).await?);
        let new = NewKey::draw().map_err(|error| defect(&error))?;
        let policy = Policy::new(&["GetSecretValue".into()], &["demo/*".into()]);
        let policy = policy.map_err(|error| defect(&error))?;
        let keys: Keys = [Key::new(&new.id, "demo", &new.secret, policy)]
            .into_iter()
            .collect();
        let served = Served::new(store, keys, metrics.clone(), clock.clone());
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), None).await?;
        let url = format!("http://{}", listener.address());
        let service = router(Arc::new(served)).into_make_service_with_connect_info::<Peer>();
        let endpoint = tokio::spawn(async move {
            // Ends with the demo; applications that cannot read are told by their tallies.
            let _ = axum::serve(listener, service).await;
        });
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

    /// An application's client.
    pub(super) fn client(&self) -> Arc<dyn SecretStore> {
        Arc::new(AwsStore::from_config(&self.config))
    }
}

impl Drop for Applications {
    fn drop(&mut self) {
        self.endpoint.abort();
    }
}
