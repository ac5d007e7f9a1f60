//! The actions: a request's JSON in, the answer's JSON or a refusal out, as the API reference gives
//! their shapes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use serde_json::{Map, Value as Json, json};

use super::super::operations::{Details, NewSecret};
use super::super::refusal::{Kind, Refusal};
use super::super::versions::{Found, Value, stages_of};
use super::super::{LocalStore, random};
use super::request::{Request, read};
use crate::store::VersionId;

pub(super) type Answer = Result<Json, Refusal>;

fn seconds(milliseconds: i64) -> Json {
    json!(milliseconds as f64 / 1000.0)
}

pub(super) async fn create_secret(store: &LocalStore, body: &[u8]) -> Answer {
    let mut request: Request = read(body)?;
    let first = request.value()?;
    let new = NewSecret {
        name: &request.name,
        description: request.description.clone(),
        tags: request.tags(),
        first: first.as_ref().map(|(id, value)| (id, value)),
    };
    let secret = store.create_secret(new).await?;
    Ok(with_version(
        json!({"ARN": secret.arn, "Name": secret.name}),
        first.map(|(id, _)| id),
    ))
}

pub(super) async fn put_secret_value(store: &LocalStore, body: &[u8]) -> Answer {
    let mut request: Request = read(body)?;
    let (id, value) = request.value()?.ok_or_else(|| {
        Refusal::new(
            Kind::InvalidRequest,
            "You must provide either SecretString or SecretBinary.",
        )
    })?;
    let stages = request.version_stages.as_deref();
    let (secret, stages) = store
        .put_value(&request.secret_id, &id, &value, stages)
        .await?;
    Ok(json!({
        "ARN": secret.arn, "Name": secret.name, "VersionId": id, "VersionStages": stages,
    }))
}

pub(super) async fn update_secret(store: &LocalStore, body: &[u8]) -> Answer {
    let mut request: Request = read(body)?;
    let next = request.value()?;
    let borrowed = next.as_ref().map(|(id, value)| (id, value));
    let secret = store
        .update_secret(&request.secret_id, request.description, borrowed)
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

pub(super) async fn get_secret_value(store: &LocalStore, body: &[u8]) -> Answer {
    let request: Request = read(body)?;
    let version = request.version_id.map(VersionId);
    let label = request.version_stage.as_deref();
    let found = store
        .read_value(&request.secret_id, version.as_ref(), label)
        .await?;
    Ok(value_of(&found))
}

/// A version with its value, as GetSecretValue has it.
pub(super) fn value_of(found: &Found) -> Json {
    let (field, value) = match &found.value {
        Value::Text(text) => ("SecretString", text.expose_secret().to_owned()),
        Value::Binary(bytes) => ("SecretBinary", STANDARD.encode(bytes.expose_secret())),
    };
    json!({
        "ARN": found.secret.arn, "Name": found.secret.name, "VersionId": found.id,
        "VersionStages": found.stages, "CreatedDate": seconds(found.created), field: value,
    })
}

/// What DescribeSecret and ListSecrets share; `versions` is the name of the labels' field.
fn described(details: &Details, versions: &str) -> Json {
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
        "ARN": secret.arn, "Name": secret.name, "Tags": tags,
        "CreatedDate": seconds(secret.created), "LastChangedDate": seconds(secret.changed),
    });
    if let Some(description) = &secret.description {
        answer["Description"] = json!(description);
    }
    if let Some(deleted) = secret.deleted {
        answer["DeletedDate"] = seconds(deleted);
    }
    if !labelled.is_empty() {
        answer[versions] = Json::Object(labelled);
    }
    answer
}

pub(super) async fn describe_secret(store: &LocalStore, body: &[u8]) -> Answer {
    let request: Request = read(body)?;
    let details = store.details(&request.secret_id).await?;
    Ok(described(&details, "VersionIdsToStages"))
}

pub(super) async fn list_secrets(store: &LocalStore, body: &[u8]) -> Answer {
    let request: Request = read(body)?;
    if request.filters.iter().any(|f| f.key != "name") {
        return Err(Refusal::new(
            Kind::InvalidParameter,
            "This store filters by name only.",
        ));
    }
    let wanted = |d: &Details| {
        (request.include_planned_deletion || d.secret.deleted.is_none())
            && request
                .filters
                .iter()
                .all(|f| f.values.iter().any(|v| d.secret.name.starts_with(v)))
    };
    let all = store.all_details().await?;
    let entries = all
        .iter()
        .filter(|d| wanted(d))
        .map(|d| {
            (
                d.secret.name.clone(),
                described(d, "SecretVersionsToStages"),
            )
        })
        .collect();
    page(&request, entries, json!({}), "SecretList")
}

