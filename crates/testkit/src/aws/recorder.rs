//! A proxy of the stand-in that records AWS calls. It implements SNS, EventBridge and ECS itself.
//!
//! # Failure modes
//! - A call of an unknown service is not recorded: the handler panics, and the caller gets an error.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use reqwest::Url;
use serde_json::{Map, Value as Json, json};
use tokio::task::JoinHandle;

/// A recorded call.
#[derive(Debug, Clone)]
pub struct RecordedCall {
    /// The prefix of actions in policies, for example `redshift-data`.
    pub service: &'static str,
    pub action: String,
    /// The parameters.
    pub parameters: Json,
    pub headers: HeaderMap,
    pub body: String,
}

pub struct Recorder {
    url: String,
    state: Arc<RecorderState>,
    server: JoinHandle<()>,
}

struct RecorderState {
    upstream: String,
    calls: Mutex<Vec<RecordedCall>>,
    /// The next responses of ECS: HTTP status and `__type`.
    ecs: Mutex<Vec<(u16, &'static str)>>,
}

impl Recorder {
    /// Starts a proxy of the stand-in at `upstream`.
    pub async fn start(upstream: &str) -> Self {
        let state = Arc::new(RecorderState {
            upstream: upstream.to_owned(),
            calls: Mutex::default(),
            ecs: Mutex::default(),
        });
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state, server }
    }

    /// The value of `secrets.endpoint_url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All calls.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.state.calls.lock().clone()
    }

    /// The calls of one service.
    pub fn calls_of(&self, service: &str) -> Vec<RecordedCall> {
        let mut calls = self.calls();
        calls.retain(|call| call.service == service);
        calls
    }

    /// Sets the next responses of ECS.
    pub fn ecs_answers(&self, answers: &[(u16, &'static str)]) {
        let mut ecs = self.state.ecs.lock();
        ecs.extend_from_slice(answers);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(state): State<Arc<RecorderState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let target = headers
        .get("x-amz-target")
        .map(|target| target.to_str().unwrap().to_owned());
    let (service, action, parameters) = match target.as_deref().and_then(|t| t.split_once('.')) {
        Some((service, action)) => {
            let service = match service {
                "secretsmanager" => "secretsmanager",
                "RedshiftData" => "redshift-data",
                "AWSEvents" => "events",
                "AmazonEC2ContainerServiceV20141113" => "ecs",
                other => panic!("unknown service {other}"),
            };
            (
                service,
                action.to_owned(),
                serde_json::from_str(&body).unwrap(),
            )
        }
        // Requests of SNS, STS and RDS are forms.
        None => {
            let form = Url::parse(&format!("http://form/?{body}")).unwrap();
            let pairs = form.query_pairs();
            let parameters: Map<String, Json> = pairs.map(|(k, v)| (k.into(), json!(v))).collect();
            let action = parameters["Action"].as_str().unwrap().to_owned();
            let service = match action.as_str() {
                "AssumeRole" => "sts",
                action if action.starts_with("DescribeDB") => "rds",
                _ => "sns",
            };
            (service, action, Json::Object(parameters))
        }
    };
    state.calls.lock().push(RecordedCall {
        service,
        action,
        parameters,
        headers: headers.clone(),
        body: body.clone(),
    });
    match service {
        "sns" => "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>".into_response(),
        "events" => json(200, &json!({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]})),
        "ecs" => {
            let mut ordered = state.ecs.lock();
            if ordered.is_empty() {
                return json(200, &json!({"service": {}}));
            }
            let (status, kind) = ordered.remove(0);
            json(status, &json!({"__type": kind, "message": "injected fault"}))
        }
        _ => forward(&state.upstream, headers, body).await,
    }
}

fn json(status: u16, answer: &Json) -> Response {
    let kind = [("content-type", "application/x-amz-json-1.1")];
    let status = StatusCode::from_u16(status).unwrap();
    (status, kind, answer.to_string()).into_response()
}

async fn forward(upstream: &str, mut headers: HeaderMap, body: String) -> Response {
    headers.remove("host");
    headers.remove("content-length");
    let request = reqwest::Client::new().post(upstream).headers(headers);
    let Ok(answer) = request.body(body).send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let status = answer.status();
    let body = answer.bytes().await.unwrap_or_default();
    (
        status,
        [("content-type", "application/x-amz-json-1.1")],
        body,
    )
        .into_response()
}
