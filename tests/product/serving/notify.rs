//! Notifications: messages of rotations that succeed or fail. No run waits for a receiver.

use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use twinkey_stores::stage;

use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::{
    Backend, Environment, MASTER_SECRET, Setup, free_address, until,
};
use twinkey_testkit::moto::Moto;

const KEY: &str = "a-webhook-key-of-some-length";

/// A receiver of webhooks on this machine.
struct WebhookReceiver {
    url: String,
    received_requests: Arc<Mutex<Vec<(HeaderMap, String)>>>,
}

impl WebhookReceiver {
    /// Responds with `statuses` in order, then with 204.
    async fn start(statuses: &[u16]) -> Self {
        let received_requests: Arc<Mutex<Vec<(HeaderMap, String)>>> = Arc::default();
        let left = Arc::new(Mutex::new(statuses.to_vec()));
        let kept = Arc::clone(&received_requests);
        let answer = move |headers: HeaderMap, body: Bytes| async move {
            let body = String::from_utf8(body.to_vec()).unwrap();
            kept.lock().push((headers, body));
            let mut left = left.lock();
            let status = if left.is_empty() { 204 } else { left.remove(0) };
            StatusCode::from_u16(status).unwrap()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook-T0K3N", listener.local_addr().unwrap());
        let router = Router::new().route("/hook-T0K3N", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            received_requests,
        }
    }

    /// The received messages, whose signatures must be valid.
    fn messages(&self) -> Vec<Json> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
        let received_requests = self.received_requests.lock();
        received_requests
            .iter()
            .map(|(headers, body)| {
                let signature = headers["twinkey-signature"].to_str().unwrap();
                let (time, tag) = signature.split_once(",v1=").unwrap();
                let time = time.strip_prefix("t=").unwrap();
                let tag: Vec<u8> = (0..tag.len() / 2)
                    .map(|n| u8::from_str_radix(&tag[2 * n..2 * n + 2], 16).unwrap())
                    .collect();
                hmac::verify(&key, format!("{time}.{body}").as_bytes(), &tag).unwrap();
                let message: Json = serde_json::from_str(body).unwrap();
                assert_eq!(headers["twinkey-event-id"], message["id"].as_str().unwrap());
                message
            })
            .collect()
    }

    fn events(&self) -> Vec<String> {
        let messages = self.messages();
        let name = |message: &Json| message["event"].as_str().unwrap().to_owned();
        messages.iter().map(name).collect()
    }
}

fn webhook(url: &str, events: &str) -> String {
    format!(
        "[[notify]]\nkind = \"webhook\"\nurl = \"{url}\"\nkey = \"file:key\"\nevents = [{events}]\n"
    )
}

/// A worker with receivers.
struct NotifyingWorker {
    env: Environment,
    url: String,
    _serve: tokio::process::Child,
}

impl NotifyingWorker {
    async fn open(notify: String, backend: Backend) -> Self {
        let address = free_address();
        let plan = Setup {
            config: format!("{notify}\n[server]\nlisten = \"{address}\"\n"),
            ..Setup::default()
        };
        let env = Environment::open_with(plan, backend).await;
        std::fs::write(env.folder.path().join("key"), KEY).unwrap();
        Self {
            _serve: env.serve(&address).await,
            env,
            url: format!("http://{address}"),
        }
    }

    async fn on_local(notify: String) -> Self {
        Self::open(notify, Backend::Local).await
    }

