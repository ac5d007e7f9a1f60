//! Clients that never complete a request, on a worker with few file descriptors.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Timelike};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use twinkey_core::telemetry::Clock;
use twinkey_stores::listener::descriptors;

use crate::served::serve_store;
use crate::serving::worker::signal;
use twinkey_testkit::environment::{Backend, Environment, Setup, free_address, until};

const DESCRIPTORS: u32 = 1024;
/// Connections to each of the two listeners.
const CONNECTIONS: usize = 1100;

/// Keeps connections with half a request head open, and opens them again when they are closed.
pub fn send_half_requests(address: &str) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let address = address.to_owned();
        clients.spawn(async move {
            loop {
                if let Ok(mut stream) = TcpStream::connect(&address).await {
                    // The worker may close the connection at any time.
                    let _ = stream.write_all(b"GET / HTTP/1.1\r\nX: ").await;
                    let _ = stream.read_u8().await;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    clients
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_kept_beside_1100_half_sent_requests_a_listener() {
    descriptors::raise().unwrap();
    let (admin, served) = (free_address(), free_address());
    let opens = Clock::system().now() + TimeDelta::seconds(90);
    let schedule = format!("cron({} {} * * ? *)", opens.minute(), opens.hour());
    let setup = Setup {
        config: format!("[server]\nlisten = \"{admin}\""),
        rotation: format!("schedule = \"{schedule}\"\nwindow = \"5m\""),
        ..Setup::default()
    };
    let env = Environment::open_with(setup, Backend::Local).await;
    serve_store(&env, &served, "");
    let mut serve = env.serve_with_descriptors(&admin, DESCRIPTORS).await;

    let attackers = [send_half_requests(&admin), send_half_requests(&served)];
    let open = || {
        let folder = format!("/proc/{}/fd", serve.id().unwrap());
        std::fs::read_dir(folder).unwrap().count()
    };
    until("the connections are open", async || open() > 400).await;
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let url = |path: &str| format!("http://{admin}{path}");
    let (mut most, mut slowest, mut closed) = (0, Duration::ZERO, 0);
    until("the scheduled run has succeeded", async || {
        let begun = Instant::now();
        let health = client.get(url("/healthz")).send().await;
        let runs = client.get(url("/v1/runs")).send().await;
        // On a busy machine a connection may be the oldest one before its request was read. A client
        // sends it again.
        let (Ok(health), Ok(runs)) = (health, runs) else {
            closed += 1;
            return false;
        };
        assert_eq!(health.status(), 200);
        slowest = slowest.max(begun.elapsed());
        most = most.max(open());
        let runs: Json = runs.json().await.unwrap();
        assert_ne!(runs[0]["state"], "failed", "{runs}");
        runs[0]["state"] == "succeeded" && runs[0]["trigger"] == "schedule"
    })
    .await;
    println!(
        "at most {most} descriptors; the slowest pair of requests took {slowest:?}, {closed} were closed"
    );
    assert!(most < DESCRIPTORS as usize * 3 / 4, "{most} descriptors");

    signal(&serve, "TERM");
    assert!(serve.wait().await.unwrap().success());
    drop(attackers);
}
