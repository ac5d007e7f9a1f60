//! The store of `twinkey secret`: the embedded store's file, or the served store.
//!
//! # Failure modes
//! - A command reaches another store than expected, because of a variable for something else: it uses the
//!   served store only if the config serves it *and* the environment has a key of a served store, which
//!   its id shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::settings::SecretsBackend;
use twinkey_core::secret::Sensitive;
use twinkey_stores::local::{LocalStore, VersionEntry};
use twinkey_stores::served::keys;
use twinkey_stores::{SecretStore, SecretVersion, Selector, StoreError, VersionId};

use super::super::failure::Failure;
#[cfg(feature = "aws")]
use super::served::Served;

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";

pub(super) enum Access {
    File(Arc<LocalStore>),
    #[cfg(feature = "aws")]
    Served(Box<Served>),
}

/// Opens the store, and with `create` creates its file where it is missing.
pub(super) async fn open(backend: &SecretsBackend, create: bool) -> Result<Access, Failure> {
    match backend {
        #[cfg(not(feature = "aws"))]
        SecretsBackend::Local { serve: Some(_), .. } if has_key() => Err(Failure::usage(
            "this build of twinkey cannot call the served store",
            "use a build with the Cargo feature `aws`, or unset AWS_ACCESS_KEY_ID",
        )),
        #[cfg(feature = "aws")]
        SecretsBackend::Local {
            serve: Some(serve), ..
        } if has_key() => Ok(Access::Served(Box::new(Served::reach(serve).await))),
        SecretsBackend::Local { path, key_file, .. } => {
            let store = if create {
                LocalStore::open(path, key_file).await?
            } else {
                LocalStore::open_existing(path, key_file).await?
            };
            Ok(Access::File(Arc::new(store)))
        }
        SecretsBackend::Aws { .. } => Err(Failure::usage(
            "`twinkey secret` uses the embedded store, and the config names AWS",
            "use `aws secretsmanager`, or a config with [secrets] backend = \"local\"",
        )),
    }
}

fn has_key() -> bool {
    std::env::var(KEY_ID).is_ok_and(|id| id.starts_with(keys::PREFIX))
}

impl Access {
    /// Creates the secret with this value, or a new AWSCURRENT of it; returns the id of the version.
    pub(super) async fn put(&self, name: &str, value: &Sensitive) -> Result<VersionId, StoreError> {
        match self {
            Self::File(store) => store.create_or_put(name, value).await,
            #[cfg(feature = "aws")]
            Self::Served(served) => served.put(name, value).await,
        }
    }

    /// Sets tags of a secret, and (`None`) removes them.
    pub(super) async fn tag(
        &self,
        name: &str,
        tags: &BTreeMap<String, Option<String>>,
    ) -> Result<(), StoreError> {
        match self {
            Self::File(store) => store.tag(name, tags).await,
            #[cfg(feature = "aws")]
            Self::Served(served) => served.tag(name, tags).await,
        }
    }

    pub(super) async fn get(&self, name: &str, label: &str) -> Result<SecretVersion, StoreError> {
        let which = Selector::Stage(label);
        match self {
            Self::File(store) => store.get(name, which).await,
            #[cfg(feature = "aws")]
            Self::Served(served) => served.store.get(name, which).await,
        }
    }

    /// The store itself.
    pub(super) fn store(&self) -> Arc<dyn SecretStore> {
        match self {
            Self::File(store) => Arc::clone(store) as Arc<dyn SecretStore>,
            #[cfg(feature = "aws")]
            Self::Served(served) => Arc::clone(&served.store) as Arc<dyn SecretStore>,
        }
    }

    /// The sorted names of secrets that are not scheduled for deletion, as far as the key can list them.
    pub(super) async fn names(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::File(store) => store.names().await,
            #[cfg(feature = "aws")]
            Self::Served(served) => served.names().await,
        }
    }

    /// Closes the file, where there is one.
    pub(super) async fn close(&self) {
        match self {
            Self::File(store) => store.close().await,
            #[cfg(feature = "aws")]
            Self::Served(_) => {}
        }
    }

    /// Newest first.
    pub(super) async fn versions(&self, name: &str) -> Result<Vec<VersionEntry>, StoreError> {
        match self {
            Self::File(store) => store.versions(name).await,
            #[cfg(feature = "aws")]
            Self::Served(served) => served.versions(name).await,
        }
    }
}
