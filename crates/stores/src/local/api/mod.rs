//! Secrets Manager's own protocol (AWS JSON 1.1): `POST /`, the action in `X-Amz-Target`, errors as
//! `{"__type", "Message"}` with the API's status codes.
//!
//! What can go wrong, and what prevents it:
//! - an answer has another shape than AWS's: shapes are in this folder only, and the AWS SDK itself reads
//!   them in the tests;
//! - an action that this store does not have looks as if it had worked: UnknownOperationException; and so
//!   does a parameter that it cannot honour: it is refused;
//! - somebody who may not is served: every action asks its [`Caller`] first. [`router`] lets everybody do
//!   everything, and is for tests; `crate::served` asks for signatures.

mod action;
mod actions;
mod batch;
mod caller;
mod filter;
mod list;
mod request;

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

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// An action's answer, or why there is none.
pub type ApiResult = Result<Json, Refusal>;

/// The API over a store, for everybody who reaches it.
pub fn router(store: Arc<LocalStore>) -> Router {
    Router::new()
        .route("/", post(for_anybody))
        .with_state(store)
}

async fn for_anybody(
    State(store): State<Arc<LocalStore>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match action_of(&headers) {
        Ok(action) => perform(&store, &Unrestricted, action, &body).await,
        Err(refusal) => Err(refusal),
    };
    respond(answer)
}

/// The action that a request's head names.
///
/// # Errors
/// UnknownOperationException
pub fn action_of(headers: &HeaderMap) -> Result<Action, Refusal> {
    headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.strip_prefix("secretsmanager."))
        .and_then(Action::named)
        .ok_or_else(|| {
            Refusal::new(
                RefusalKind::UnknownOperation,
                "This store does not have the requested operation.",
            )
        })
}

/// Carries out an action for somebody, if they may.
///
/// # Errors
/// What the action refuses, as the API words it.
pub async fn perform(
    store: &LocalStore,
    caller: &dyn Caller,
    action: Action,
    body: &[u8],
) -> ApiResult {
    match action {
        Action::BatchGetSecretValue => batch::batch_get_secret_value(store, caller, body).await,
        Action::CreateSecret => actions::create_secret(store, caller, body).await,
        Action::DeleteSecret => actions::delete_secret(store, caller, body).await,
        Action::DescribeSecret => list::describe_secret(store, caller, body).await,
        Action::GetRandomPassword => actions::get_random_password(caller, body),
        Action::GetSecretValue => actions::get_secret_value(store, caller, body).await,
        Action::ListSecretVersionIds => list::list_secret_version_ids(store, caller, body).await,
        Action::ListSecrets => list::list_secrets(store, caller, body).await,
        Action::PutSecretValue => actions::put_secret_value(store, caller, body).await,
        Action::RestoreSecret => actions::restore_secret(store, caller, body).await,
        Action::RotateSecret => actions::rotate_secret(store, caller, body).await,
        Action::TagResource => actions::tag_resource(store, caller, body).await,
        Action::UntagResource => actions::untag_resource(store, caller, body).await,
        Action::UpdateSecret => actions::update_secret(store, caller, body).await,
        Action::UpdateSecretVersionStage => {
            actions::update_secret_version_stage(store, caller, body).await
        }
    }
}

/// An answer as HTTP.
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
    /// The HTTP status that it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn body(&self) -> Json {
        json!({"__type": self.kind.name(), self.kind.member(): self.message})
    }
}

/// A time as the protocol writes it, in seconds since 1970.
fn seconds(milliseconds: i64) -> Json {
    json!(milliseconds as f64 / 1000.0)
}
