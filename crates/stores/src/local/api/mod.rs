//! Secrets Manager's protocol (AWS JSON 1.1): `POST /` with the action in `X-Amz-Target`; errors
//! are `{"__type", "Message"}` with the status codes of the API.
//!
//! # Failure modes
//! - A response differs in shape from AWS. Only this folder builds responses, and the tests read
//!   them with the AWS SDK.
//! - An unsupported action or parameter seems to succeed. Actions fail with
//!   UnknownOperationException, and parameters are refused.
//! - An unauthorized caller is served. Every action authorizes its [`Caller`] first. [`router`]
//!   permits everything, for tests; `crate::served` requires signatures.

mod action;
mod actions;
mod batch;
mod caller;
mod filter;
mod functions;
mod list;
pub(super) mod request;
mod resource_policies;
mod rotation;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use self::caller::Unrestricted;
use super::LocalStore;
use super::refusal::{Refusal, RefusalKind};

pub use self::action::Action;
pub use self::actions::read_value;
pub use self::caller::Caller;
pub use self::functions::{FunctionRuns, RotationFunctions};
pub use self::rotation::{NoRotations, RotationRules, RotationService, Rotations, SecretRotation};

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// Result of an action.
pub type ApiResult = Result<Json, Refusal>;

/// The API over a store, without authentication.
pub fn router(store: Arc<LocalStore>) -> Router {
    Router::new()
        .route("/", post(unauthenticated))
        .with_state(store)
}

async fn unauthenticated(
    State(store): State<Arc<LocalStore>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match action_of(&headers) {
        Ok(action) => {
            let rotations = Rotations::default();
            perform(&store, &rotations, &Unrestricted, action, &body).await
        }
        Err(refusal) => Err(refusal),
    };
    respond(answer)
}

/// The action of a request, from its headers.
///
/// # Errors
/// UnknownOperationException
pub fn action_of(headers: &HeaderMap) -> Result<Action, Refusal> {
    let name = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.strip_prefix("secretsmanager."))
        .unwrap_or_default();
    Action::named(name).ok_or_else(|| {
        let why = why_unknown(name);
        Refusal::new(RefusalKind::UnknownOperation, why)
    })
}

/// Why this store does not have one of AWS's actions.
fn why_unknown(action: &str) -> &'static str {
    match action {
        "ReplicateSecretToRegions"
        | "RemoveRegionsFromReplication"
        | "StopReplicationToReplica" => "This store has no regions, and replicates no secret.",
        "AssociateCrossAccountReplica" | "DisassociateCrossAccountReplica" => {
            "This store has no accounts, and replicates no secret."
        }
        _ => "This store does not have the requested operation.",
    }
}

/// Performs an action for a caller, if it is authorized.
///
/// # Errors
/// The refusals of the action.
pub async fn perform(
    store: &Arc<LocalStore>,
    rotations: &Rotations,
    caller: &dyn Caller,
    action: Action,
    body: &[u8],
) -> ApiResult {
    match action {
        Action::BatchGetSecretValue => batch::batch_get_secret_value(store, caller, body).await,
        Action::CancelRotateSecret => {
            rotation::cancel_rotate_secret(store, rotations, caller, body).await
        }
        Action::CreateSecret => actions::create_secret(store, caller, body).await,
        Action::DeleteResourcePolicy => {
            resource_policies::delete_resource_policy(store, caller, body).await
        }
        Action::DeleteSecret => actions::delete_secret(store, caller, body).await,
        Action::DescribeSecret => {
            list::describe_secret(store, &*rotations.service, caller, body).await
        }
        Action::GetRandomPassword => actions::get_random_password(caller, body),
        Action::GetResourcePolicy => {
            resource_policies::get_resource_policy(store, caller, body).await
        }
        Action::GetSecretValue => actions::get_secret_value(store, caller, body).await,
        Action::ListResourcePolicies => {
            resource_policies::list_resource_policies(store, caller, body).await
        }
        Action::ListSecretVersionIds => list::list_secret_version_ids(store, caller, body).await,
        Action::ListSecrets => list::list_secrets(store, &*rotations.service, caller, body).await,
        Action::PutResourcePolicy => {
            resource_policies::put_resource_policy(store, caller, body).await
        }
        Action::PutSecretValue => actions::put_secret_value(store, caller, body).await,
        Action::RestoreSecret => actions::restore_secret(store, caller, body).await,
        Action::RotateSecret => rotation::rotate_secret(store, rotations, caller, body).await,
        Action::TagResource => actions::tag_resource(store, caller, body).await,
        Action::UntagResource => actions::untag_resource(store, caller, body).await,
        Action::UpdateSecret => actions::update_secret(store, caller, body).await,
        Action::UpdateSecretVersionStage => {
            actions::update_secret_version_stage(store, caller, body).await
        }
        Action::ValidateResourcePolicy => {
            resource_policies::validate_resource_policy(store, caller, body).await
        }
    }
}

/// The HTTP response of a result.
#[must_use]
pub fn respond(answer: ApiResult) -> Response {
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => (refusal.status(), refusal.body()),
    };
    let headers = [
        (header::CONTENT_TYPE, CONTENT_TYPE.to_owned()),
        (
            header::HeaderName::from_static("x-amzn-requestid"),
            Uuid::new_v4().to_string(),
        ),
    ];
    (status, headers, body.to_string()).into_response()
}

impl Refusal {
    /// The HTTP status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn body(&self) -> Json {
        json!({"__type": self.kind.name(), self.kind.member(): self.message})
    }
}

/// A time of the protocol, in seconds since 1970.
fn seconds(milliseconds: i64) -> Json {
    json!(milliseconds as f64 / 1000.0)
}

/// A version with its labels. A version without labels has no such member in AWS.
fn with_stages(mut answer: Json, stages: &[String]) -> Json {
    if !stages.is_empty() {
        answer["VersionStages"] = json!(stages);
    }
    answer
}
