//! Where `twinkey secret` reads and writes: the embedded store's file, or the served store as every other
//! application does.
//!
//! What can go wrong: a command goes elsewhere than its user thinks, because of a variable that is there for
//! something else. It goes through the served store only where the config serves it *and* the key in the
//! environment is one of a served store, which is seen by its id.

use std::path::Path;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;

use crate::config::settings::{SecretsBackend, Serve};
use twinkey_core::aws::Aws;
use twinkey_core::secret::Sensitive;
use twinkey_stores::aws::{AwsStore, told};
use twinkey_stores::local::{LocalStore, VersionEntry};
use twinkey_stores::served::keys;
use twinkey_stores::{SecretStore, SecretVersion, Selector, StoreError, VersionId};

use super::super::context::settings;
use super::super::failure::Failure;

/// The SDK's own variable for the endpoint; it goes before what the config says.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_SECRETS_MANAGER";
const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
/// Any will do, as far as the served store goes; the SDK needs one.
const REGION: &str = "us-east-1";

pub(super) enum Access {
    File(Box<LocalStore>),
    Served(Box<Served>),
}

/// A client of the served store.
pub(super) struct Served {
    client: Client,
    store: AwsStore,
}

/// Opens the one or the other.
pub(super) async fn open(config: Option<&Path>) -> Result<Access, Failure> {
    match settings(config)?.secrets {
        SecretsBackend::Local {
            serve: Some(serve), ..
        } if has_key() => Ok(Access::Served(Box::new(Served::reach(&serve).await))),
        SecretsBackend::Local { path, key_file, .. } => {
            let store = LocalStore::open(&path, &key_file).await?;
            Ok(Access::File(Box::new(store)))
        }
        SecretsBackend::Aws { .. } => Err(Failure::usage(
            "`twinkey secret` works on the embedded store, and the config names AWS",
            "use `aws secretsmanager`, or a config with [secrets] backend = \"local\"",
        )),
    }
}

fn has_key() -> bool {
    std::env::var(KEY_ID).is_ok_and(|id| id.starts_with(keys::PREFIX))
}

impl Served {
    async fn reach(serve: &Serve) -> Self {
        let scheme = if serve.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", serve.listen);
        let named = std::env::var_os(ENDPOINT).is_some();
        let aws = Aws::of_store(Some(REGION), (!named).then_some(&*url));
        let config = aws.config().await;
        Self {
            client: Client::new(config),
            store: AwsStore::from_config(config),
        }
    }

    async fn put(&self, name: &str, value: &Sensitive) -> Result<VersionId, StoreError> {
        let text = value.expose_secret();
        let put = self.client.put_secret_value().secret_id(name);
        let id = match put.secret_string(text).send().await {
            Ok(put) => put.version_id,
            Err(error) if error.code() == Some("ResourceNotFoundException") => {
                let create = self.client.create_secret().name(name);
                let created = create.secret_string(text).send().await;
                created
                    .map_err(|error| told("CreateSecret", name, &error))?
                    .version_id
            }
            Err(error) => return Err(told("PutSecretValue", name, &error)),
        };
        Ok(VersionId(id.unwrap_or_default()))
    }

    async fn names(&self) -> Result<Vec<String>, StoreError> {
        let mut pages = self.client.list_secrets().into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| told("ListSecrets", "*", &error))?;
            let secrets = page.secret_list.unwrap_or_default();
            names.extend(secrets.into_iter().filter_map(|secret| secret.name));
        }
        names.sort();
        Ok(names)
    }

    async fn versions(&self, name: &str) -> Result<Vec<VersionEntry>, StoreError> {
        let list = self.client.list_secret_version_ids().secret_id(name);
        let mut pages = list.include_deprecated(true).into_paginator().send();
        let mut versions = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| told("ListSecretVersionIds", name, &error))?;
            let of_page = page.versions.unwrap_or_default().into_iter();
            versions.extend(of_page.map(|version| VersionEntry {
                id: VersionId(version.version_id.unwrap_or_default()),
                stages: version.version_stages.unwrap_or_default(),
                created: version.created_date.and_then(created),
            }));
        }
        Ok(versions)
    }
}

/// The time that stands in an answer as a fraction of seconds, which is a little more or less than the
/// milliseconds that were meant.
fn created(at: aws_sdk_secretsmanager::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis((at.as_secs_f64() * 1000.0).round() as i64)
}

impl Access {
    /// Makes the secret with this value, or gives it a new AWSCURRENT. Returns the version's id.
    pub(super) async fn put(&self, name: &str, value: &Sensitive) -> Result<VersionId, StoreError> {
        match self {
            Self::File(store) => store.create_or_put(name, value).await,
            Self::Served(served) => served.put(name, value).await,
        }
    }

    pub(super) async fn get(&self, name: &str, label: &str) -> Result<SecretVersion, StoreError> {
        let which = Selector::Stage(label);
        match self {
            Self::File(store) => store.get(name, which).await,
            Self::Served(served) => served.store.get(name, which).await,
        }
    }

    /// Those that are not marked for deletion, in order; of a served store, those that the key may list.
    pub(super) async fn names(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::File(store) => store.names().await,
            Self::Served(served) => served.names().await,
        }
    }

    /// Closes the file, where there is one.
    pub(super) async fn close(&self) {
        if let Self::File(store) = self {
            store.close().await;
        }
    }

    /// Newest first.
    pub(super) async fn versions(&self, name: &str) -> Result<Vec<VersionEntry>, StoreError> {
        match self {
            Self::File(store) => store.versions(name).await,
            Self::Served(served) => served.versions(name).await,
        }
    }
}
