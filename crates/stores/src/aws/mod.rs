//! AWS Secrets Manager, with the SDK's default credential chain.
//!
//! # Failure modes
//! - A call hangs until the window has closed. Connects, attempts and whole calls have time limits,
//!   and the SDK makes at most five attempts.
//! - A compare-and-swap took effect, but its response was lost; a second one would report a lost
//!   race. A move is sent again only after throttling, which has no effect. Otherwise the caller
//!   gets `Unavailable` and observes again.
//! - A read is older than a write of this process. It is retried briefly (`own_writes.rs`).
//! - A value appears in an error. Only the error name and message of a response are used, and only
//!   the kind of a failed transmission.

mod batch;
mod own_writes;
mod sdk_error;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Builder, Config};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, Tag};
use chrono::DateTime;
use parking_lot::{Mutex, MutexGuard};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;

use self::own_writes::OwnWrites;
use self::sdk_error::sdk_error;
use super::api_error::{ApiCall, CallSubject, binary_secret};
use super::{
    Description, ListFilter, ListKey, ListedPage, ListedSecret, SecretStore, SecretVersion,
    Selector, StoreError, VersionId,
};
use twinkey_core::aws::Aws;
use twinkey_core::backoff::Backoff;
use twinkey_core::secret::Sensitive;

const MAX_ATTEMPTS: u32 = 5;
/// The SDK's back-off doubles, with jitter: at most 7.5 s over all attempts.
const INITIAL_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Retries of a stale read or a throttled move: 3.1 s together.
const RETRIES: u32 = 5;
const RETRY_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(100), Duration::from_millis(1600));

/// Secrets of a page of ListSecrets: AWS's limit.
const PAGE_SIZE: i32 = 100;

fn tags(tags: Option<Vec<Tag>>) -> BTreeMap<String, String> {
    let tags = tags.unwrap_or_default().into_iter();
    tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()))
        .collect()
}

/// The error of a failed SDK call about a secret, for calls that the trait does not have.
pub fn store_error<E>(operation: &'static str, secret: &str, error: &SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let call = ApiCall {
        operation,
        secret,
        subject: CallSubject::Secret,
    };
    sdk_error(call, error)
}

/// Secrets Manager in one account and region.
#[derive(Debug)]
pub struct AwsStore {
    aws: Aws,
    client: OnceCell<Client>,
    own: Mutex<OwnWrites>,
}

impl AwsStore {
    /// A store whose config is loaded by its first call. Retries and time limits are replaced.
    #[must_use]
    pub fn new(aws: Aws) -> Self {
        Self {
            aws,
            client: OnceCell::new(),
            own: Mutex::default(),
        }
    }

    /// As [`Self::new`], with a loaded config.
    #[must_use]
    pub fn from_config(config: &SdkConfig) -> Self {
        Self::new(Aws::from_config(config.clone()))
    }

    async fn client(&self) -> &Client {
        let load = async || Client::from_conf(client_config(self.aws.config().await));
        self.client.get_or_init(load).await
    }

    /// The error of a failed call. If AWS refused the session of a role, the next call may use another one.
    fn failed<E>(&self, call: ApiCall<'_>, error: &SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let error = sdk_error(call, error);
        if matches!(
            error,
            StoreError::Denied { .. } | StoreError::Credentials { .. }
        ) {
            self.aws.refused();
        }
        error
    }

