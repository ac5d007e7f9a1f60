//! BatchGetSecretValue.
//!
//! # Failure modes
//! - A value is attributed to another secret. AWS returns ARN and name, and one of them must equal
//!   the requested id.
//! - A value is older than a write of this process. It is left out, and read alone with retries.
//! - An optimisation delays the reads. The batch is not retried; the single reads are.

use aws_config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::Builder;
use aws_sdk_secretsmanager::types::SecretValueEntry;
use chrono::DateTime;
use secrecy::SecretString;

use super::AwsStore;
use crate::api_error::{ApiCall, CallSubject};
use crate::{SecretVersion, StoreError, VersionId, stage};

impl AwsStore {
    pub(super) async fn batch(
        &self,
        secrets: &[&str],
    ) -> Result<Vec<Option<SecretVersion>>, StoreError> {
        let call = ApiCall {
            operation: "BatchGetSecretValue",
            secret: "*",
            subject: CallSubject::Secret,
        };
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let ids = secrets.iter().map(ToString::to_string).collect();
        let request = self.client().await.batch_get_secret_value();
        let sent = request.set_secret_id_list(Some(ids)).customize();
        let answer = sent.config_override(once).send().await;
        let answer = answer.map_err(|error| self.failed(call, &error))?;
        let mut entries = answer.secret_values.unwrap_or_default();
        let own = self.own();
        Ok(secrets
            .iter()
            .map(|secret| {
                let at = entries.iter().position(|entry| matches(entry, secret))?;
                let found = version(entries.swap_remove(at))?;
                let stale = own.contradicts(secret, stage::CURRENT, Some(&found.version_id));
                (!stale).then_some(found)
            })
            .collect())
    }
}

/// Whether an entry is the secret with this name or complete ARN.
fn matches(entry: &SecretValueEntry, secret: &str) -> bool {
    entry.name.as_deref() == Some(secret) || entry.arn.as_deref() == Some(secret)
}

/// The version, if its value is a string.
fn version(entry: SecretValueEntry) -> Option<SecretVersion> {
    Some(SecretVersion {
        value: SecretString::from(entry.secret_string?),
        arn: entry.arn.unwrap_or_default(),
        version_id: VersionId(entry.version_id.unwrap_or_default()),
        stages: entry.version_stages.unwrap_or_default(),
        created: entry
            .created_date
            .and_then(|d| DateTime::from_timestamp(d.secs(), d.subsec_nanos())),
    })
}
