//! Readers of events, some of which do not read, during runs.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::events::EventStream;
use super::{Endpoint, TOKEN};
use twinkey_testkit::environment::{Setup, until};

const RUNS: usize = 100;
const READERS: usize = 200;
const STUCK: usize = 50;
/// Events of a run: its start, its sessions, the start and end of four steps, its end.
const EVENTS: usize = 11;
/// In KiB. Unbounded queues of the stuck readers would hold 50 MiB.
const LIMIT: u64 = 30 * 1024;

/// The time of [`RUNS`] runs, and the seconds of the slowest.
async fn rotate(endpoint: &Endpoint) -> (Duration, f64) {
    let mut stream = EventStream::open(endpoint, "", None).await;
    let begun = Instant::now();
    let mut slowest: f64 = 0.0;
    for _ in 0..RUNS {
        let body = r#"{"force":true}"#;
        let (status, run) = endpoint
            .answer(endpoint.post("/v1/rotations/shop/rotate", body))
            .await;
        assert_eq!(status, 202, "{run}");
        let finished = stream.run().await.pop().unwrap();
        let run = &finished.data["run"];
        assert_eq!(run["state"], "succeeded", "{run}");
        let at = |name: &str| {
            run[name]
                .as_str()
                .unwrap()
                .parse::<chrono::DateTime<chrono::Utc>>()
                .unwrap()
        };
        slowest = slowest.max((at("finished") - at("started")).as_seconds_f64());
    }
    (begun.elapsed(), slowest)
}

/// The worker's resident memory, in KiB.
fn memory(endpoint: &Endpoint) -> u64 {
    let path = format!("/proc/{}/status", endpoint.serve.id().unwrap());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_continue_beside_200_readers_of_which_50_are_stuck() {
    let endpoint = Endpoint::open(Setup::default()).await;
    rotate(&endpoint).await;
    let (alone, slowest_alone) = rotate(&endpoint).await;
    let before = memory(&endpoint);

    let address = endpoint.url.trim_start_matches("http://").to_owned();
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "GET /v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        // The response is never read.
        stuck.push(stream);
    }
    let mut reading = Vec::new();
    for _ in STUCK..READERS {
        let mut stream = endpoint.get("/v1/events").send().await.unwrap();
        // Events are counted and not parsed, because the readers share the machine with the worker.
        reading.push(tokio::spawn(async move {
            let mut lines = 0;
            while lines < RUNS * EVENTS {
                let chunk = stream.chunk().await.unwrap().unwrap();
                lines += chunk.windows(7).filter(|bytes| bytes == b"event: ").count();
            }
        }));
    }
    let (with, slowest_with) = rotate(&endpoint).await;
    for reader in reading {
        reader.await.expect("every active reader gets every event");
    }
    let mut grown = 0;
    // The allocator returns memory late.
    until("the worker's memory is bounded", async || {
        grown = memory(&endpoint).saturating_sub(before);
        grown < LIMIT
    })
    .await;
    println!(
        "{RUNS} runs beside {READERS} readers ({STUCK} stuck): ratio of their time {:.2}, of the slowest run {:.2}; {} KiB a reader",
        with.as_secs_f64() / alone.as_secs_f64(),
        slowest_with / slowest_alone,
        grown / READERS as u64,
    );
    drop(stuck);
}
