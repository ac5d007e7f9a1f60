//! Settings of `[[store]]`.

use std::num::NonZeroU32;
use std::sync::Arc;

use twinkey_core::aws::arn;
use twinkey_core::aws::secret_id::Location;

/// The name of `[secrets]` among the stores.
pub const DEFAULT_STORE: &str = "secrets";

/// `[[store]]`: Secrets Manager of a further account or region.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreSettings {
    /// `[a-z0-9-]+`
    pub name: String,
    /// `None` for the region of the SDK's default chain.
    pub region: Option<String>,
    /// Of all calls for this store, also those to STS.
    pub endpoint_url: Option<String>,
    /// `None` for the worker's own credentials.
    pub assume_role: Option<AssumeRole>,
    pub writes_per_second: NonZeroU32,
}

/// `store.assume_role`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AssumeRole {
    pub arn: String,
    pub external_id: Option<String>,
}

/// The store in whose account a resource with this ARN is called: the one of its account, if possible of
/// its region too. `None` for `[secrets]`, and for a text that is no ARN.
#[must_use]
pub fn store_of_arn<'a>(
    stores: &'a [Arc<StoreSettings>],
    resource: &str,
) -> Option<&'a Arc<StoreSettings>> {
    let account = arn::account(resource)?;
    let of_account = || {
        stores
            .iter()
            .filter(|store| store.account() == Some(account))
    };
    let region = arn::region(resource);
    of_account()
        .find(|store| store.region.as_deref() == region)
        .or_else(|| of_account().next())
}

impl StoreSettings {
    /// The account of its role.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.assume_role
            .as_ref()
            .and_then(|role| arn::account_of_role(&role.arn))
    }

    /// Account and region of its secrets, as far as the config has them.
    #[must_use]
    pub fn location(&self) -> Location<'_> {
        Location {
            region: self.region.as_deref(),
            account: self.account(),
        }
    }

    /// The key of its write quota, which AWS counts by account and region.
    #[must_use]
    pub fn quota(&self) -> String {
        match (self.account(), &self.region) {
            (Some(account), Some(region)) => format!("{account}/{region}"),
            _ => self.name.clone(),
        }
    }
}
