//! Interface of AWS's agent (`aws-secretsmanager-agent`) and of its Lambda extension: the value of
//! a secret for the holder of a token.
//!
//! Source: the agent's README and `server.rs` for responses, statuses and the order of checks. The
//! agent caches values (`ttl_seconds`). This interface never returns a stale value, so `refreshNow`
//! is accepted and changes nothing.
//!
//! # Failure modes
//! - A page or a service that can be made to send requests (SSRF) reads a secret. As in the agent,
//!   a header is required that neither can set, and a forwarded request is refused.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::listener::PeerAddr;
use crate::local::api::{Action, read_value};
use crate::local::{Refusal, RefusalKind};

use super::Served;
use super::keys::AccessKey;
use super::request_log::{RequestKey, RequestLog};

/// The headers of the agent.
const TOKEN_HEADERS: [&str; 2] = ["x-aws-parameters-secrets-token", "x-vault-token"];
const PING: &str = "/ping";
const BAD_TOKEN: &str = "Bad Token";

type PlainResponse = (StatusCode, String);

fn plain(status: StatusCode, text: &str) -> Response {
    (status, text.to_owned()).into_response()
}

/// Authenticates a request by the token of a key; `/ping` needs none.
pub(super) async fn authenticate(
    State(served): State<Arc<Served>>,
    ConnectInfo(peer): ConnectInfo<PeerAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.uri().path() == PING {
        return next.run(request).await;
    }
    let refused = |outcome, status, text| {
        served.metrics.served_request("agent", "unknown", outcome);
        tracing::debug!(peer = %peer.0, outcome, "request to the agent interface refused");
        plain(status, text)
    };
    if request.headers().contains_key("x-forwarded-for") {
        return refused("forwarded", StatusCode::BAD_REQUEST, "Forwarded");
    }
    match key_of_token(&served, request.headers()) {
        RequestKey::Authenticated(key) => {
            request.extensions_mut().insert(key);
            next.run(request).await
        }
        RequestKey::None => refused("bad_token", StatusCode::FORBIDDEN, BAD_TOKEN),
        key => {
            let mut log = RequestLog::new(&served, "agent", peer);
            log.key = key;
            log.wrong_token("bad_token");
            plain(StatusCode::FORBIDDEN, BAD_TOKEN)
        }
    }
}

/// The key of the token in a request. Of a wrong token, only the id of a known key is kept.
fn key_of_token(served: &Served, headers: &HeaderMap) -> RequestKey {
    let keys = served.keys();
    let mut wrong = RequestKey::None;
    for value in TOKEN_HEADERS.iter().filter_map(|name| headers.get(*name)) {
        let token = value.to_str().unwrap_or_default();
        if let Some(key) = keys.by_token(token) {
            return RequestKey::Authenticated(key);
        }
        let claimed = token.split_once('.').and_then(|(id, _)| keys.by_id(id));
        wrong = claimed.map_or(RequestKey::Unknown(String::new()), RequestKey::Claimed);
    }
    wrong
}

pub(super) async fn ping() -> &'static str {
    "healthy"
}

pub(super) async fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "Not found")
}

pub(super) async fn not_allowed() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "Not allowed")
}

/// `GET /secretsmanager/get?secretId=…`
pub(super) async fn by_query(
    state: State<Arc<Served>>,
    peer: ConnectInfo<PeerAddr>,
    key: Extension<Arc<AccessKey>>,
    uri: Uri,
) -> Result<Response, PlainResponse> {
    let mut query = Query::parse(&uri, true)?;
    let secret = std::mem::take(&mut query.secret_id);
    if secret.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "missing parameter secretId".into()));
    }
    Ok(answer(state, peer, key, &secret, &query).await)
}

/// `GET /v1/{secret}`
pub(super) async fn by_path(
    state: State<Arc<Served>>,
    peer: ConnectInfo<PeerAddr>,
    key: Extension<Arc<AccessKey>>,
    Path(secret): Path<String>,
    uri: Uri,
) -> Result<Response, PlainResponse> {
    let query = Query::parse(&uri, false)?;
    Ok(answer(state, peer, key, &secret, &query).await)
}

/// `GET /v1/`
pub(super) async fn without_secret() -> PlainResponse {
    (StatusCode::BAD_REQUEST, "missing secret ID".into())
}

/// Parameters of a request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

impl Query {
    /// Parses the parameters; `with_secret` permits a secret id.
    fn parse(uri: &Uri, with_secret: bool) -> Result<Self, PlainResponse> {
        let wrong = |why: String| Err((StatusCode::BAD_REQUEST, why));
        let mut query = Self::default();
        let pairs: Vec<(String, String)> = match axum::extract::Query::try_from_uri(uri) {
            Ok(axum::extract::Query(pairs)) => pairs,
            Err(_) => return wrong("invalid query".into()),
        };
        for (name, value) in pairs {
            match name.as_str() {
                "secretId" if with_secret => query.secret_id = value,
                "versionId" => query.version_id = Some(value),
                "versionStage" => query.version_stage = Some(value),
                "refreshNow" => match value.to_lowercase().as_str() {
                    "true" | "1" | "false" | "0" => {}
                    _ => return wrong("invalid refreshNow value".into()),
                },
                _ => return wrong(format!("unknown parameter: {name}")),
            }
        }
        Ok(query)
    }
}

async fn answer(
    State(served): State<Arc<Served>>,
    ConnectInfo(peer): ConnectInfo<PeerAddr>,
    Extension(key): Extension<Arc<AccessKey>>,
    secret: &str,
    query: &Query,
) -> Response {
    let mut log = RequestLog::new(&served, "agent", peer);
    log.key = RequestKey::Authenticated(Arc::clone(&key));
    log.action = Some(Action::GetSecretValue);
    let (version, label) = (query.version_id.as_deref(), query.version_stage.as_deref());
    let answer = read_value(&served.store, &*key, secret, version, label).await;
    log.finish(answer.as_ref(), || secret.to_owned());
    match answer {
        Ok(value) => Json(agent_format(value)).into_response(),
        Err(refusal) => (refusal.status(), Json(refused(&refusal))).into_response(),
    }
}

/// The value in the form of the agent, which writes the creation time as text.
fn agent_format(mut value: Value) -> Value {
    if let Some(created) = value.get_mut("CreatedDate") {
        *created = Value::String(created.to_string());
    }
    value
}

fn refused(refusal: &Refusal) -> Value {
    match refusal.kind {
        // The agent omits the details of internal errors.
        RefusalKind::Internal => json!({"__type": "InternalFailure"}),
        kind => json!({"__type": kind.name(), "message": refusal.message}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str, with_secret: bool) -> Result<Query, String> {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        Query::parse(&uri, with_secret).map_err(|(status, why)| {
            assert_eq!(status, StatusCode::BAD_REQUEST);
            why
        })
    }

    #[test]
    fn parses_a_query_as_the_agent_does() {
        let query = parse(
            "secretId=prod%2Fdb&versionId=v&versionStage=AWSPREVIOUS&refreshNow=TRUE",
            true,
        );
        let expected = Query {
            secret_id: "prod/db".into(),
            version_id: Some("v".into()),
            version_stage: Some("AWSPREVIOUS".into()),
        };
        assert_eq!(query, Ok(expected));
        assert_eq!(parse("", true), Ok(Query::default()));
        for (query, with_secret, why) in [
            ("refreshNow=123", true, "invalid refreshNow value"),
            ("abc=1", true, "unknown parameter: abc"),
            ("secretId=x", false, "unknown parameter: secretId"),
        ] {
            assert_eq!(parse(query, with_secret), Err(why.into()), "{query}");
        }
    }
}
