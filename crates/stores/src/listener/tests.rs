use std::time::Instant;

use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;

/// A listener of a few connections, and the switch that ends its slow responses.
struct Endpoint {
    address: SocketAddr,
    started: Arc<Notify>,
    release: Arc<Notify>,
    drain: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Endpoint {
    async fn open(max_connections: usize) -> Self {
        let mut listener = Listener::bind(([127, 0, 0, 1], 0).into(), None)
            .await
            .unwrap();
        listener.max_connections = max_connections;
        let (release, drain) = (Arc::new(Notify::new()), CancellationToken::new());
        let started = Arc::new(Notify::new());
        let (start, wait) = (Arc::clone(&started), Arc::clone(&release));
        let router = Router::new()
            .route(
                "/",
                get(|ConnectInfo(peer): ConnectInfo<PeerAddr>| async move { peer.0.to_string() }),
            )
            .route(
                "/slow",
                get(move || async move {
                    start.notify_one();
                    wait.notified().await;
                    "slow"
                }),
            )
            .route("/echo", post(|body: String| async move { body }));
        Self {
            address: listener.address(),
            started,
            release,
            serving: tokio::spawn(listener.serve(router, drain.clone().cancelled_owned())),
            drain,
        }
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// The response to a request that closes its connection.
    async fn response(&self, path: &str) -> String {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let response = async { read(&mut self.send(&head).await).await };
        let response = tokio::time::timeout(HEAD_TIMEOUT / 2, response).await;
        response.expect("a complete request is served at once")
    }
}

/// The bytes until the connection closes.
async fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    // An eviction may reset the connection.
    let _ = stream.read_to_string(&mut text).await;
    text
}

#[tokio::test]
async fn half_sent_requests_give_way_to_complete_ones() {
    let endpoint = Endpoint::open(4).await;
    let mut stalled = Vec::new();
    for n in 0..20 {
        let half = [
            "",
            "GET / HTTP/1.1\r\nX: ",
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
        ];
        stalled.push(endpoint.send(half[n % half.len()]).await);
    }
    for _ in 0..5 {
        let response = endpoint.response("/").await;
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        assert!(response.contains("127.0.0.1:"), "{response}");
    }
}

#[tokio::test]
async fn a_running_response_is_not_evicted() {
    let endpoint = Endpoint::open(2).await;
    let mut slow = endpoint
        .send("GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    endpoint.started.notified().await;
    for _ in 0..10 {
        assert!(endpoint.response("/").await.starts_with("HTTP/1.1 200"));
        drop(endpoint.send("GET").await);
    }
    endpoint.release.notify_one();
    assert!(read(&mut slow).await.ends_with("slow"));
}

#[tokio::test]
async fn a_connection_without_a_complete_head_is_closed_in_time() {
    let endpoint = Endpoint::open(8).await;
    let begun = Instant::now();
    let mut silent = endpoint.send("").await;
    let mut half = endpoint.send("GET / HTTP/1.1\r\nX: ").await;
    let mut idle = endpoint.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    tokio::join!(read(&mut silent), read(&mut half), read(&mut idle));
    let took = begun.elapsed();
    assert!(took >= HEAD_TIMEOUT, "{took:?}");
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let endpoint = Endpoint::open(8).await;
    let long = "x".repeat(2 * MAX_HEAD);
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n");
    let mut stream = TcpStream::connect(endpoint.address).await.unwrap();
    // The server may close the connection before it has read everything.
    let _ = stream.write_all(head.as_bytes()).await;
    assert!(!read(&mut stream).await.contains("200 OK"));
}

#[tokio::test]
async fn open_responses_finish_after_the_end_of_accepting() {
    let endpoint = Endpoint::open(8).await;
    let mut idle = endpoint.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut slow = endpoint.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    endpoint.started.notified().await;
    endpoint.drain.cancel();
    read(&mut idle).await;
    assert!(!endpoint.serving.is_finished());
    endpoint.release.notify_one();
    assert!(read(&mut slow).await.ends_with("slow"));
    endpoint.serving.await.unwrap();
    assert!(TcpStream::connect(endpoint.address).await.is_err());
}
