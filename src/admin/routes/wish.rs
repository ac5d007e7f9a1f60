//! What a request asks for: the rotation in its path, the wishes in its body; and the line in the log that
//! says who asked.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::admin::problem::Answer;
use crate::admin::session::Session;
use crate::config::settings::Rotation;
use crate::worker::fleet::Fleet;
use twinkey_core::telemetry::AUDIT;
use twinkey_stores::listener::Peer;

/// The longest reason, in characters.
const MAX_REASON: usize = 1000;
/// The longest idempotency key, as of the IETF draft's recommendation to bound it.
const MAX_KEY: usize = 255;

/// The rotation that `{name}` in the path names.
pub struct Named(pub Arc<Rotation>);

impl FromRequestParts<Fleet> for Named {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, fleet: &Fleet) -> Result<Self, Answer> {
        // A path that does not decode names nothing either.
        let name = Path::<String>::from_request_parts(parts, fleet).await;
        let name = name.map_or_else(|_| parts.uri.path().to_owned(), |Path(name)| name);
        let rotation = fleet.rotation(&name);
        rotation
            .map(Self)
            .ok_or_else(|| Answer::nothing_called("rotation", &name))
    }
}

/// A run on demand. Everything is optional.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"force": false, "reason": "deploy 4711"}))]
pub struct RotateWish {
    /// Rotate even inside `min_interval` or while the standby is in use.
    pub force: bool,
    /// Why, for the journal and the log.
    #[schema(max_length = 1000)]
    pub reason: Option<String>,
}

/// A rollback, a pause, or its end. Everything is optional.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"reason": "migration tonight"}))]
pub struct Wish {
    /// Why, for the log.
    #[schema(max_length = 1000)]
    pub reason: Option<String>,
}

/// Why something is asked for.
pub trait Reasoned {
    fn reason(&self) -> Option<&str>;
}

impl Reasoned for RotateWish {
    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl Reasoned for Wish {
    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

/// A body as it arrived.
pub type Body = Result<Bytes, BytesRejection>;

/// The wishes in a body; an empty one asks for nothing in particular.
///
/// # Errors
/// 400 where it is not understood, 413 where it is too long.
pub fn read<T: DeserializeOwned + Default + Reasoned>(body: Body) -> Result<T, Answer> {
    const HINT: &str = "see GET /openapi.json; every field is optional, and so is the body";
    let body = body.map_err(|refused| Answer::new(refused.status(), refused.body_text(), HINT))?;
    if body.is_empty() {
        return Ok(T::default());
    }
    let wrong = |detail| Answer::new(StatusCode::BAD_REQUEST, detail, HINT);
    // Through a map, because serde takes a list for a struct as well.
    let wish = serde_json::from_slice::<Option<Map<String, Value>>>(&body)
        .and_then(|fields| {
            fields
                .map(|map| T::deserialize(Value::Object(map)))
                .transpose()
        })
        .map_err(|error| wrong(format!("the body is not what is asked for: {error}")))?;
    let wish = wish.unwrap_or_default();
    check_reason(wish.reason())?;
    Ok(wish)
}

/// Whether a reason may be kept.
///
/// # Errors
/// 400 where it is too long.
pub fn check_reason(reason: Option<&str>) -> Result<(), Answer> {
    if reason.is_some_and(|r| r.chars().count() > MAX_REASON) {
        return Err(Answer::new(
            StatusCode::BAD_REQUEST,
            format!("the reason is longer than {MAX_REASON} characters"),
            "say it in fewer words; every field is optional",
        ));
    }
    Ok(())
}

/// Who asks: from which address, and in which session of the dashboard.
pub struct Caller {
    peer: Peer,
    session: Option<String>,
}

impl From<Peer> for Caller {
    fn from(peer: Peer) -> Self {
        Self {
            peer,
            session: None,
        }
    }
}

impl Caller {
    /// Somebody on the dashboard.
    #[must_use]
    pub fn session(peer: Peer, session: &Session) -> Self {
        Self {
            peer,
            session: Some(session.name().to_owned()),
        }
    }
}

/// The request's `Idempotency-Key`.
///
/// # Errors
/// 400 where it is there and cannot be one.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Answer> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match key.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY => Ok(Some(key)),
        _ => Err(Answer::new(
            StatusCode::BAD_REQUEST,
            "the Idempotency-Key is empty, too long or not ASCII",
            format!("use 1 to {MAX_KEY} visible ASCII characters"),
        )),
    }
}

/// Logs who asked for what, why, and whether it was granted.
pub fn audit<T>(
    caller: impl Into<Caller>,
    asked: &'static str,
    rotation: &Rotation,
    reason: Option<&str>,
    result: &Result<T, Answer>,
) {
    let refused = result.as_ref().err().map(ToString::to_string);
    let Caller { peer, session } = caller.into();
    tracing::info!(target: AUDIT, rotation = %rotation.name, asked, peer = %peer.0, session = session.as_deref().unwrap_or_default(), reason = reason.unwrap_or_default(), refused = refused.as_deref().unwrap_or_default(), "asked for through the admin endpoint");
}