    fn own(&self) -> MutexGuard<'_, OwnWrites> {
        self.own.lock()
    }

    /// Reads until the result agrees with the writes of this process, or the retries are used up.
    async fn read_consistently<T, F>(
        &self,
        secret: &str,
        stale: impl Fn(&OwnWrites, &Result<T, StoreError>) -> bool,
        read: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        for attempt in 1..=RETRIES {
            let answer = read().await;
            if !stale(&self.own(), &answer) {
                return answer;
            }
            tokio::time::sleep(RETRY_BACKOFF.delay(attempt, 0.0)).await;
        }
        let answer = read().await;
        if stale(&self.own(), &answer) {
            self.own().forget(secret);
        }
        answer
    }

    async fn describe_once(&self, secret: &str) -> Result<Description, StoreError> {
        let call = ApiCall {
            operation: "DescribeSecret",
            secret,
            subject: CallSubject::Secret,
        };
        let sent = self
            .client()
            .await
            .describe_secret()
            .secret_id(secret)
            .send()
            .await;
        let answer = sent.map_err(|e| self.failed(call, &e))?;
        let versions = answer.version_ids_to_stages.unwrap_or_default();
        Ok(Description {
            arn: answer.arn.unwrap_or_default(),
            name: answer.name.unwrap_or_default(),
            versions: versions
                .into_iter()
                .filter(|(_, stages)| !stages.is_empty())
                .map(|(id, stages)| (VersionId(id), stages))
                .collect(),
            rotation_enabled: answer.rotation_enabled.unwrap_or_default(),
            owning_service: answer.owning_service,
            kms_key: answer.kms_key_id,
            deleted: answer.deleted_date.is_some(),
            tags: tags(answer.tags),
            primary_region: answer.primary_region,
        })
    }

    async fn get_once(
        &self,
        secret: &str,
        which: Selector<'_>,
    ) -> Result<SecretVersion, StoreError> {
        let request = self.client().await.get_secret_value().secret_id(secret);
        let (request, subject) = match which {
            Selector::Stage(stage) => (request.version_stage(stage), CallSubject::Stage(stage)),
            Selector::Version(id) => (request.version_id(&id.0), CallSubject::Version(id)),
        };
        let call = ApiCall {
            operation: "GetSecretValue",
            secret,
            subject,
        };
        let answer = request.send().await.map_err(|e| self.failed(call, &e))?;
        let value = answer.secret_string.ok_or_else(|| binary_secret(secret))?;
        Ok(SecretVersion {
            arn: answer.arn.unwrap_or_default(),
            version_id: VersionId(answer.version_id.unwrap_or_default()),
            value: SecretString::from(value),
            stages: answer.version_stages.unwrap_or_default(),
            created: answer
                .created_date
                .and_then(|d| DateTime::from_timestamp(d.secs(), d.subsec_nanos())),
        })
    }

    async fn move_once(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        let call = ApiCall {
            operation: "UpdateSecretVersionStage",
            secret,
            subject: CallSubject::Stage(stage),
        };
        self.client()
            .await
            .update_secret_version_stage()
            .secret_id(secret)
            .version_stage(stage)
            .set_remove_from_version_id(from.map(|id| id.0.clone()))
            .set_move_to_version_id(to.map(|id| id.0.clone()))
            .customize()
            .config_override(Builder::new().retry_config(RetryConfig::disabled()))
            .send()
            .await
            .map(drop)
            .map_err(|e| self.failed(call, &e))
    }
}

fn client_config(config: &SdkConfig) -> Config {
    Builder::from(config)
        // Not `adaptive`: after a throttled call it delays every call of the client, promotions
        // included, and a few in a row used up the time of the whole call. `throttle.rs` limits
        // writes instead.
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(MAX_ATTEMPTS)
                .with_initial_backoff(INITIAL_BACKOFF)
                .with_max_backoff(MAX_BACKOFF),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .build()
}

#[async_trait]
impl SecretStore for AwsStore {
    async fn describe(&self, secret: &str) -> Result<Description, StoreError> {
        let stale = |own: &OwnWrites, answer: &Result<Description, StoreError>| match answer {
            Ok(seen) => own
                .labels(secret)
                .iter()
                .any(|label| own.contradicts(secret, label, seen.labelled(label))),
            Err(_) => false,
        };
        self.read_consistently(secret, stale, || self.describe_once(secret))
            .await
    }

    async fn get(&self, secret: &str, which: Selector<'_>) -> Result<SecretVersion, StoreError> {
        let stale = |own: &OwnWrites, answer: &Result<SecretVersion, StoreError>| {
            let seen = match answer {
                Ok(version) => Some(&version.version_id),
                Err(StoreError::NotFound { .. }) => None,
                Err(_) => return false,
            };
            match which {
                Selector::Stage(stage) => own.contradicts(secret, stage, seen),
                Selector::Version(id) => seen.is_none() && own.has_put(secret, id),
            }
        };
        self.read_consistently(secret, stale, || self.get_once(secret, which))
            .await
    }

    async fn get_batch(&self, secrets: &[&str]) -> Result<Vec<Option<SecretVersion>>, StoreError> {
        self.batch(secrets).await
    }

