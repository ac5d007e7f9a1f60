//! The calls of [`SecretStore`] on the embedded store.

use async_trait::async_trait;
use chrono::DateTime;

use super::versions::Value;
use super::{LocalStore, store_error};
use crate::api_error::{CallSubject, binary_secret};
use crate::{
    Description, ListFilter, ListedPage, SecretStore, SecretVersion, Selector, StoreError,
    VersionId,
};
use twinkey_core::secret::Sensitive;

#[async_trait]
impl SecretStore for LocalStore {
    async fn describe(&self, secret: &str) -> Result<Description, StoreError> {
        let found = self.labels_and_tags(secret).await;
        let (secret, labels, tags) =
            found.map_err(store_error("DescribeSecret", secret, CallSubject::Secret))?;
        Ok(Description {
            arn: secret.arn,
            name: secret.name,
            versions: labels
                .into_iter()
                .filter(|(_, on_it)| !on_it.is_empty())
                .map(|(id, on_it)| (id, on_it.into_iter().collect()))
                .collect(),
            // By a function of the served store.
            rotation_enabled: secret.rotation_enabled,
            owning_service: None,
            kms_key: None,
            deleted: secret.deleted.is_some(),
            tags,
            primary_region: None,
        })
    }

    async fn get(&self, secret: &str, which: Selector<'_>) -> Result<SecretVersion, StoreError> {
        let (version, label, about) = match which {
            Selector::Stage(label) => (None, Some(label), CallSubject::Stage(label)),
            Selector::Version(id) => (Some(id), None, CallSubject::Version(id)),
        };
        let found = self.read_value(secret, version, label).await;
        let found = found.map_err(store_error("GetSecretValue", secret, about))?;
        match found.value {
            Value::Text(value) => Ok(SecretVersion {
                arn: found.secret.arn,
                version_id: found.id,
                value,
                stages: found.stages,
                created: DateTime::from_timestamp_millis(found.created),
            }),
            Value::Binary(_) => Err(binary_secret(secret)),
        }
    }

    async fn list(
        &self,
        filters: &[ListFilter],
        _page: Option<&str>,
    ) -> Result<ListedPage, StoreError> {
        self.listed(filters)
            .await
            .map_err(store_error("ListSecrets", "*", CallSubject::Secret))
    }

    async fn unlabelled(&self, secret: &str) -> Result<Vec<VersionId>, StoreError> {
        let all = self.versions(secret).await?.into_iter();
        Ok(all
            .filter(|version| version.stages.is_empty())
            .map(|version| version.id)
            .collect())
    }

    async fn put(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Sensitive,
        stage: &str,
    ) -> Result<(), StoreError> {
        let value = Value::Text(value.clone());
        self.put_value(secret, id, &value, Some(&[stage.to_owned()]))
            .await
            .map(drop)
            .map_err(store_error(
                "PutSecretValue",
                secret,
                CallSubject::Version(id),
            ))
    }

    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        self.update_stage(secret, stage, from, to)
            .await
            .map(drop)
            .map_err(store_error(
                "UpdateSecretVersionStage",
                secret,
                CallSubject::Stage(stage),
            ))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let query = async {
            let mut db = self.database.reader().await?;
            let select = sqlx::query("SELECT 1 FROM key_check");
            select.execute(&mut *db).await
        };
        query
            .await
            .map(drop)
            .map_err(|e| store_error("ListSecrets", "*", CallSubject::Secret)(e.into()))
    }

    async fn close(&self) {
        self.cache.close().await;
        self.database.close().await;
    }
}
