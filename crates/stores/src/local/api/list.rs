//! Descriptions of secrets without their values: one secret, all secrets, and the versions of one.
//!
//! # Failure modes
//! - A secret is listed twice or omitted because another was created or deleted between two pages.
//!   A page token holds a sort key, not a number.
//! - A token of another list returns wrong entries. A token names its list, and others are refused.
//! - A key learns of secrets without permission. A list omits the secrets that the key may not
//!   list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value as Json, json};

use super::super::LocalStore;
use super::super::constraints::{in_range, not_one_of};
use super::super::refusal::{Refusal, RefusalKind};
use super::super::secrets::Details;
use super::super::versions::stages_of;
use super::action::Action;
use super::caller::{Caller, require, require_any};
use super::filter::Filters;
use super::request::{Request, read};
use super::rotation::{RotationService, SecretRotation};
use super::{ApiResult, seconds, with_stages};

/// The description of a secret; `versions` is the name of the member with the labels. As in AWS,
/// members without a value are absent.
fn description(details: &Details, versions: &str, rotation: Option<&SecretRotation>) -> Json {
    let labelled: Map<String, Json> = details
        .labels
        .iter()
        .filter(|(_, on_it)| !on_it.is_empty())
        .map(|(id, on_it)| (id.0.clone(), json!(on_it)))
        .collect();
    let tags: Vec<Json> = details
        .tags
        .iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    let secret = &details.secret;
    let mut answer = json!({
        "ARN": secret.arn, "Name": secret.name,
        "CreatedDate": seconds(secret.created), "LastChangedDate": seconds(secret.changed),
    });
    if !tags.is_empty() {
        answer["Tags"] = Json::Array(tags);
    }
    if let Some(description) = secret.description.as_deref().filter(|d| !d.is_empty()) {
        answer["Description"] = json!(description);
    }
    if let Some(id) = &secret.kms_key_id {
        answer["KmsKeyId"] = json!(id);
    }
    if let Some(deleted) = secret.deleted {
        answer["DeletedDate"] = seconds(deleted);
    }
    if !labelled.is_empty() {
        answer[versions] = Json::Object(labelled);
    }
    if let Some(day) = secret.accessed {
        answer["LastAccessedDate"] = seconds(day);
    }
    if let Some(rotation) = rotation {
        rotation.describe(&mut answer);
    } else if let Some(function) = &secret.rotation_function {
        answer["RotationEnabled"] = json!(secret.rotation_enabled);
        answer["RotationLambdaARN"] = json!(function);
        if let Some(at) = secret.rotated {
            answer["LastRotatedDate"] = seconds(at);
        }
    }
    answer
}

pub(super) async fn describe_secret(
    store: &LocalStore,
    rotations: &dyn RotationService,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(caller, Action::DescribeSecret, request.secret_id()?)?;
    let details = store.details(&request.secret_id).await?;
    let name = details.secret.name.as_str();
    let rotations = rotations.rotations_of(&[name]).await;
    let rotation = rotations.get(name);
    Ok(description(&details, "VersionIdsToStages", rotation))
}

pub(super) async fn list_secrets(
    store: &LocalStore,
    rotations: &dyn RotationService,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require_any(caller, Action::ListSecrets)?;
    let (sort_by, key) = sort_order(request.sort_by.as_deref())?;
    let filters = Filters::new(&request.filters)?;
    let may_list = |name: &str| caller.may(Action::ListSecrets, Some(name));
    let all = store.all_details(may_list).await?;
    let entries = all
        .iter()
        .filter(|d| request.include_planned_deletion || d.secret.deleted.is_none())
        .filter(|d| filters.match_secret(d))
        .map(|d| (key(d), d))
        .collect();
    let page = Page::of(&request, sort_by, 100)?.cut(entries);
    let names: Vec<&str> = page
        .entries
        .iter()
        .map(|d| d.secret.name.as_str())
        .collect();
    let rotations = rotations.rotations_of(&names).await;
    let page = page.map(|d| {
        let rotation = rotations.get(&d.secret.name);
        description(d, "SecretVersionsToStages", rotation)
    });
    Ok(page.into_answer(json!({}), "SecretList"))
}

/// Value set of SortBy.
const SORT_BY: [&str; 4] = [
    "created-date",
    "last-accessed-date",
    "last-changed-date",
    "name",
];

/// The sort key of a secret, made unique by its ARN.
type SortKey = fn(&Details) -> String;

