//! Actions on one secret, from the JSON of a request to the JSON of a response or a refusal. The
//! API reference defines the shapes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};

use super::super::constraints::within;
use super::super::refusal::{Refusal, RefusalKind};
use super::super::secrets::{NewSecret, shown_key_id};
use super::super::versions::{OpenedVersion, Value};
use super::super::{LocalStore, random_password};
use super::action::Action;
use super::caller::{Caller, require, require_any};
use super::request::{Request, missing, read};
use super::{ApiResult, seconds, with_stages};
use crate::VersionId;

/// AWS's limit for a description.
const MAX_DESCRIPTION: usize = 2048;
/// AWS's limits for a version id and for a staging label.
const VERSION_ID: std::ops::RangeInclusive<usize> = 32..=64;
const LABEL: std::ops::RangeInclusive<usize> = 1..=256;

pub(super) async fn create_secret(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let mut request: Request = read(body)?;
    require(caller, Action::CreateSecret, &request.name)?;
    request.refuse_unsupported()?;
    check_lengths(&request)?;
    let first = request.value()?;
    let new = NewSecret {
        name: &request.name,
        description: request.description.clone(),
        kms_key_id: request.kms_key_id.clone().and_then(shown_key_id),
        tags: request.tags()?.unwrap_or_default(),
        first: first.as_ref().map(|(id, value)| (id, value)),
    };
    let secret = store.create_secret(new).await?;
    Ok(with_version(
        json!({"ARN": secret.arn, "Name": secret.name}),
        first.map(|(id, _)| id),
    ))
}

pub(super) async fn put_secret_value(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let mut request: Request = read(body)?;
    require(caller, Action::PutSecretValue, request.secret_id()?)?;
    let (id, value) = request.value()?.ok_or_else(|| {
        Refusal::new(
            RefusalKind::InvalidRequest,
            "You must provide either SecretString or SecretBinary.",
        )
    })?;
    let stages = request.version_stages.as_deref();
    let (secret, stages) = store
        .put_value(&request.secret_id, &id, &value, stages)
        .await?;
    let answer = json!({"ARN": secret.arn, "Name": secret.name, "VersionId": id});
    Ok(with_stages(answer, &stages))
}

pub(super) async fn update_secret(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let mut request: Request = read(body)?;
    require(caller, Action::UpdateSecret, request.secret_id()?)?;
    request.refuse_unsupported()?;
    check_lengths(&request)?;
    let next = request.value()?;
    let borrowed = next.as_ref().map(|(id, value)| (id, value));
    let secret = store
        .update_secret(
            &request.secret_id,
            request.description,
            request.kms_key_id,
            borrowed,
        )
        .await?;
    Ok(with_version(
        json!({"ARN": secret.arn, "Name": secret.name}),
        next.map(|(id, _)| id),
    ))
}

fn with_version(mut answer: Json, id: Option<VersionId>) -> Json {
    if let Some(id) = id {
        answer["VersionId"] = json!(id);
    }
    answer
}

/// Refuses a description or a key id that is too long.
fn check_lengths(request: &Request) -> Result<(), Refusal> {
    within(
        "description",
        request.description.as_deref(),
        0..=MAX_DESCRIPTION,
    )?;
    within(
        "kmsKeyId",
        request.kms_key_id.as_deref(),
        0..=MAX_DESCRIPTION,
    )
}

pub(super) async fn get_secret_value(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    let (version, label) = (
        request.version_id.as_deref(),
        request.version_stage.as_deref(),
    );
    read_value(store, caller, request.secret_id()?, version, label).await
}

/// GetSecretValue.
///
/// # Errors
/// The refusals of the action.
pub async fn read_value(
    store: &LocalStore,
    caller: &dyn Caller,
    secret_id: &str,
    version: Option<&str>,
    label: Option<&str>,
) -> ApiResult {
    require(caller, Action::GetSecretValue, secret_id)?;
    within("versionId", version, VERSION_ID)?;
    within("versionStage", label, LABEL)?;
    let version = version.map(|id| VersionId(id.to_owned()));
    let found = store
        .read_cached(secret_id, version.as_ref(), label)
        .await?;
    store.reads.add(&found.secret.arn);
    Ok(value_entry(&found))
}

/// A version with its value in the form of GetSecretValue and BatchGetSecretValue.
pub(super) fn value_entry(found: &OpenedVersion) -> Json {
    let (field, value) = match &found.value {
        Value::Text(text) => ("SecretString", text.expose_secret().to_owned()),
        Value::Binary(bytes) => ("SecretBinary", STANDARD.encode(bytes.expose_secret())),
    };
    let entry = json!({
        "ARN": found.secret.arn, "Name": found.secret.name, "VersionId": found.id,
        "CreatedDate": seconds(found.created), field: value,
    });
    with_stages(entry, &found.stages)
}

pub(super) async fn update_secret_version_stage(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(
        caller,
        Action::UpdateSecretVersionStage,
        request.secret_id()?,
    )?;
    let from = request.remove_from_version_id.map(VersionId);
    let to = request.move_to_version_id.map(VersionId);
    let label = request.version_stage.unwrap_or_default();
    within(
        "removeFromVersionId",
        from.as_ref().map(|id| &*id.0),
        VERSION_ID,
    )?;
    within("moveToVersionId", to.as_ref().map(|id| &*id.0), VERSION_ID)?;
    let secret = store
        .update_stage(&request.secret_id, &label, from.as_ref(), to.as_ref())
        .await?;
    Ok(json!({"ARN": secret.arn, "Name": secret.name}))
}

pub(super) async fn delete_secret(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(caller, Action::DeleteSecret, request.secret_id()?)?;
    let invalid = |why: &str| Err(Refusal::new(RefusalKind::InvalidParameter, why));
    let days = match (
        request.force_delete_without_recovery,
        request.recovery_window_in_days,
    ) {
        (true, Some(_)) => {
            return invalid(
                "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
            );
        }
        (true, None) => None,
        (false, days) => Some(days.unwrap_or(30)),
    };
    if days.is_some_and(|days| !(7..=30).contains(&days)) {
        return invalid(
            "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
        );
    }
    let (secret, due) = store.delete(&request.secret_id, days).await?;
    let due = seconds(due);
    Ok(match secret {
        Some(secret) => json!({"ARN": secret.arn, "Name": secret.name, "DeletionDate": due}),
        None => json!({"Name": request.secret_id, "DeletionDate": due}),
    })
}

pub(super) async fn restore_secret(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(caller, Action::RestoreSecret, request.secret_id()?)?;
    let secret = store.restore(&request.secret_id).await?;
    Ok(json!({"ARN": secret.arn, "Name": secret.name}))
}

pub(super) fn get_random_password(caller: &dyn Caller, body: &[u8]) -> ApiResult {
    require_any(caller, Action::GetRandomPassword)?;
    let password = random_password::generate(&read(body)?)?;
    Ok(json!({"RandomPassword": password.expose_secret()}))
}

pub(super) async fn tag_resource(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(caller, Action::TagResource, request.secret_id()?)?;
    let new = request.tags()?.ok_or_else(|| missing("Tags"))?;
    store
        .change_tags(&request.secret_id, |tags| tags.extend(new))
        .await?;
    Ok(json!({}))
}

pub(super) async fn untag_resource(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(caller, Action::UntagResource, request.secret_id()?)?;
    let removed = request.tag_keys()?;
    store
        .change_tags(&request.secret_id, |tags| {
            tags.retain(|key, _| !removed.contains(key));
        })
        .await?;
    Ok(json!({}))
}
