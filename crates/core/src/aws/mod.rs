//! Access to AWS: one SDK config of each store, for it and for the engines that call AWS.
//!
//! # Failure modes
//! - Each run requests new credentials. The config is loaded once, by the first call, and the SDK
//!   caches its credentials.
//! - A rotation that does not use AWS waits for its metadata service. The config is loaded on first
//!   use only.
//! - An endpoint does not respond, and a call never ends. Every call has a time limit.
//! - The credentials of a role end in the middle of a run. They are renewed before they end (`role`).
//! - Forty roles request the worker's own credentials forty times. They share one config for that.

pub mod arn;
mod role;
pub mod secret_id;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use tokio::sync::OnceCell;

use role::{Refusals, RoleCredentials};

pub use role::{Role, RoleError};

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
    role: Option<Role>,
    refusals: Refusals,
    /// The config whose credentials are used; `None` for the SDK's default chain.
    base: Option<Aws>,
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
            ..Inner::default()
        }))
    }

    /// A further account or region that stores secrets, with the credentials of `base`, or those of a
    /// role that `base` assumes. STS is called in the same region, and at the same endpoint.
    #[must_use]
    pub fn of_further_store(
        base: &Self,
        region: Option<&str>,
        endpoint_url: Option<&str>,
        role: Option<Role>,
    ) -> Self {
        Self(Arc::new(Inner {
            region: region.map(str::to_owned),
            endpoint_url: endpoint_url.map(str::to_owned),
            stores_secrets: true,
            role,
            base: Some(base.clone()),
            ..Inner::default()
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

    /// Notes that AWS refused the credentials of a role: the next call may assume the role again.
    pub fn refused(&self) {
        self.0.refusals.note();
    }

    /// The SDK's config, loaded by the first call.
    pub async fn config(&self) -> &SdkConfig {
        self.0.loaded.get_or_init(|| self.0.load()).await
    }
}

impl Inner {
    async fn load(&self) -> SdkConfig {
        match &self.base {
            None => self.loader().load().await,
            Some(base) => self.load_further(Box::pin(base.config()).await).await,
        }
    }

    /// With the credentials of `base` or of the role.
    async fn load_further(&self, base: &SdkConfig) -> SdkConfig {
        let mut loader = self.loader();
        if let Some(own) = base.credentials_provider() {
            loader = loader.credentials_provider(own);
        }
        let config = loader.load().await;
        let Some(role) = &self.role else {
            return config;
        };
        let provider = RoleCredentials::new(role, &config, self.refusals.clone()).await;
        let loader = self.loader().identity_cache(IdentityCache::no_cache());
        loader.credentials_provider(provider).load().await
    }

    fn loader(&self) -> ConfigLoader {
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
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        loader
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
