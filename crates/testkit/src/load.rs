//! Concurrent calls of GetSecretValue over open connections, while another process rotates the
//! secret. A response is stale if its value was replaced before the request, and the replacement
//! was acknowledged.
//!
//! A request is signed once and sent many times: its signature is valid for five minutes, and the
//! measurement is of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::routing::post;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use twinkey_core::telemetry::Clock;
use twinkey_core::telemetry::metrics::Metrics;
use twinkey_stores::listener::Listener;
use twinkey_stores::local::LocalStore;
use twinkey_stores::served::keys::{AccessKey, AccessKeys, NewKey};
use twinkey_stores::served::policy::Policy;
use twinkey_stores::served::{Served, router};
use twinkey_stores::stage::{CURRENT, PENDING};
use twinkey_stores::{SecretStore, VersionId};
use uuid::Uuid;

use crate::signed;

const SECRET: &str = "prod/orders/db";
const CONNECTIONS: usize = 64;
/// The prefix of a value's number.
const PREFIX: &str = "flip-";

/// The result of a series of calls.
#[derive(Debug)]
pub struct LoadResult {
    pub answered: usize,
    /// Stale responses.
    pub stale: usize,
    pub flips: u64,
    pub took: Duration,
}

/// A served store with one secret, and a bare handler that returns a constant of the same size.
pub struct LoadFixture {
    folder: tempfile::TempDir,
    key: NewKey,
    served: String,
    bare: String,
    endpoints: [JoinHandle<()>; 2],
}

impl Drop for LoadFixture {
    fn drop(&mut self) {
        self.endpoints.iter().for_each(JoinHandle::abort);
    }
}

async fn listen(router: Router) -> (String, JoinHandle<()>) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), None)
        .await
        .unwrap();
    let address = listener.address().to_string();
    let endpoint = tokio::spawn(listener.serve(router, std::future::pending()));
    (address, endpoint)
}

fn value(number: u64) -> SecretString {
    SecretString::from(format!(
        r#"{{"engine":"postgres","host":"db.internal","port":5432,"username":"app","password":"{PREFIX}{number:012}","dbname":"orders"}}"#
    ))
}

impl LoadFixture {
    pub async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        store.create_or_put(SECRET, &value(0)).await.unwrap();
        let key = NewKey::draw().unwrap();
        let policy = Policy::new(&["GetSecretValue".into()], &["prod/*".into()]).unwrap();
        let keys: AccessKeys = [AccessKey::new(&key.id, "app", &key.secret, policy)]
            .into_iter()
            .collect();
        let served = Served::new(Arc::new(store), keys, Metrics::default(), Clock::system());
        let (served, endpoint) = listen(router(Arc::new(served))).await;
        let mut fixture = Self {
            bare: String::new(),
            endpoints: [endpoint, tokio::spawn(async {})],
            folder,
            key,
            served,
        };
        let like = fixture.one_response().await;
        let constant = || async move {
            let kind = [("content-type", "application/x-amz-json-1.1")];
            (kind, like)
        };
        (fixture.bare, fixture.endpoints[1]) =
            listen(Router::new().route("/", post(constant))).await;
        fixture
    }

    /// Calls the served store `calls` times, while another opener of the file rotates the secret.
    pub async fn served(&self, calls: usize, pace: Duration) -> LoadResult {
        let before = number_in(&self.one_response().await);
        let acknowledged = Arc::new(AtomicU64::new(before));
        let rotating = tokio::spawn(rotate(
            open(&self.folder).await,
            pace,
            Arc::clone(&acknowledged),
        ));
        let outcome = send_calls(
            &self.served,
            self.request(&self.served),
            calls,
            &acknowledged,
        )
        .await;
        rotating.abort();
        LoadResult {
            flips: outcome.flips - before,
            ..outcome
        }
    }

    /// Calls the bare handler `calls` times.
    pub async fn bare(&self, calls: usize) -> LoadResult {
        send_calls(&self.bare, self.request(&self.bare), calls, &Arc::default()).await
    }

    fn request(&self, host: &str) -> Arc<str> {
        let body = format!(r#"{{"SecretId":"{SECRET}"}}"#);
        let key = (&*self.key.id, self.key.secret.expose_secret());
        let headers = signed::headers(
            host,
            key,
            "GetSecretValue",
            &body,
            SystemTime::from(Clock::system().now()),
        );
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let length = body.len();
        format!("POST / HTTP/1.1\r\n{lines}content-length: {length}\r\n\r\n{body}").into()
    }

    async fn one_response(&self) -> String {
        let mut connection = HttpConnection::open(&self.served).await;
        connection.send(&self.request(&self.served)).await
    }
}

