//! Access to AWS: one SDK config for the store and for the engines that call AWS.
//!
//! # Failure modes
//! - Each run requests new credentials. The config is loaded once, by the first call, and the SDK
//!   caches its credentials.
//! - A rotation that does not use AWS waits for its metadata service. The config is loaded on first
//!   use only.
//! - An endpoint does not respond, and a call never ends. Every call has a time limit.

pub mod arn;
pub mod secret_id;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use tokio::sync::OnceCell;

/// Name in the user agent of every call, for CloudTrail and stand-ins.
const APP_NAME: &str = "twinkey";
/// Limits of clients that set none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Lazily loaded SDK config. Cheap to clone.
#[derive(Clone, Default)]
pub struct Aws(Arc<Inner>);

#[derive(Default)]
struct Inner {
    region: Option<String>,
    endpoint_url: Option<String>,
    stores_secrets: bool,
    loaded: OnceCell<SdkConfig>,
}

impl Aws {
    /// The account and region that store the secrets. Missing values come from the SDK's default
    /// chain (environment, profile, ECS, IMDS).
    #[must_use]
    pub fn of_store(region: Option<&str>, endpoint_url: Option<&str>) -> Self {
        Self(Arc::new(Inner {
            region: region.map(str::to_owned),
            endpoint_url: endpoint_url.map(str::to_owned),
            stores_secrets: true,
            loaded: OnceCell::new(),
        }))
    }

    /// An SDK config of the account that stores the secrets.
    #[must_use]
    pub fn from_config(config: SdkConfig) -> Self {
        Self(Arc::new(Inner {
            stores_secrets: true,
            loaded: OnceCell::new_with(Some(config)),
            ..Inner::default()
        }))
    }

    /// Whether AWS stores the secrets, so that it can read them by name.
    #[must_use]
    pub fn stores_secrets(&self) -> bool {
        self.0.stores_secrets
    }

    /// The SDK's config, loaded by the first call.
    pub async fn config(&self) -> &SdkConfig {
        let load = || async {
            let limits = TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT);
            let mut loader =
                aws_config::defaults(BehaviorVersion::latest()).timeout_config(limits.build());
            // The name is valid; a test checks the user agent.
            if let Ok(name) = AppName::new(APP_NAME) {
                loader = loader.app_name(name);
            }
            if let Some(region) = &self.0.region {
                loader = loader.region(Region::new(region.clone()));
            }
            if let Some(url) = &self.0.endpoint_url {
                loader = loader.endpoint_url(url);
            }
            loader.load().await
        };
        self.0.loaded.get_or_init(load).await
    }
}

impl fmt::Debug for Aws {
    /// Omits the SDK's config, which contains the source of credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws")
            .field("region", &self.0.region)
            .field("endpoint_url", &self.0.endpoint_url)
            .finish_non_exhaustive()
    }
}
