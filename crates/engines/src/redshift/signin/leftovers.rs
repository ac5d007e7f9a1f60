//! Deletion of the probe secrets that crashed checks left.
//!
//! # Failure modes
//! - A check loses its secret. Only secrets of a minimum age are deleted, and each by its ARN: a check
//!   that creates the secret again gets another ARN.
//! - A secret of another program has such a name. The name's form, the tag and its value must be those
//!   of a probe secret.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::list_secrets::ListSecretsOutput;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SecretListEntry};
use chrono::{DateTime, Utc};

use super::secret_probe::{HASH_DIGITS, PREFIX, TAG, TAG_VALUE, classify, delete, with_retries};
use crate::EngineError;
use crate::redshift::api::{Failure, FailureKind};

/// Deletes the probe secrets that were created before `before`. Returns how many.
pub(in crate::redshift) async fn delete_leftovers(
    config: &SdkConfig,
    before: DateTime<Utc>,
) -> Result<usize, EngineError> {
    let secrets = Client::new(config);
    let mut deleted = 0;
    let mut token = None;
    loop {
        let page = list(&secrets, token).await.map_err(explain)?;
        for arn in page
            .secret_list()
            .iter()
            .filter_map(|entry| leftover(entry, before))
        {
            delete(&secrets, arn).await.map_err(explain)?;
            deleted += 1;
        }
        token = page.next_token;
        if token.is_none() {
            return Ok(deleted);
        }
    }
}

async fn list(secrets: &Client, token: Option<String>) -> Result<ListSecretsOutput, Failure> {
    let by_name = Filter::builder()
        .key(FilterNameStringType::Name)
        .values(PREFIX)
        .build();
    with_retries(|| async {
        let list = secrets
            .list_secrets()
            .filters(by_name.clone())
            .set_next_token(token.clone());
        list.send().await.map_err(|error| classify(&error))
    })
    .await
}

/// The ARN of a probe secret that was created before `before`.
fn leftover(entry: &SecretListEntry, before: DateTime<Utc>) -> Option<&str> {
    let digits = entry.name()?.strip_prefix(PREFIX)?;
    let has_form = digits.len() == HASH_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let is_tagged = entry
        .tags()
        .iter()
        .any(|tag| tag.key() == Some(TAG) && tag.value() == Some(TAG_VALUE));
    let created = entry.created_date()?.as_secs_f64();
    let is_old = created < before.timestamp() as f64;
    entry.arn().filter(|_| has_form && is_tagged && is_old)
}

fn explain(failure: Failure) -> EngineError {
    let what = "the removal of leftover probe secrets".to_owned();
    let reason = failure.reason;
    match failure.kind {
        FailureKind::Busy | FailureKind::Unreachable => EngineError::Busy { what, reason },
        _ => EngineError::Refused {
            what,
            reason,
            hint: "allow secretsmanager:ListSecrets, and secretsmanager:DeleteSecret on twinkey/probe/*: `twinkey iam-policy` prints the policy".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_secretsmanager::primitives::DateTime as AwsTime;
    use aws_sdk_secretsmanager::types::Tag;

    #[test]
    fn only_old_secrets_of_a_probe_are_leftovers() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let name = format!("{PREFIX}0123456789abcdef0123456789abcdef");
        let entry = |name: &str, tag: (&str, &str), created: i64| {
            SecretListEntry::builder()
                .name(name)
                .arn("arn:x")
                .tags(Tag::builder().key(tag.0).value(tag.1).build())
                .created_date(AwsTime::from_secs(created))
                .build()
        };
        let ours = (TAG, TAG_VALUE);
        assert_eq!(leftover(&entry(&name, ours, 999_999), now), Some("arn:x"));
        for other in [
            entry(&name, ours, 1_000_000),
            entry(&name, (TAG, "other"), 1),
            entry(&name, ("Owner", TAG_VALUE), 1),
            entry(&format!("{PREFIX}password-of-app"), ours, 1),
            entry("prod/orders", ours, 1),
        ] {
            assert_eq!(leftover(&other, now), None, "{other:?}");
        }
    }
}
