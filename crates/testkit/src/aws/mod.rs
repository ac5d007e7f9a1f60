//! A stand-in of AWS over HTTP with injected faults: the embedded store behind the protocol of
//! Secrets Manager, two calls of the RDS API, AssumeRole of STS with further accounts, and optionally the
//! Data API of Redshift over a real PostgreSQL.
//!
//! # Failure modes
//! - A fault affects another call than intended: every fault has an action or a call number, and
//!   all calls are recorded.

pub mod accounts;
pub mod faults;
pub mod rds;
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

use accounts::{Accounts, Caller};
use faults::{Call, FaultDecision, Faults};
use rds::Rds;
use redshift::Redshift;

/// A running stand-in. Dropping it stops it and removes its files.
pub struct StandIn {
    store: Arc<LocalStore>,
    services: Arc<Services>,
    address: SocketAddr,
    server: JoinHandle<()>,
    folder: TempDir,
}

/// The state of all requests.
#[derive(Default)]
struct Services {
    faults: Faults,
    rds: Rds,
    accounts: Accounts,
    redshift: OnceLock<Arc<Redshift>>,
}

impl StandIn {
    /// Starts a stand-in with an empty store.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), "secrets.db").await;
        let services = Arc::new(Services::default());
        let app = router(Arc::clone(&store)).layer(middleware::from_fn_with_state(
            Arc::clone(&services),
            apply_faults,
        ));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = app.into_make_service_with_connect_info::<wire::ConnectionHandle>();
        let server = tokio::spawn(async move {
            axum::serve(wire::Listener(listener), service)
                .await
                .unwrap();
        });
        Self {
            store,
            services,
            address,
            server,
            folder,
        }
    }

    /// Starts a stand-in with a Redshift cluster and workgroup, on a PostgreSQL with these options.
    pub async fn with_redshift(options: Options) -> Self {
        let stand_in = Self::start().await;
        let redshift = Redshift::start(Arc::clone(&stand_in.store), options).await;
        assert!(stand_in.services.redshift.set(redshift).is_ok());
        stand_in
    }

    /// The Redshift stand-in.
    ///
    /// # Panics
    /// It was not started with [`Self::with_redshift`].
    pub fn redshift(&self) -> &Arc<Redshift> {
        self.services.redshift.get().expect("started with Redshift")
    }

    /// The databases that the RDS API describes.
    pub fn rds(&self) -> &Rds {
        &self.services.rds
    }

    /// The further accounts, which the credentials of roles reach.
    pub fn accounts(&self) -> &Accounts {
        &self.services.accounts
    }

    /// Adds a region of a further account, and returns its empty store.
    pub async fn add_account(&self, account: &str, region: &str) -> Arc<LocalStore> {
        let accounts = &self.services.accounts;
        accounts.add(self.folder.path(), account, region).await
    }

    /// The value of `secrets.endpoint_url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The store without faults.
    pub fn store(&self) -> &LocalStore {
        &self.store
    }

    pub fn faults(&self) -> &Faults {
        &self.services.faults
    }

    /// Makes a secret older.
    pub async fn backdate(&self, name: &str, by: std::time::Duration) {
        let path = self.folder.path().join("secrets.db");
        let url = format!("sqlite://{}", path.display());
        let mut db = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let changed = sqlx::query("UPDATE secrets SET created = created - ?1 WHERE name = ?2")
            .bind(i64::try_from(by.as_millis()).unwrap())
            .bind(name)
            .execute(&mut db)
            .await
            .unwrap();
        assert_eq!(changed.rows_affected(), 1, "{name}");
        db.close().await.unwrap();
    }

    /// Makes reads return the current state, for `reads` reads or until [`Faults::release_reads`].
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
        self.services.faults.hold_reads(address, server, reads);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An SDK config with dummy credentials that does not read the environment.
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

async fn apply_faults(
    State(services): State<Arc<Services>>,
    ConnectInfo(connection): ConnectInfo<wire::ConnectionHandle>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let target = parts.headers.get("x-amz-target");
    // The Query protocol names the action in the body.
    let query = Rds::action(&body);
    let (service, action) = match target.map(|target| target.to_str().unwrap()) {
        Some(target) => target.split_once('.').unwrap(),
        None if query == "AssumeRole" => ("sts", &*query),
        None => ("rds", &*query),
    };
    let is_query = target.is_none();
    record::note(&parts.headers, service, action);
    let asked: Json = serde_json::from_slice(&body).unwrap_or_default();
    let names = ["SecretId", "Name", "SecretArn"];
    let secret = names.iter().find_map(|name| asked[*name].as_str());
    let call = Call {
        action: action.to_owned(),
        secret: secret.unwrap_or_default().to_owned(),
        is_filtered: asked.get("Filters").is_some(),
    };
    let caller = services.accounts.caller(&parts.headers, action);
    let forward = Request::from_parts(parts, Body::from(body));
    let faults = &services.faults;
    let decision = faults.decide(&call);
    if let Caller::Refused(name, why) = &caller {
        return refused(is_query, name, why);
    }
    match decision {
        FaultDecision::CutBefore => {
            connection.cut();
            error(500, "InternalServiceError")
        }
        FaultDecision::CutAfter => {
            let answer = serve(&services, &caller, forward, next).await;
            connection.cut();
            answer
        }
        FaultDecision::Answer(status, name) if is_query => {
            xml(status, rds::error(name, "injected fault"))
        }
        FaultDecision::Answer(status, name) => error(status, name),
        FaultDecision::FromStale(stale) => {
            patched(faults, &call, stale_answer(stale, forward).await).await
        }
        FaultDecision::Pass => {
            patched(
                faults,
                &call,
                serve(&services, &caller, forward, next).await,
            )
            .await
        }
    }
}

/// Serves a request by the service of its target; without one, it is of STS or the RDS API.
async fn serve(
    services: &Services,
    caller: &Caller,
    request: Request,
    next: Next,
) -> Response<Body> {
    let target = header(&request, "x-amz-target");
    if target.is_empty() {
        let [authorization, content_type] =
            ["authorization", "content-type"].map(|name| header(&request, name));
        let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
        let accounts = &services.accounts;
        let (status, answer) = match caller {
            _ if Rds::action(&body) == "AssumeRole" => {
                accounts.assume_role(caller, &authorization, &body)
            }
            Caller::Session(place) => {
                let found = accounts.of(&place.account, &place.region);
                found.rds.answer(&authorization, &content_type, &body)
            }
            _ => services.rds.answer(&authorization, &content_type, &body),
        };
        return xml(status, answer);
    }
    if let Caller::Session(place) = caller {
        return services.accounts.serve(place, request).await;
    }
    let (Some(action), Some(redshift)) = (
        target.strip_prefix("RedshiftData."),
        services.redshift.get(),
    ) else {
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

async fn stale_answer(stale: SocketAddr, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let answer = reqwest::Client::new()
        .post(format!("http://{stale}/"))
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

/// An error of authentication, in the form of the service's protocol.
fn refused(is_query: bool, name: &str, why: &str) -> Response<Body> {
    if is_query {
        return xml(403, rds::error(name, why));
    }
    Response::builder()
        .status(400)
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from(
            json!({"__type": name, "Message": why}).to_string(),
        ))
        .unwrap()
}

fn xml(status: u16, text: String) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "text/xml")
        .body(Body::from(text))
        .unwrap()
}

fn error(status: u16, name: &str) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from(
            json!({"__type": name, "Message": "injected fault"}).to_string(),
        ))
        .unwrap()
}
