//! Secrets Manager's own protocol (AWS JSON 1.1): `POST /`, the action in `X-Amz-Target`, errors as
//! `{"__type", "Message"}` with the API's status codes.
//!
//! What can go wrong, and what prevents it:
//! - an answer has another shape than AWS's: shapes are in `request.rs` and `actions.rs` only, and the AWS SDK itself
//!   reads them in the tests;
//! - an action that this store does not have looks as if it had worked: UnknownOperationException;
//! - somebody who may not is served: requests are not authenticated here, so whoever binds this
//!   router decides who can reach it.

mod actions;
mod batch;
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

use super::LocalStore;
use super::refusal::{Kind, Refusal};

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// The API over a store.
pub fn router(store: Arc<LocalStore>) -> Router {
    Router::new().route("/", post(answer)).with_state(store)
}

async fn answer(State(store): State<Arc<LocalStore>>, headers: HeaderMap, body: Bytes) -> Response {
    let action = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.strip_prefix("secretsmanager."))
        .unwrap_or_default();
    let (status, body) = match dispatch(&store, action, &body).await {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => (
            StatusCode::from_u16(refusal.kind.status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            json!({"__type": refusal.kind.name(), "Message": refusal.message}),
        ),
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

async fn dispatch(store: &LocalStore, action: &str, body: &[u8]) -> Result<Json, Refusal> {
    match action {
        "CreateSecret" => actions::create_secret(store, body).await,
        "PutSecretValue" => actions::put_secret_value(store, body).await,
        "UpdateSecret" => actions::update_secret(store, body).await,
        "GetSecretValue" => actions::get_secret_value(store, body).await,
        "BatchGetSecretValue" => batch::batch_get_secret_value(store, body).await,
        "DescribeSecret" => actions::describe_secret(store, body).await,
        "ListSecrets" => actions::list_secrets(store, body).await,
        "ListSecretVersionIds" => actions::list_secret_version_ids(store, body).await,
        "UpdateSecretVersionStage" => actions::update_secret_version_stage(store, body).await,
        "DeleteSecret" => actions::delete_secret(store, body).await,
        "RestoreSecret" => actions::restore_secret(store, body).await,
        "GetRandomPassword" => actions::get_random_password(body),
        "TagResource" => actions::tag_resource(store, body).await,
        "UntagResource" => actions::untag_resource(store, body).await,
        "RotateSecret" => actions::rotate_secret(store, body).await,
        _ => Err(Refusal::new(
            Kind::UnknownOperation,
            "This store does not have the requested operation.",
        )),
    }
}