/// The name and the key of a sort order.
fn sort_order(sort_by: Option<&str>) -> Result<(&'static str, SortKey), Refusal> {
    // Times have 14 digits until the year 5138, so that they sort as text.
    match sort_by.unwrap_or("created-date") {
        "created-date" => Ok(("created-date", |d| {
            format!("{:014}/{}", d.secret.created, d.secret.arn)
        })),
        "last-changed-date" => Ok(("last-changed-date", |d| {
            format!("{:014}/{}", d.secret.changed, d.secret.arn)
        })),
        "name" => Ok(("name", |d| d.secret.name.clone())),
        "last-accessed-date" => Ok(("last-accessed-date", |d| {
            let accessed = d.secret.accessed.unwrap_or_default();
            format!("{accessed:014}/{}", d.secret.arn)
        })),
        other => Err(not_one_of("sortBy", other, &SORT_BY)),
    }
}

pub(super) async fn list_secret_version_ids(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(caller, Action::ListSecretVersionIds, request.secret_id()?)?;
    let details = store.details(&request.secret_id).await?;
    let newest_first = details.versions.iter().enumerate();
    let entries = newest_first
        .map(|(n, (id, created))| (n, id, created, stages_of(&details.labels, id)))
        .filter(|(.., stages)| request.include_deprecated || !stages.is_empty())
        .map(|(n, id, created, stages)| {
            let entry = json!({"VersionId": id, "CreatedDate": seconds(*created)});
            let entry = with_stages(entry, &stages);
            // At most 20 versions and those with a label are kept: one page, unless a smaller one
            // is requested. A version created between two pages is then listed twice, and none is
            // omitted.
            (format!("{n:06}"), entry)
        })
        .collect();
    let page = Page::of(&request, "version", 100)?.cut(entries);
    let answer = json!({"ARN": details.secret.arn, "Name": details.secret.name});
    Ok(page.into_answer(answer, "Versions"))
}

/// The part of a list that a request selects. All lists are cut here.
pub(super) struct Page {
    list: String,
    descending: bool,
    size: usize,
    after: Option<String>,
}

/// Page of a list, with the token of the next page.
pub(super) struct PageResult<T> {
    pub entries: Vec<T>,
    pub next: Option<String>,
}

impl Page {
    /// Parses the page of a request; `max` is the limit of the page size.
    ///
    /// # Errors
    /// A size out of bounds, an unknown order, or a token of another list.
    pub(super) fn of(request: &Request, list: &str, max: u16) -> Result<Self, Refusal> {
        let size = request.max_results.unwrap_or(max.into());
        in_range("maxResults", size, 1..=max.into())?;
        let size = usize::try_from(size).unwrap_or(max.into());
        let descending = match request.sort_order.as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(other) => return Err(not_one_of("sortOrder", other, &["asc", "desc"])),
        };
        let list = format!("{list}{}:", if descending { "-" } else { "" });
        let after = match &request.next_token {
            None => None,
            Some(token) => Some(decode_token(token, &list).ok_or_else(|| {
                Refusal::new(
                    RefusalKind::InvalidNextToken,
                    "The NextToken value is invalid.",
                )
            })?),
        };
        Ok(Self {
            list,
            descending,
            size,
            after,
        })
    }

    /// Selects the page from all entries and their sort keys.
    pub(super) fn cut<T>(self, mut entries: Vec<(String, T)>) -> PageResult<T> {
        entries.sort_by(|(a, _), (b, _)| if self.descending { b.cmp(a) } else { a.cmp(b) });
        if let Some(after) = &self.after {
            entries.retain(|(key, _)| {
                if self.descending {
                    key < after
                } else {
                    key > after
                }
            });
        }
        let more = entries.len() > self.size;
        entries.truncate(self.size);
        let next = entries
            .last()
            .filter(|_| more)
            .map(|(key, _)| URL_SAFE_NO_PAD.encode(format!("{}{key}", self.list)));
        PageResult {
            entries: entries.into_iter().map(|(_, entry)| entry).collect(),
            next,
        }
    }
}

impl<T> PageResult<T> {
    fn map<U>(self, entry: impl FnMut(T) -> U) -> PageResult<U> {
        PageResult {
            entries: self.entries.into_iter().map(entry).collect(),
            next: self.next,
        }
    }
}

impl PageResult<Json> {
    pub(super) fn into_answer(self, mut answer: Json, field: &str) -> Json {
        if let Some(next) = self.next {
            answer["NextToken"] = json!(next);
        }
        answer[field] = Json::Array(self.entries);
        answer
    }
}

/// The sort key in a token of this list.
fn decode_token(token: &str, list: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.strip_prefix(list).map(str::to_owned)
}