    async fn unlabelled(&self, secret: &str) -> Result<Vec<VersionId>, StoreError> {
        let call = ApiCall {
            operation: "ListSecretVersionIds",
            secret,
            subject: CallSubject::Secret,
        };
        let request = self
            .client()
            .await
            .list_secret_version_ids()
            .secret_id(secret);
        let sent = request.include_deprecated(true).send().await;
        let mut found = sent
            .map_err(|e| self.failed(call, &e))?
            .versions
            .unwrap_or_default();
        found.retain(|version| version.version_stages().is_empty());
        found.sort_by_key(|version| version.created_date.map(|at| -at.as_nanos()));
        let ids = found.into_iter().filter_map(|version| version.version_id);
        Ok(ids.map(VersionId).collect())
    }

    async fn put(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Sensitive,
        stage: &str,
    ) -> Result<(), StoreError> {
        let call = ApiCall {
            operation: "PutSecretValue",
            secret,
            subject: CallSubject::Version(id),
        };
        let sent = self
            .client()
            .await
            .put_secret_value()
            .secret_id(secret)
            .client_request_token(&id.0)
            .secret_string(value.expose_secret())
            .version_stages(stage)
            .send()
            .await;
        match sent {
            Ok(answer) => {
                // Putting the same value again leaves the labels where they are now.
                if answer.version_stages().iter().any(|s| s == stage) {
                    self.own().put(secret, id, stage);
                }
                Ok(())
            }
            // A validation message may quote the request.
            Err(SdkError::ServiceError(e)) if e.err().code() == Some("ValidationException") => {
                Err(call.error("ValidationException", "the request is malformed"))
            }
            Err(e) => Err(self.failed(call, &e)),
        }
    }

    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        let mut moved = self.move_once(secret, stage, from, to).await;
        for attempt in 1..=RETRIES {
            if !matches!(moved, Err(StoreError::Throttled { .. })) {
                break;
            }
            tokio::time::sleep(RETRY_BACKOFF.delay(attempt, 0.0)).await;
            moved = self.move_once(secret, stage, from, to).await;
        }
        if moved.is_ok() {
            self.own().moved(secret, stage, to);
        }
        moved
    }

    async fn list(
        &self,
        filters: &[ListFilter],
        page: Option<&str>,
    ) -> Result<ListedPage, StoreError> {
        let call = ApiCall {
            operation: "ListSecrets",
            secret: "*",
            subject: CallSubject::Secret,
        };
        let mut request = self.client().await.list_secrets();
        for filter in filters {
            let key = match filter.key {
                ListKey::Name => FilterNameStringType::Name,
                ListKey::TagKey => FilterNameStringType::TagKey,
                ListKey::TagValue => FilterNameStringType::TagValue,
            };
            let values = filter.values.clone();
            request = request.filters(Filter::builder().key(key).set_values(Some(values)).build());
        }
        let answer = request
            .include_planned_deletion(true)
            .max_results(PAGE_SIZE)
            .set_next_token(page.map(str::to_owned))
            .send()
            .await
            .map_err(|e| self.failed(call, &e))?;
        let secrets = answer.secret_list.unwrap_or_default().into_iter();
        Ok(ListedPage {
            secrets: secrets
                .map(|entry| ListedSecret {
                    arn: entry.arn.unwrap_or_default(),
                    name: entry.name.unwrap_or_default(),
                    tags: tags(entry.tags),
                    deleted: entry.deleted_date.is_some(),
                    rotation_enabled: entry.rotation_enabled.unwrap_or_default(),
                    owning_service: entry.owning_service,
                    primary_region: entry.primary_region,
                })
                .collect(),
            next: answer.next_token,
        })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let call = ApiCall {
            operation: "ListSecrets",
            secret: "*",
            subject: CallSubject::Secret,
        };
        match self
            .client()
            .await
            .list_secrets()
            .max_results(1)
            .send()
            .await
        {
            Ok(_) => Ok(()),
            // A role without ListSecrets is fine: the denial proves that the service responds.
            Err(SdkError::ServiceError(e)) if e.err().code() == Some("AccessDeniedException") => {
                Ok(())
            }
            Err(e) => Err(self.failed(call, &e)),
        }
    }
}
