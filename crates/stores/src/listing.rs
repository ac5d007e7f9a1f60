//! Lists of secrets without their values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Description;

/// A secret in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedSecret {
    pub arn: String,
    pub name: String,
    pub tags: BTreeMap<String, String>,
    /// As in [`Description`].
    pub deleted: bool,
    pub rotation_enabled: bool,
    pub owning_service: Option<String>,
    pub primary_region: Option<String>,
}

impl From<Description> for ListedSecret {
    fn from(found: Description) -> Self {
        Self {
            arn: found.arn,
            name: found.name,
            tags: found.tags,
            deleted: found.deleted,
            rotation_enabled: found.rotation_enabled,
            owning_service: found.owning_service,
            primary_region: found.primary_region,
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedPage {
    pub secrets: Vec<ListedSecret>,
    /// The token of the next page.
    pub next: Option<String>,
}

/// A filter of a list: one of the values must be a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFilter {
    pub key: ListKey,
    pub values: Vec<String>,
}

impl ListFilter {
    /// Whether one of the values is a prefix of the field.
    #[must_use]
    pub fn matches(&self, secret: &ListedSecret) -> bool {
        let is_prefix = |text: &String| self.values.iter().any(|value| text.starts_with(value));
        match self.key {
            ListKey::Name => is_prefix(&secret.name),
            ListKey::TagKey => secret.tags.keys().any(is_prefix),
            ListKey::TagValue => secret.tags.values().any(is_prefix),
        }
    }
}

/// Field that a [`ListFilter`] compares. AWS compares keys and values of tags separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKey {
    Name,
    TagKey,
    TagValue,
}
