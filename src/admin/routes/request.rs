//! Request parts of the routes: path, body, the filter of a list, idempotency key, and the audit log line.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{ConnectInfo, FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::admin::auth::session::Session;
use crate::admin::auth::{Authenticated, Principal};
use crate::admin::problem::ApiError;
use crate::config::settings::Rotation;
use crate::journal::{Actor, ActorKind, Cause};
use crate::rotation::error::RotationError;
use crate::worker::state::WorkerState;
use twinkey_core::telemetry::AUDIT;
use twinkey_stores::listener::PeerAddr;

/// The longest reason, in characters.
const MAX_REASON: usize = 1000;
/// The largest `limit` of a list.
const MAX_LIMIT: u32 = 500;
/// The longest idempotency key; the IETF draft recommends a bound.
const MAX_KEY: usize = 255;

/// The rotation named by `{name}` in the path, if the caller sees it.
pub struct RotationPath(pub Arc<Rotation>);

impl FromRequestParts<WorkerState> for RotationPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &WorkerState) -> Result<Self, ApiError> {
        // A path that does not decode is an unknown name too.
        let name = Path::<String>::from_request_parts(parts, state).await;
        let name = name.map_or_else(|_| parts.uri.path().to_owned(), |Path(name)| name);
        let Authenticated(principal) = Authenticated::from_request_parts(parts, state).await?;
        let rotation = state.rotation(&name).filter(|_| principal.sees(&name));
        rotation
            .map(Self)
            .ok_or_else(|| ApiError::not_found("rotation", &name))
    }
}

/// A run on demand. Every field is optional.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"force": false, "end_sessions": false, "reason": "deploy 4711"}))]
pub struct RotateRequest {
    /// Rotate even inside `min_interval` or while the standby is in use.
    pub force: bool,
    /// End the standby's open sessions after its new password is set, even if it is in use.
    pub end_sessions: bool,
    /// The reason, for the record and the run.
    #[schema(max_length = 1000)]
    pub reason: Option<String>,
}

/// A rollback. Every field is optional.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"reason": "the deploy of 4711 fails", "again": false}))]
pub struct RollbackRequest {
    /// The reason, for the record.
    #[schema(max_length = 1000)]
    pub reason: Option<String>,
    /// Move AWSCURRENT also if it was rolled back before.
    pub again: bool,
    /// The user that AWSCURRENT must have afterwards; by default the one of AWSPREVIOUS.
    #[schema(max_length = 128)]
    pub to: Option<String>,
}

/// A pause. Every field is optional.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"reason": "migration tonight", "until": "2030-01-31T08:00:00Z"}))]
pub struct PauseRequest {
    /// The reason, for the record.
    #[schema(max_length = 1000)]
    pub reason: Option<String>,
    /// When the pause ends by itself: a time in the future.
    pub until: Option<DateTime<Utc>>,
}

/// A resume. Every field is optional.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"reason": "migration done"}))]
pub struct ResumeRequest {
    /// The reason, for the record.
    #[schema(max_length = 1000)]
    pub reason: Option<String>,
}

/// A request with a reason.
pub trait HasReason {
    fn reason(&self) -> Option<&str>;
}

