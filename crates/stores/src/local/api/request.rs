//! Parameters of requests. Secret values are wrapped when they are read, and never quoted in a
//! refusal.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::super::constraints::within;
use super::super::naming::check_token;
use super::super::refusal::{Refusal, RefusalKind};
use super::super::versions::Value;
use crate::VersionId;
use twinkey_core::secret::Sensitive;

/// AWS's limits for the key and the value of a tag.
const TAG_KEY: RangeInclusive<usize> = 1..=128;
const TAG_VALUE: RangeInclusive<usize> = 0..=256;

/// Parameters of all actions; each action reads its own.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Request {
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    #[serde(deserialize_with = "null_as_default")]
    pub secret_id: String,
    pub description: Option<String>,
    pub kms_key_id: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    add_replica_regions: Vec<IgnoredAny>,
    #[serde(
        rename = "CrossAccountPrimaryARN",
        deserialize_with = "null_as_default"
    )]
    cross_account_primary_arn: String,
    #[serde(deserialize_with = "null_as_default")]
    r#type: String,
    pub client_request_token: Option<String>,
    #[serde(deserialize_with = "sensitive")]
    pub secret_string: Option<Sensitive>,
    #[serde(deserialize_with = "sensitive")]
    pub secret_binary: Option<Sensitive>,
    pub version_stages: Option<Vec<String>>,
    pub version_id: Option<String>,
    pub version_stage: Option<String>,
    pub move_to_version_id: Option<String>,
    pub remove_from_version_id: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub include_deprecated: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub include_planned_deletion: bool,
    pub max_results: Option<i64>,
    pub next_token: Option<String>,
    pub sort_by: Option<String>,
    pub sort_order: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub secret_id_list: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub filters: Vec<Filter>,
    #[serde(rename = "RotationLambdaARN")]
    pub rotation_lambda_arn: Option<String>,
    pub rotation_rules: Option<IgnoredAny>,
    external_secret_rotation_metadata: Option<IgnoredAny>,
    external_secret_rotation_role_arn: Option<IgnoredAny>,
    pub rotate_immediately: Option<bool>,
    pub policy_name: Option<String>,
    pub resource_policy: Option<String>,
    pub recovery_window_in_days: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    pub force_delete_without_recovery: bool,
    tags: Option<Vec<Tag>>,
    tag_keys: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    pub key: Option<String>,
    pub values: Option<Vec<String>>,
}

impl Request {
    /// The id of the secret.
    pub(super) fn secret_id(&self) -> Result<&str, Refusal> {
        within("secretId", Some(&self.secret_id), 1..=2048)?;
        Ok(&self.secret_id)
    }

    /// Refuses features of AWS that this store lacks: replicas and managed external secrets.
    pub(super) fn refuse_unsupported(&self) -> Result<(), Refusal> {
        let what = if !self.add_replica_regions.is_empty() {
            "replicates to no other region"
        } else if !self.cross_account_primary_arn.is_empty() {
            "holds no replicas of other accounts"
        } else if !self.r#type.is_empty() {
            "holds no managed external secrets"
        } else {
            return Ok(());
        };
        Err(Refusal::new(
            RefusalKind::InvalidParameter,
            format!("This store {what}."),
        ))
    }

    /// Whether RotateSecret would change how the secret is rotated.
    pub(super) const fn configures_rotation(&self) -> bool {
        self.rotation_lambda_arn.is_some()
            || self.rotation_rules.is_some()
            || self.configures_external_rotation()
    }

    /// Whether RotateSecret is about a managed external secret.
    pub(super) const fn configures_external_rotation(&self) -> bool {
        self.external_secret_rotation_metadata.is_some()
            || self.external_secret_rotation_role_arn.is_some()
    }

    /// The new version id and value, if the request has a value.
    pub(super) fn value(&mut self) -> Result<Option<(VersionId, Value)>, Refusal> {
        if let Some(token) = &self.client_request_token {
            check_token(token)?;
        }
        let value = match (self.secret_string.take(), self.secret_binary.take()) {
            (Some(_), Some(_)) => {
                return Err(Refusal::new(
                    RefusalKind::InvalidParameter,
                    "You can't specify both a binary secret value and a string secret value in the \
                     same secret.",
                ));
            }
            (None, None) => return Ok(None),
            (Some(text), None) => Value::Text(text),
            (None, Some(encoded)) => {
                let bytes = STANDARD.decode(encoded.expose_secret()).map_err(|_| {
                    Refusal::new(RefusalKind::Serialization, "SecretBinary is not base64.")
                })?;
                Value::Binary(SecretBox::new(Box::new(bytes)))
            }
        };
        let token = self.client_request_token.take().ok_or_else(|| {
            Refusal::new(
                RefusalKind::InvalidParameter,
                "You must provide a ClientRequestToken value. We recommend a UUID-type value.",
            )
        })?;
        Ok(Some((VersionId(token), value)))
    }

    /// The tags, by key; `None` without the member.
    pub(super) fn tags(&self) -> Result<Option<BTreeMap<String, String>>, Refusal> {
        let Some(given) = &self.tags else {
            return Ok(None);
        };
        let mut tags = BTreeMap::new();
        for (n, tag) in given.iter().enumerate() {
            let member = |name: &str| format!("tags.{}.member.{name}", n + 1);
            let Some(key) = &tag.key else {
                return Err(Refusal::new(
                    RefusalKind::InvalidParameter,
                    "You must provide a Key for each tag.",
                ));
            };
            within(&member("key"), Some(key), TAG_KEY)?;
            within(&member("value"), Some(&tag.value), TAG_VALUE)?;
            tags.insert(key.clone(), tag.value.clone());
        }
        Ok(Some(tags))
    }

    /// The keys of the tags to remove.
    pub(super) fn tag_keys(&self) -> Result<&[String], Refusal> {
        let keys = self.tag_keys.as_deref().ok_or_else(|| missing("TagKeys"))?;
        for (n, key) in keys.iter().enumerate() {
            within(&format!("tagKeys.{}.member", n + 1), Some(key), TAG_KEY)?;
        }
        Ok(keys)
    }
}

/// The refusal of a request without a required member.
pub(super) fn missing(member: &str) -> Refusal {
    let why = format!("You must provide a value for {member}.");
    Refusal::new(RefusalKind::InvalidParameter, why)
}

/// A member that is `null` is absent in AWS's protocol.
pub(in crate::local) fn null_as_default<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

fn sensitive<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sensitive>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(SecretString::from))
}

/// Parses the body of a request.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    // A derived reader also accepts an array of the members.
    if body.trim_ascii_start().starts_with(b"[") {
        let why = "The request is not a JSON object.";
        return Err(Refusal::new(RefusalKind::Serialization, why));
    }
    serde_json::from_slice(body).map_err(|e| {
        // The message of serde may quote a value of the request.
        Refusal::new(
            RefusalKind::Serialization,
            format!(
                "The request is not as expected (line {}, column {}).",
                e.line(),
                e.column()
            ),
        )
    })
}
