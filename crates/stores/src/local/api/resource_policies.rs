//! Actions on resource policies. No secret of this store has one: the keys file alone defines what
//! a key may do.
//!
//! # Failure modes
//! - A policy is stored, and its Deny has no effect. A policy is never accepted; the refusal names
//!   the keys.
//! - Ansible's module, External Secrets' push and Terraform's resource read and delete the policy of
//!   every secret, and fail. These actions succeed, as in AWS for a secret without a policy.

use serde_json::{Value as Json, json};

use super::super::LocalStore;
use super::super::constraints::{only, within};
use super::super::refusal::{Refusal, RefusalKind};
use super::super::rows::SecretRow;
use super::ApiResult;
use super::action::Action;
use super::caller::{Caller, require, require_any};
use super::list::Page;
use super::request::{Request, read};

/// The name of the only policy that a request may change.
const DEFAULT: &str = "default";
/// AWS's limits.
const MAX_NAME: usize = 64;
const MAX_POLICY: usize = 20_480;
const NAME_PATTERN: &str = r"[0-9A-Za-z\-\_]+";

const UNSUPPORTED: &str = "This store has no resource policies: the actions and secrets of each access \
                           key are in its keys file. Remove the policy, and use twinkey keys.";

pub(super) async fn get_resource_policy(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(caller, Action::GetResourcePolicy, request.secret_id()?)?;
    let name = policy_name(&request)?;
    let secret = live(store, &request.secret_id).await?;
    if name != DEFAULT {
        return Err(Refusal::new(
            RefusalKind::ResourceNotFound,
            "Secrets Manager can't find the specified resource policy.",
        ));
    }
    Ok(answer(&secret))
}

pub(super) async fn delete_resource_policy(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(caller, Action::DeleteResourcePolicy, request.secret_id()?)?;
    default_only(&request)?;
    Ok(answer(&live(store, &request.secret_id).await?))
}

/// Always refused.
pub(super) async fn put_resource_policy(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(caller, Action::PutResourcePolicy, request.secret_id()?)?;
    default_only(&request)?;
    let is_object = is_object(&request)?;
    live(store, &request.secret_id).await?;
    let why = if is_object {
        UNSUPPORTED
    } else {
        "The resource policy is not a JSON object."
    };
    Err(Refusal::new(RefusalKind::MalformedPolicyDocument, why))
}

/// No policy is valid here, for the reason for which PutResourcePolicy refuses it.
pub(super) async fn validate_resource_policy(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    if request.secret_id.is_empty() {
        require_any(caller, Action::ValidateResourcePolicy)?;
    } else {
        require(caller, Action::ValidateResourcePolicy, request.secret_id()?)?;
    }
    if !is_object(&request)? {
        return Err(Refusal::new(
            RefusalKind::MalformedPolicyDocument,
            "The resource policy is not a JSON object.",
        ));
    }
    if !request.secret_id.is_empty() {
        live(store, &request.secret_id).await?;
    }
    Ok(json!({
        "PolicyValidationPassed": false,
        "ValidationErrors": [{"CheckName": "RESOURCE_POLICY", "ErrorMessage": UNSUPPORTED}],
    }))
}

pub(super) async fn list_resource_policies(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(caller, Action::ListResourcePolicies, request.secret_id()?)?;
    live(store, &request.secret_id).await?;
    let page = Page::of(&request, "policy", 100)?.cut(Vec::<(String, Json)>::new());
    Ok(page.into_answer(json!({}), "ResourcePolicies"))
}

/// The secret, unless it is missing or marked for deletion.
async fn live(store: &LocalStore, secret_id: &str) -> Result<SecretRow, Refusal> {
    let (secret, _) = store.labels_of(secret_id).await?;
    match secret.deleted {
        None => Ok(secret),
        Some(_) => Err(Refusal::marked_deleted()),
    }
}

fn answer(secret: &SecretRow) -> Json {
    json!({"ARN": secret.arn, "Name": secret.name, "PolicyName": DEFAULT})
}

/// The name of the policy in a request.
fn policy_name(request: &Request) -> Result<&str, Refusal> {
    let name = request.policy_name.as_deref().unwrap_or(DEFAULT);
    within("policyName", Some(name), 1..=MAX_NAME)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    only("policyName", name, NAME_PATTERN, allowed)?;
    Ok(name)
}

/// Refuses a change of another policy than the default one.
fn default_only(request: &Request) -> Result<(), Refusal> {
    if policy_name(request)? == DEFAULT {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::InvalidParameter,
        "You can modify only the resource policy with the name default.",
    ))
}

/// Whether the policy of a request is a JSON object.
fn is_object(request: &Request) -> Result<bool, Refusal> {
    let policy = request.resource_policy.as_deref().unwrap_or_default();
    within("resourcePolicy", Some(policy), 1..=MAX_POLICY)?;
    Ok(serde_json::from_str::<Json>(policy).is_ok_and(|policy| policy.is_object()))
}