async fn open(folder: &tempfile::TempDir) -> LocalStore {
    let file = |name: &str| folder.path().join(name);
    LocalStore::open(&file("s.db"), &file("s.key"))
        .await
        .unwrap()
}

/// Rotates like a run: a version under AWSPENDING, then the flip. Stores the number after the flip
/// returned.
async fn rotate(store: LocalStore, pace: Duration, acknowledged: Arc<AtomicU64>) {
    let seen = store.describe(SECRET).await.unwrap();
    let mut from = seen.labelled(CURRENT).unwrap().clone();
    for number in acknowledged.load(Ordering::SeqCst) + 1.. {
        tokio::time::sleep(pace).await;
        let id = VersionId(Uuid::new_v4().to_string());
        store
            .put(SECRET, &id, &value(number), PENDING)
            .await
            .unwrap();
        let moved = store
            .move_stage(SECRET, CURRENT, Some(&from), Some(&id))
            .await;
        moved.unwrap();
        acknowledged.store(number, Ordering::SeqCst);
        from = id;
    }
}

async fn send_calls(
    address: &str,
    request: Arc<str>,
    calls: usize,
    acknowledged: &Arc<AtomicU64>,
) -> LoadResult {
    let (left, stale) = (
        Arc::new(AtomicUsize::new(calls)),
        Arc::new(AtomicUsize::new(0)),
    );
    let begin = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (left, stale) = (Arc::clone(&left), Arc::clone(&stale));
        let (request, acknowledged) = (Arc::clone(&request), Arc::clone(acknowledged));
        let mut connection = HttpConnection::open(address).await;
        connections.spawn(async move {
            let mut answered = 0;
            let one_less = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .is_ok()
            {
                let before = acknowledged.load(Ordering::SeqCst);
                let answer = connection.send(&request).await;
                if number_in(&answer) < before {
                    stale.fetch_add(1, Ordering::SeqCst);
                }
                answered += 1;
            }
            answered
        });
    }
    let answered = connections.join_all().await.into_iter().sum();
    LoadResult {
        answered,
        stale: stale.load(Ordering::SeqCst),
        flips: acknowledged.load(Ordering::SeqCst),
        took: begin.elapsed(),
    }
}

fn number_in(answer: &str) -> u64 {
    let (_, rest) = answer
        .split_once(PREFIX)
        .unwrap_or_else(|| panic!("no value: {answer}"));
    rest[..12].parse().unwrap()
}

/// An open HTTP connection.
struct HttpConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl HttpConnection {
    async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let buffer = Vec::with_capacity(4096);
        Self { stream, buffer }
    }

    /// Sends a request and returns the body of its response, whose status must be 200.
    async fn send(&mut self, request: &str) -> String {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.buffer.clear();
        loop {
            if let Some(body) = body_of(&self.buffer) {
                return body;
            }
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the connection was closed");
        }
    }
}

/// The body of a response, if it is complete.
fn body_of(answer: &[u8]) -> Option<String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(answer)
    );
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map(|(_, length)| length.parse::<usize>().unwrap())?;
    let body = answer.get(end + 4..end + 4 + length)?;
    Some(String::from_utf8(body.to_vec()).unwrap())
}
