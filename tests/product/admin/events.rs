//! The stream of events.

use reqwest::{RequestBuilder, Response};
use serde_json::{Value as Json, json};

use super::Endpoint;
use crate::serving::worker::signal;
use twinkey_testkit::environment::Setup;

/// A received event.
#[derive(Debug, Clone, PartialEq)]
pub struct SentEvent {
    pub id: String,
    pub name: String,
    pub data: Json,
}

/// A reader of the stream.
pub struct EventStream {
    answer: Response,
    text: String,
}

impl EventStream {
    pub async fn open(endpoint: &Endpoint, query: &str, after: Option<&str>) -> Self {
        let mut request = endpoint.get(&format!("/v1/events{query}"));
        if let Some(id) = after {
            request = request.header("Last-Event-ID", id);
        }
        Self::read(request).await
    }

    /// As [`EventStream::open`], with another token.
    pub async fn open_as(endpoint: &Endpoint, token: &str, query: &str) -> Self {
        let url = format!("{}/v1/events{query}", endpoint.url);
        Self::read(endpoint.client.get(url).bearer_auth(token)).await
    }

    async fn read(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            text: String::new(),
        }
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<SentEvent> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let prefix = format!("{name}: ");
                    let mut lines = block.lines().filter_map(|line| line.strip_prefix(&prefix));
                    lines.next().unwrap_or_default().to_owned()
                };
                let (id, name, data) = (field("id"), field("event"), field("data"));
                self.text = rest.to_owned();
                // Comments only keep the connection open.
                if !name.is_empty() {
                    let data = serde_json::from_str(&data).unwrap();
                    return Some(SentEvent { id, name, data });
                }
            }
            let chunk = self.answer.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// All events up to and including the end of the next run.
    pub async fn run(&mut self) -> Vec<SentEvent> {
        let mut events = Vec::new();
        while events
            .last()
            .is_none_or(|sent: &SentEvent| sent.name != "run_finished")
        {
            events.push(self.next().await.unwrap());
        }
        events
    }
}

async fn rotate(endpoint: &Endpoint) {
    let body = r#"{"force":true}"#;
    let (status, run) = endpoint
        .answer(endpoint.post("/v1/rotations/shop/rotate", body))
        .await;
    assert_eq!(status, 202, "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_run_arrive_in_order() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let mut stream = EventStream::open(&endpoint, "", None).await;
    rotate(&endpoint).await;
    let events = stream.run().await;
    let received: Vec<String> = events
        .iter()
        .map(|sent| {
            assert_eq!(sent.data["event"], sent.name.as_str());
            assert!(sent.data["at"].is_string());
            let text = |pointer: &str| {
                sent.data
                    .pointer(pointer)
                    .and_then(Json::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            format!(
                "{} {} {}",
                sent.name,
                text("/step/name"),
                text("/step/state")
            )
            .trim()
            .to_owned()
        })
        .collect();
    for event in [events.first().unwrap(), events.last().unwrap()] {
        let actor = &event.data["run"]["actor"];
        assert_eq!(
            (&actor["kind"], &actor["name"]),
            (&json!("token"), &json!("admin"))
        );
        let address = actor["address"].as_str().unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{actor}");
    }
    let mut expected = vec!["run_started".to_owned(), "standby_sessions".to_owned()];
    for step in ["create", "set", "test", "finish"] {
        expected.extend([
            format!("step {step} running"),
            format!("step {step} succeeded"),
        ]);
    }
    expected.push("run_finished".into());
    assert_eq!(received, expected);
    assert_eq!(events.last().unwrap().data["run"]["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reconnects_gets_exactly_the_missed_events() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let mut whole = EventStream::open(&endpoint, "", None).await;
    rotate(&endpoint).await;
    let first = whole.run().await;
    rotate(&endpoint).await;
    let second = whole.run().await;
    let all = [first, second].concat();
    for seen in [0, 4, all.len() - 2] {
        let mut again = EventStream::open(&endpoint, "?rotation=shop", Some(&all[seen].id)).await;
        for expected in &all[seen + 1..] {
            assert_eq!(again.next().await.as_ref(), Some(expected));
        }
    }
    let unknown = format!("{:032}-9", 0);
    let mut unknown = EventStream::open(&endpoint, "", Some(&unknown)).await;
    let gap = unknown.next().await.unwrap();
    assert_eq!((gap.name.as_str(), &gap.data["lost"]), ("gap", &Json::Null));
    assert_eq!(unknown.next().await.as_ref(), Some(&all[0]));
    for (query, id) in [("", Some("none")), ("?rotations=shop", None)] {
        let mut request = endpoint.get(&format!("/v1/events{query}"));
        if let Some(id) = id {
            request = request.header("Last-Event-ID", id);
        }
        assert_eq!(endpoint.answer(request).await.0, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_filtered_by_rotation_and_end_with_the_worker() {
    let mut endpoint = Endpoint::open(Setup::default()).await;
    let mut other = EventStream::open(&endpoint, "?rotation=other", None).await;
    let mut all = EventStream::open(&endpoint, "", None).await;
    rotate(&endpoint).await;
    all.run().await;
    signal(&endpoint.serve, "TERM");
    assert_eq!(other.next().await, None);
    assert!(endpoint.serve.wait().await.unwrap().success());
}
