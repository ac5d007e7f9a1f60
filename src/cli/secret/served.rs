//! Client of the served store, which calls it as every other application does.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::types::Tag;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;

use crate::config::settings::Serve;
use twinkey_core::aws::Aws;
use twinkey_core::secret::Sensitive;
use twinkey_stores::aws::{AwsStore, store_error};
use twinkey_stores::local::VersionEntry;
use twinkey_stores::{StoreError, VersionId};

/// The SDK's variable for the endpoint, which overrides the config.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_SECRETS_MANAGER";
/// The SDK needs a region; the served store ignores it.
const REGION: &str = "us-east-1";

/// A client of the served store.
pub(super) struct Served {
    client: Client,
    pub(super) store: Arc<AwsStore>,
}

impl Served {
    pub(super) async fn reach(serve: &Serve) -> Self {
        let scheme = if serve.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", serve.listen);
        let named = std::env::var_os(ENDPOINT).is_some();
        let aws = Aws::of_store(Some(REGION), (!named).then_some(&*url));
        let config = aws.config().await;
        Self {
            client: Client::new(config),
            store: Arc::new(AwsStore::from_config(config)),
        }
    }

    pub(super) async fn put(&self, name: &str, value: &Sensitive) -> Result<VersionId, StoreError> {
        let text = value.expose_secret();
        let put = self.client.put_secret_value().secret_id(name);
        let id = match put.secret_string(text).send().await {
            Ok(put) => put.version_id,
            Err(error) if error.code() == Some("ResourceNotFoundException") => {
                let create = self.client.create_secret().name(name);
                let created = create.secret_string(text).send().await;
                created
                    .map_err(|error| store_error("CreateSecret", name, &error))?
                    .version_id
            }
            Err(error) => return Err(store_error("PutSecretValue", name, &error)),
        };
        Ok(VersionId(id.unwrap_or_default()))
    }

    pub(super) async fn tag(
        &self,
        name: &str,
        tags: &BTreeMap<String, Option<String>>,
    ) -> Result<(), StoreError> {
        let mut set = self.client.tag_resource().secret_id(name);
        let mut remove = self.client.untag_resource().secret_id(name);
        for (key, value) in tags {
            match value {
                Some(value) => set = set.tags(Tag::builder().key(key).value(value).build()),
                None => remove = remove.tag_keys(key),
            }
        }
        if set.get_tags().is_some() {
            let done = set.send().await;
            done.map_err(|error| store_error("TagResource", name, &error))?;
        }
        if remove.get_tag_keys().is_some() {
            let done = remove.send().await;
            done.map_err(|error| store_error("UntagResource", name, &error))?;
        }
        Ok(())
    }

    pub(super) async fn names(&self) -> Result<Vec<String>, StoreError> {
        let mut pages = self.client.list_secrets().into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| store_error("ListSecrets", "*", &error))?;
            let secrets = page.secret_list.unwrap_or_default();
            names.extend(secrets.into_iter().filter_map(|secret| secret.name));
        }
        names.sort();
        Ok(names)
    }

    pub(super) async fn versions(&self, name: &str) -> Result<Vec<VersionEntry>, StoreError> {
        let list = self.client.list_secret_version_ids().secret_id(name);
        let mut pages = list.include_deprecated(true).into_paginator().send();
        let mut versions = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| store_error("ListSecretVersionIds", name, &error))?;
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

/// The time of a response in seconds, rounded to milliseconds: the fraction is not exact.
fn created(at: aws_sdk_secretsmanager::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis((at.as_secs_f64() * 1000.0).round() as i64)
}
