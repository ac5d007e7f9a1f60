//! A strict AWS stand-in over HTTP: twinkey's own embedded store behind Secrets Manager's protocol and,
//! where a test asks for it, Redshift's Data API over a real PostgreSQL, with faults to order.
//!
//! What can go wrong: a fault that a test orders hits another call than the one it means. Every fault
//! names the actions that it is for, or how many calls it waits, and the calls are recorded.

pub mod faults;
mod record;
pub mod recorder;
pub mod redshift;
mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::postgres::Options;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::config::{Credentials, SharedCredentialsProvider};
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Response, StatusCode};
use axum::middleware::{self, Next};
use serde_json::{Value as Json, json};
use sqlx::Connection;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use twinkey_stores::local::{LocalStore, router};

use faults::{Call, Faults, Verdict};
use redshift::Redshift;

/// A running stand-in; it ends, and its files go, when it is dropped.
pub struct StandIn {
    store: Arc<LocalStore>,
    desk: Arc<Desk>,
    address: SocketAddr,
    server: JoinHandle<()>,
    folder: TempDir,
}

/// What every request passes.
#[derive(Default)]
struct Desk {
    faults: Faults,
    redshift: OnceLock<Arc<Redshift>>,
}

impl StandIn {
    /// Starts one on a free port, with an empty store.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), "secrets.db").await;
        let desk = Arc::new(Desk::default());
        let app = router(Arc::clone(&store))
            .layer(middleware::from_fn_with_state(Arc::clone(&desk), disturb));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = app.into_make_service_with_connect_info::<wire::Line>();
        let server = tokio::spawn(async move {
            axum::serve(wire::Listener(listener), service)
                .await
                .unwrap();
        });
        Self {
            store,
            desk,
            address,
            server,
            folder,
        }
    }

    /// One with a Redshift cluster and workgroup too, on a server that is started with these options.
    pub async fn with_redshift(options: Options) -> Self {
        let stand_in = Self::start().await;
        let redshift = Redshift::start(Arc::clone(&stand_in.store), options).await;
        assert!(stand_in.desk.redshift.set(redshift).is_ok());
        stand_in
    }

    /// Of one that was started with it.
    pub fn redshift(&self) -> &Arc<Redshift> {
        self.desk.redshift.get().expect("started with Redshift")
    }

    /// For `secrets.endpoint_url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// For seeding, and for looking behind the faults.
    pub fn store(&self) -> &LocalStore {
        &self.store
    }

    pub fn faults(&self) -> &Faults {
        &self.desk.faults
    }

    /// From now on reads see the state of now: for `reads` of them, or until
    /// [`Faults::release_reads`].
    pub async fn lag(&self, reads: Option<usize>) {
        let name = format!("lag-{}.db", uuid::Uuid::new_v4());
        let copy = self.folder.path().join(&name);
        let from = self.folder.path().join("secrets.db");
        let url = format!("sqlite://{}", from.display());
        let mut db = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("VACUUM INTO ?1")
            .bind(copy.to_str().unwrap())
            .execute(&mut db)
            .await
            .unwrap();
        db.close().await.unwrap();
        let old = router(open(self.folder.path(), &name).await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, old).await.unwrap() });
        self.desk.faults.hold_reads(address, server, reads);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An SDK config with dummy credentials, for any stand-in; nothing is taken from the environment.
pub fn sdk_config(url: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

async fn open(folder: &Path, name: &str) -> Arc<LocalStore> {
    let store = LocalStore::open(&folder.join(name), &folder.join("secrets.key")).await;
    Arc::new(store.unwrap())
}

async fn disturb(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(line): ConnectInfo<wire::Line>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let target = parts.headers.get("x-amz-target").unwrap();
    let action = target.to_str().unwrap().rsplit('.').next().unwrap();
    record::note(&parts.headers);
    let asked: Json = serde_json::from_slice(&body).unwrap_or_default();
    let names = ["SecretId", "Name", "SecretArn"];
    let secret = names.iter().find_map(|name| asked[*name].as_str());
    let call = Call {
        action: action.to_owned(),
        secret: secret.unwrap_or_default().to_owned(),
    };
    let forward = Request::from_parts(parts, Body::from(body));
    let faults = &desk.faults;
    match faults.judge(&call) {
        Verdict::CutBefore => {
            line.cut();
            error(500, "InternalServiceError")
        }
        Verdict::CutAfter => {
            let answer = serve(&desk, forward, next).await;
            line.cut();
            answer
        }
        Verdict::Answer(status, name) => error(status, name),
        Verdict::FromOld(old) => patched(faults, &call, old_answer(old, forward).await).await,
        Verdict::Pass => patched(faults, &call, serve(&desk, forward, next).await).await,
    }
}

/// By the service that the target names.
async fn serve(desk: &Desk, request: Request, next: Next) -> Response<Body> {
    let target = header(&request, "x-amz-target");
    let (Some(action), Some(redshift)) =
        (target.strip_prefix("RedshiftData."), desk.redshift.get())
    else {
        return next.run(request).await;
    };
    let authorization = header(&request, "authorization");
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let (status, answer) = redshift.answer(action, &authorization, &body).await;
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from(answer.to_string()))
        .unwrap()
}

fn header(request: &Request, name: &str) -> String {
    let value = request
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

async fn patched(faults: &Faults, call: &Call, answer: Response<Body>) -> Response<Body> {
    let Some(patch) = faults.patch_for(call) else {
        return answer;
    };
    let (mut parts, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut json: Json = serde_json::from_slice(&body).unwrap();
    if parts.status == StatusCode::OK {
        json.as_object_mut()
            .unwrap()
            .extend(patch.as_object().unwrap().clone());
    }
    parts.headers.remove("content-length");
    Response::from_parts(parts, Body::from(json.to_string()))
}

async fn old_answer(old: SocketAddr, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let answer = reqwest::Client::new()
        .post(format!("http://{old}/"))
        .header("x-amz-target", parts.headers["x-amz-target"].clone())
        .body(to_bytes(body, usize::MAX).await.unwrap())
        .send()
        .await
        .unwrap();
    Response::builder()
        .status(answer.status())
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from(answer.bytes().await.unwrap()))
        .unwrap()
}

fn error(status: u16, name: &str) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from(
            json!({"__type": name, "Message": "as ordered"}).to_string(),
        ))
        .unwrap()
}