impl HasReason for RotateRequest {
    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl HasReason for RollbackRequest {
    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl HasReason for PauseRequest {
    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl HasReason for ResumeRequest {
    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

/// A body as it arrived.
pub type Body = Result<Bytes, BytesRejection>;

/// The request of a body; an empty body is the default request.
///
/// # Errors
/// 400 if it is not valid, 413 if it is too long.
pub fn parse_body<T: DeserializeOwned + Default + HasReason>(body: Body) -> Result<T, ApiError> {
    const HINT: &str = "see GET /openapi.json; every field is optional, and so is the body";
    let body =
        body.map_err(|refused| ApiError::new(refused.status(), refused.body_text(), HINT))?;
    if body.is_empty() {
        return Ok(T::default());
    }
    let bad_request = |detail| ApiError::new(StatusCode::BAD_REQUEST, detail, HINT);
    // Through a map, because serde also reads a struct from a list.
    let request = serde_json::from_slice::<Map<String, Value>>(&body)
        .and_then(|fields| T::deserialize(Value::Object(fields)))
        .map_err(|error| bad_request(format!("the body is not valid: {error}")))?;
    check_reason(request.reason())?;
    Ok(request)
}

/// Checks the length of a reason.
///
/// # Errors
/// 400 if it is too long.
pub fn check_reason(reason: Option<&str>) -> Result<(), ApiError> {
    if reason.is_some_and(|r| r.chars().count() > MAX_REASON) {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("the reason is longer than {MAX_REASON} characters"),
            "shorten the reason or leave it out",
        ));
    }
    Ok(())
}

/// The caller of an action: its name, its address, and its session of the dashboard if it has one.
pub struct Caller {
    principal: Arc<Principal>,
    peer: PeerAddr,
    session: Option<String>,
}

impl Caller {
    /// The cause of what it requests.
    pub fn cause(&self, reason: Option<String>) -> Cause {
        Cause {
            actor: Actor {
                kind: ActorKind::Token,
                name: self.principal.name().to_owned(),
                address: Some(self.peer.0.to_string()),
            },
            reason,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Authenticated(principal) = Authenticated::from_request_parts(parts, state).await?;
        let peer = parts.extensions.get::<ConnectInfo<PeerAddr>>();
        let ConnectInfo(peer) = peer.ok_or_else(|| {
            RotationError::Internal("the address of the client is not known".into())
        })?;
        let session = parts.extensions.get::<Session>();
        Ok(Self {
            principal,
            peer: *peer,
            session: session.map(|session| session.log_id().to_owned()),
        })
    }
}

/// The query of a list whose pages have up to [`MAX_LIMIT`] items. `parameters` names the other ones.
///
/// # Errors
/// 400 if the query is not valid.
pub fn list_filter<T: HasLimit>(
    filter: Result<Query<T>, QueryRejection>,
    parameters: &str,
) -> Result<T, ApiError> {
    let bad_request = |detail: String| {
        let hint = format!("the parameters are {parameters} and limit (1 to {MAX_LIMIT})");
        ApiError::new(StatusCode::BAD_REQUEST, detail, hint)
    };
    let Query(filter) = filter.map_err(|refused| bad_request(refused.body_text()))?;
    if let Some(limit) = filter.limit()
        && !(1..=MAX_LIMIT).contains(&limit)
    {
        return Err(bad_request(format!(
            "limit {limit} is not from 1 to {MAX_LIMIT}"
        )));
    }
    Ok(filter)
}

/// A filter with the largest number of items of a page. `None`: the list has no limit.
pub trait HasLimit {
    fn limit(&self) -> Option<u32>;
}

/// The items of a page without `limit`.
pub const fn default_limit() -> u32 {
    50
}

/// The request's `Idempotency-Key`.
///
/// # Errors
/// 400 if it is present and not valid.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match key.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY => Ok(Some(key)),
        _ => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "the Idempotency-Key is empty, too long or not ASCII",
            format!("use 1 to {MAX_KEY} visible ASCII characters"),
        )),
    }
}

/// Logs a requested action with caller, reason and result.
pub fn audit<T>(
    caller: &Caller,
    action: &'static str,
    rotation: &Rotation,
    reason: Option<&str>,
    result: &Result<T, ApiError>,
) {
    let refused = result.as_ref().err().map(ToString::to_string);
    let (actor, peer) = (caller.principal.name(), caller.peer.0);
    let session = caller.session.as_deref().unwrap_or_default();
    tracing::info!(target: AUDIT, rotation = %rotation.name, action, actor, %peer, session, reason = reason.unwrap_or_default(), refused = refused.as_deref().unwrap_or_default(), "admin action requested");
}