pub(super) async fn list_secret_version_ids(store: &LocalStore, body: &[u8]) -> Answer {
    let request: Request = read(body)?;
    let details = store.details(&request.secret_id).await?;
    let entries = details
        .versions
        .iter()
        .map(|(id, created)| (id, created, stages_of(&details.labels, id)))
        .filter(|(.., stages)| request.include_deprecated || !stages.is_empty())
        .map(|(id, created, stages)| {
            let entry =
                json!({"VersionId": id, "VersionStages": stages, "CreatedDate": seconds(*created)});
            (id.0.clone(), entry)
        })
        .collect();
    let answer = json!({"ARN": details.secret.arn, "Name": details.secret.name});
    page(&request, entries, answer, "Versions")
}

/// One page of a list. The token names the last entry that was given out.
fn page(request: &Request, entries: Vec<(String, Json)>, mut answer: Json, field: &str) -> Answer {
    let most = request.max_results.unwrap_or(100);
    if !(1..=100).contains(&most) {
        return Err(Refusal::new(
            Kind::InvalidParameter,
            "MaxResults must be 1 to 100.",
        ));
    }
    let from = match &request.next_token {
        None => 0,
        Some(token) => entries
            .iter()
            .position(|(key, _)| STANDARD.encode(key) == *token)
            .map(|at| at + 1)
            .ok_or_else(|| {
                Refusal::new(Kind::InvalidParameter, "The NextToken value is invalid.")
            })?,
    };
    let total = entries.len();
    let given: Vec<(String, Json)> = entries.into_iter().skip(from).take(most).collect();
    if from + given.len() < total
        && let Some((last, _)) = given.last()
    {
        answer["NextToken"] = json!(STANDARD.encode(last));
    }
    answer[field] = given.into_iter().map(|(_, entry)| entry).collect();
    Ok(answer)
}

pub(super) async fn update_secret_version_stage(store: &LocalStore, body: &[u8]) -> Answer {
    let request: Request = read(body)?;
    let from = request.remove_from_version_id.map(VersionId);
    let to = request.move_to_version_id.map(VersionId);
    let label = request.version_stage.unwrap_or_default();
    let secret = store
        .update_stage(&request.secret_id, &label, from.as_ref(), to.as_ref())
        .await?;
    Ok(json!({"ARN": secret.arn, "Name": secret.name}))
}

pub(super) async fn delete_secret(store: &LocalStore, body: &[u8]) -> Answer {
    let request: Request = read(body)?;
    let invalid = |why: &str| Err(Refusal::new(Kind::InvalidParameter, why));
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
        return invalid("RecoveryWindowInDays must be 7 to 30.");
    }
    let secret = store.delete(&request.secret_id, days).await?;
    Ok(json!({
        "ARN": secret.arn, "Name": secret.name, "DeletionDate": secret.due.map(seconds),
    }))
}

pub(super) async fn restore_secret(store: &LocalStore, body: &[u8]) -> Answer {
    let request: Request = read(body)?;
    let secret = store.restore(&request.secret_id).await?;
    Ok(json!({"ARN": secret.arn, "Name": secret.name}))
}

pub(super) fn get_random_password(body: &[u8]) -> Answer {
    let password = random::password(&read(body)?)?;
    Ok(json!({"RandomPassword": password.expose_secret()}))
}

pub(super) async fn tag_resource(store: &LocalStore, body: &[u8]) -> Answer {
    let request: Request = read(body)?;
    let new = request.tags();
    store
        .change_tags(&request.secret_id, |tags| tags.extend(new))
        .await?;
    Ok(json!({}))
}

pub(super) async fn untag_resource(store: &LocalStore, body: &[u8]) -> Answer {
    let request: Request = read(body)?;
    let gone = request.tag_keys;
    store
        .change_tags(&request.secret_id, |tags| {
            tags.retain(|key, _| !gone.contains(key));
        })
        .await?;
    Ok(json!({}))
}

/// There is never a Lambda function here; AWS refuses a secret without one in the same way.
pub(super) async fn rotate_secret(store: &LocalStore, body: &[u8]) -> Answer {
    let request: Request = read(body)?;
    store.details(&request.secret_id).await?;
    Err(Refusal::new(
        Kind::InvalidRequest,
        "No Lambda rotation function ARN is associated with this secret.",
    ))
}
