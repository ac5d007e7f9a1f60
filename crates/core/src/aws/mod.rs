//! How AWS is reached: one SDK config for the store and for the engines that speak to AWS.
//!
//! What can go wrong, and what prevents it:
//! - each run asks for credentials anew: the config is loaded once, with the first call, and its
//!   credentials are cached by the SDK;
//! - a rotation that needs nothing of AWS waits for its metadata service: nothing is loaded before it
//!   is asked for;
//! - an endpoint falls silent and a call never ends: every call has a time limit.

pub mod arn;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use tokio::sync::OnceCell;

/// In the user agent of every call, so that CloudTrail and a stand-in can tell whose it is.
const APP_NAME: &str = "twinkey";
/// For clients that set no limits of their own.
const CONNECT: Duration = Duration::from_secs(3);
const ONE_TRY: Duration = Duration::from_secs(10);
const ALL_TRIES: Duration = Duration::from_secs(30);

/// A handle, cheap to clone.
#[derive(Clone, Default)]
pub struct Aws(Arc<Inner>);

#[derive(Default)]
struct Inner {
    region: Option<String>,
    endpoint_url: Option<String>,
    keeps_secrets: bool,
    loaded: OnceCell<SdkConfig>,
}

impl Aws {
    /// The account and region in which the secrets are kept. What is not given comes from the SDK's
    /// default chain (environment, profile, ECS, IMDS).
    #[must_use]
    pub fn of_store(region: Option<&str>, endpoint_url: Option<&str>) -> Self {
        Self(Arc::new(Inner {
            region: region.map(str::to_owned),
            endpoint_url: endpoint_url.map(str::to_owned),
            keeps_secrets: true,
            loaded: OnceCell::new(),
        }))
    }

    /// Over a ready SDK config, of the account that keeps the secrets.
    #[must_use]
    pub fn from_config(config: SdkConfig) -> Self {
        Self(Arc::new(Inner {
            keeps_secrets: true,
            loaded: OnceCell::new_with(Some(config)),
            ..Inner::default()
        }))
    }

    /// Whether AWS can read the secrets by their names.
    #[must_use]
    pub fn keeps_secrets(&self) -> bool {
        self.0.keeps_secrets
    }

    /// The SDK's config, loaded at the first call.
    pub async fn config(&self) -> &SdkConfig {
        let load = || async {
            let limits = TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .operation_attempt_timeout(ONE_TRY)
                .operation_timeout(ALL_TRIES);
            let mut loader =
                aws_config::defaults(BehaviorVersion::latest()).timeout_config(limits.build());
            // It is well formed; a test sees it arrive.
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
    /// Without the SDK's config, which knows where credentials come from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws")
            .field("region", &self.0.region)
            .field("endpoint_url", &self.0.endpoint_url)
            .finish_non_exhaustive()
    }
}
