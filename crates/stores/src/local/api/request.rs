//! Parameters of requests. Secret values are wrapped when they are read, and never quoted in a
//! refusal.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::super::refusal::{Refusal, RefusalKind};
use super::super::versions::Value;
use crate::VersionId;
use twinkey_core::secret::Sensitive;

/// Parameters of all actions; each action reads its own.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Request {
    pub name: String,
    pub secret_id: String,
    pub description: Option<String>,
    pub kms_key_id: Option<String>,
    add_replica_regions: Vec<serde::de::IgnoredAny>,
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
    pub include_deprecated: bool,
    pub include_planned_deletion: bool,
    pub max_results: Option<usize>,
    pub next_token: Option<String>,
    pub sort_by: Option<String>,
    pub sort_order: Option<String>,
    pub secret_id_list: Vec<String>,
    pub filters: Vec<Filter>,
    pub recovery_window_in_days: Option<i64>,
    pub force_delete_without_recovery: bool,
    pub tags: Vec<Tag>,
    pub tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    pub key: String,
    pub values: Vec<String>,
}

impl Request {
    /// The id of the secret.
    pub(super) fn secret_id(&self) -> Result<&str, Refusal> {
        within("secretId", Some(&self.secret_id), 1..=2048)?;
        Ok(&self.secret_id)
    }

    /// Refuses features of AWS that this store lacks: replicas and managed external secrets.
    pub(super) fn no_other_regions(&self) -> Result<(), Refusal> {
        let what = match (self.add_replica_regions.is_empty(), self.r#type.is_empty()) {
            (true, true) => return Ok(()),
            (false, _) => "replicates to no other region",
            (true, false) => "holds no managed external secrets",
        };
        Err(Refusal::new(
            RefusalKind::InvalidParameter,
            format!("This store {what}."),
        ))
    }

    /// The new version id and value, if the request has a value.
    pub(super) fn value(&mut self) -> Result<Option<(VersionId, Value)>, Refusal> {
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

    /// The tags, by key.
    pub(super) fn tags(&self) -> BTreeMap<String, String> {
        let pairs = self.tags.iter();
        pairs.map(|t| (t.key.clone(), t.value.clone())).collect()
    }
}

fn sensitive<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sensitive>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(SecretString::from))
}

/// Refuses a member whose length the API does not allow, with the message of AWS.
pub(super) fn within(
    member: &str,
    value: Option<&str>,
    lengths: RangeInclusive<usize>,
) -> Result<(), Refusal> {
    let Some(length) = value.map(|value| value.chars().count()) else {
        return Ok(());
    };
    let constraint = if length < *lengths.start() {
        format!("greater than or equal to {}", lengths.start())
    } else if length > *lengths.end() {
        format!("less than or equal to {}", lengths.end())
    } else {
        return Ok(());
    };
    Err(Refusal::new(
        RefusalKind::Validation,
        format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must \
             have length {constraint}"
        ),
    ))
}

/// Parses the body of a request.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
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