    /// Rotates through the endpoint, and waits for the end of the run.
    async fn rotate(&self, state: &str) -> Json {
        let client = reqwest::Client::new();
        let url = format!("{}/v1/rotations/shop/rotate", self.url);
        let run: Json = client.post(url).send().await.unwrap().json().await.unwrap();
        let url = format!("{}/v1/runs/{}", self.url, run["id"].as_str().unwrap());
        let mut run = run;
        until("the run has finished", async || {
            run = reqwest::get(&url).await.unwrap().json().await.unwrap();
            run["state"] == state
        })
        .await;
        run
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.env.folder.path().join("serve.log")).unwrap()
    }

    async fn break_the_master_secret(&self) {
        let wrong = self.env.document("rdsmaster", "Wrong-0123456789");
        self.env.put(MASTER_SECRET, &wrong).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_its_events_signed_and_without_passwords() {
    let receiver = WebhookReceiver::start(&[]).await;
    let failures = WebhookReceiver::start(&[]).await;
    let all = webhook(
        &receiver.url,
        "\"started\", \"succeeded\", \"failed\", \"rolled_back\"",
    );
    let worker = NotifyingWorker::on_local(all + &webhook(&failures.url, "\"failed\"")).await;
    let run = worker.rotate("succeeded").await;
    worker.rotate("succeeded").await;
    let rollback = format!("{}/v1/rotations/shop/rollback", worker.url);
    let done = reqwest::Client::new().post(rollback).send().await.unwrap();
    assert_eq!(done.status(), 200);
    worker.break_the_master_secret().await;
    worker.rotate("failed").await;
    until("both receivers have the failure", async || {
        receiver.events().len() == 7 && failures.events().len() == 1
    })
    .await;
    let expected = [
        "started",
        "succeeded",
        "started",
        "succeeded",
        "rolled_back",
        "started",
        "failed",
    ];
    assert_eq!(receiver.events(), expected);
    let messages = receiver.messages();
    assert_eq!(messages[1]["run"], run);
    assert_eq!(messages[1]["secret"], "prod/shop");
    for message in &messages {
        assert_eq!(message["actor"]["kind"], "token", "{message}");
    }
    let failed = &failures.messages()[0];
    assert_eq!(failed["problem"]["code"], "master_signin_failed");
    assert!(!failed["problem"]["hint"].as_str().unwrap().is_empty());
    let message = format!("{messages:?}{}", worker.log());
    for label in [stage::CURRENT, stage::PREVIOUS] {
        let (document, _) = worker.env.read(label).await;
        assert!(!message.contains(document["password"].as_str().unwrap()));
    }
    assert!(!message.contains("T0K3N") && !message.contains(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_deliveries_are_retried_and_rejected_ones_are_not() {
    let receiver = WebhookReceiver::start(&[500, 429]).await;
    let refusing = WebhookReceiver::start(&[410]).await;
    let notify = webhook(&receiver.url, "\"succeeded\"") + &webhook(&refusing.url, "\"succeeded\"");
    let worker = NotifyingWorker::on_local(notify).await;
    worker.rotate("succeeded").await;
    until(
        "three deliveries to one receiver, and one abandoned",
        async || receiver.events().len() == 3 && worker.log().contains("notification given up"),
    )
    .await;
    let messages = receiver.messages();
    assert!(messages.iter().all(|message| message == &messages[0]));
    assert_eq!(refusing.events().len(), 1);
    let metrics = reqwest::get(format!("{}/metrics", worker.url))
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in ["outcome=\"delivered\"} 1", "outcome=\"given_up\"} 1"] {
        let sample = format!("twinkey_notifications_total{{kind=\"webhook\",{line}");
        assert!(metrics.contains(&sample), "{sample}: {metrics}");
    }
    assert!(!worker.log().contains("T0K3N"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_receiver_delays_no_run_and_no_other_receiver() {
    // It accepts connections and does not respond.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}/", silent.local_addr().unwrap());
    let receiver = WebhookReceiver::start(&[]).await;
    let events = "\"started\", \"succeeded\"";
    let worker =
        NotifyingWorker::on_local(webhook(&silent_url, events) + &webhook(&receiver.url, events))
            .await;
    for n in 1..=3 {
        worker.rotate("succeeded").await;
        until("the other receiver has the messages", async || {
            receiver.events().len() == 2 * n
        })
        .await;
    }
    let log = worker.log();
    assert!(
        !log.contains("given up"),
        "the delivery to the silent receiver continues: {log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_an_invalid_webhook_key_does_not_start() {
    let plan = Setup {
        config: webhook("https://127.0.0.1:1/hook-T0K3N", "\"failed\""),
        ..Setup::default()
    };
    let env = Environment::open_with(plan, Backend::Local).await;
    let key = env.folder.path().join("key");
    for (text, why) in [
        (None, "cannot be read"),
        (Some("short"), "shorter than 16 characters"),
    ] {
        if let Some(text) = text {
            std::fs::write(&key, text).unwrap();
        }
        let output = env.twinkey(&["serve"]).await;
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{message}");
        assert!(
            message.contains("webhook 127.0.0.1: its key: ") && message.contains(why),
            "{message}"
        );
        assert!(
            message.contains("hint: ") && !message.contains("T0K3N"),
            "{message}"
        );
    }
}

/// Calls moto by the JSON protocol of SQS. moto verifies no signature but reads the service from
/// its scope.
async fn sqs(url: &str, action: &str, body: Json) -> Json {
    let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=0";
    let request = reqwest::Client::new().post(url);
    let request = request
        .header("X-Amz-Target", format!("AmazonSQS.{action}"))
        .header("Content-Type", "application/x-amz-json-1.0")
        .header("Authorization", scope)
        .body(body.to_string());
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{action}");
    answer.json().await.unwrap_or_default()
}

/// The URL and ARN of a queue.
async fn queue(moto: &Moto, name: &str) -> (String, String) {
    let made = sqs(moto.url(), "CreateQueue", json!({ "QueueName": name })).await;
    let arn = format!("arn:aws:sqs:eu-west-1:123456789012:{name}");
    (made["QueueUrl"].as_str().unwrap().to_owned(), arn)
}

/// The body of the first message in a queue.
async fn received(moto: &Moto, queue: &str) -> Json {
    let mut body = Json::Null;
    until("a message is in the queue", async || {
        let ask = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10 });
        let answer = sqs(moto.url(), "ReceiveMessage", ask).await;
        if let Some(text) = answer["Messages"][0]["Body"].as_str() {
            body = serde_json::from_str(text).unwrap();
        }
        !body.is_null()
    })
    .await;
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn sns_filters_and_eventbridge_rules_match_the_messages() {
    let moto = Moto::start().await;
    let aws = sdk_config(moto.url());
    let (by_topic, topic_queue) = queue(&moto, "by-topic").await;
    let (by_rule, rule_queue) = queue(&moto, "by-rule").await;
    let sns = aws_sdk_sns::Client::new(&aws);
    let topic = sns.create_topic().name("alerts").send().await.unwrap();
    let topic = topic.topic_arn().unwrap();
    let subscribe = sns
        .subscribe()
        .topic_arn(topic)
        .protocol("sqs")
        .endpoint(topic_queue);
    let only_ours = "{\"event\": [\"succeeded\"], \"rotation\": [\"shop\"]}";
    subscribe
        .attributes("FilterPolicy", only_ours)
        .send()
        .await
        .unwrap();
    let bridge = aws_sdk_eventbridge::Client::new(&aws);
    // The documented pattern of AWS with another source.
    let pattern = json!({
        "source": ["twinkey"],
        "detail-type": ["AWS Service Event via CloudTrail"],
        "detail": {
            "eventSource": ["secretsmanager.amazonaws.com"],
            "eventName": ["RotationSucceeded", "RotationFailed"],
            "additionalEventData": { "SecretId": ["prod/shop"] },
        },
    });
    let rule = bridge
        .put_rule()
        .name("rotations")
        .event_pattern(pattern.to_string());
    rule.send().await.unwrap();
    let target = aws_sdk_eventbridge::types::Target::builder()
        .id("queue")
        .arn(rule_queue);
    let put = bridge
        .put_targets()
        .rule("rotations")
        .targets(target.build().unwrap());
    put.send().await.unwrap();

    let events = "events = [\"started\", \"succeeded\"]";
    let notify = format!(
        "[[notify]]\nkind = \"sns\"\ntopic_arn = \"{topic}\"\n{events}\n[[notify]]\nkind = \"eventbridge\"\n{events}\n"
    );
    let worker = NotifyingWorker::open(notify, Backend::Moto(moto)).await;
    let run = worker.rotate("succeeded").await;
    let Backend::Moto(moto) = &worker.env.backend else {
        panic!("the store is moto")
    };
    let published = received(moto, &by_topic).await;
    assert_eq!(published["Subject"], "twinkey: shop succeeded");
    let message: Json = serde_json::from_str(published["Message"].as_str().unwrap()).unwrap();
    assert_eq!(message["run"], run);
    assert_eq!(message["actor"], run["actor"]);
    assert_eq!(message["actor"]["kind"], "token");
    let event = received(moto, &by_rule).await;
    assert_eq!(event["source"], "twinkey");
    assert_eq!(event["detail"]["eventName"], "RotationSucceeded");
    assert_eq!(event["detail"]["twinkey"], message);
}
