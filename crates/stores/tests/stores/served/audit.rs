//! Audit lines of the served store: refusals of each kind, their limit, and reads.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use tracing::subscriber::DefaultGuard;
use twinkey_core::telemetry::AUDIT;
use twinkey_stores::served::keys::NewKey;

use super::Place;
use crate::subject::secret;

const BODY: &str = r#"{"SecretId":"prod/a"}"#;
const TOKEN: &str = "X-Aws-Parameters-Secrets-Token";

/// The log of this thread, as JSON lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }

    /// The audit lines.
    fn lines(&self) -> Vec<Json> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|line: &Json| line["target"] == AUDIT)
            .collect()
    }
}

async fn seeded(audit_reads: bool) -> Place {
    let place = Place::open_with(|served| served.with_audit_of_reads(audit_reads)).await;
    for name in ["prod/a", "prod/b", "dev/a"] {
        let value = secret("hunter2-hunter2");
        place.beside.create_or_put(name, &value).await.unwrap();
    }
    place
}

/// A request with the id of a key and another secret.
async fn wrong_signature(place: &Place, id: &str) {
    let key = NewKey {
        id: id.to_owned(),
        secret: SecretString::from("a secret that is none of this key's"),
    };
    let headers = place.signed(&key, "GetSecretValue", BODY);
    assert_eq!(place.answer(&headers, BODY).await.0.as_u16(), 400);
}

async fn as_app(place: &Place, action: &str, body: Json) -> Json {
    let body = body.to_string();
    let headers = place.signed(&place.app, action, &body);
    place.answer(&headers, &body).await.1
}

async fn agent(place: &Place, path: &str, token: &str) -> u16 {
    let request = Client::new().get(format!("{}{path}", place.url()));
    let response = request.header(TOKEN, token).send().await.unwrap();
    response.status().as_u16()
}

#[tokio::test]
async fn each_wrong_signature_of_a_known_key_is_logged() {
    let (log, _guard) = Log::start();
    let place = seeded(false).await;
    for _ in 0..50 {
        wrong_signature(&place, &place.app.id).await;
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 50);
    for line in &lines {
        assert_eq!(
            (&line["key"], &line["of"], &line["refused"]),
            (
                &json!(place.app.id),
                &json!("app"),
                &json!("InvalidSignatureException")
            )
        );
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
}

#[tokio::test]
async fn more_refusals_than_the_limit_are_summarized() {
    let (log, _guard) = Log::start();
    let place = seeded(false).await;
    for _ in 0..100 {
        wrong_signature(&place, &place.app.id).await;
    }
    // Another key is not affected.
    wrong_signature(&place, &place.admin.id).await;
    let served = Arc::clone(&place.served);
    served.close().await;
    let lines = log.lines();
    assert_eq!(lines.len(), 62);
    assert_eq!(lines[60]["key"], json!(place.admin.id));
    let summary = &lines[61];
    assert_eq!(
        (&summary["key"], &summary["address"], &summary["suppressed"]),
        (&json!(place.app.id), &json!("127.0.0.1"), &json!(40))
    );
}

#[tokio::test]
async fn an_unknown_id_is_logged_only_in_the_form_of_an_id() {
    let (log, _guard) = Log::start();
    let place = seeded(false).await;
    wrong_signature(&place, "AKIAIOSFODNN7EXAMPLE").await;
    // The secret of a key of AWS in the place of its id.
    let swapped = "wJalrXUtnFEMIxK7MDENGxbPxRfiCYEXAMPLEKEY";
    wrong_signature(&place, swapped).await;
    let lines = log.lines();
    let ids: Vec<&Json> = lines.iter().map(|line| &line["unknown_key"]).collect();
    assert_eq!(ids, [&json!("AKIAIOSFODNN7EXAMPLE"), &json!("")]);
    assert!(!log.text().contains(swapped));
}

#[tokio::test]
async fn a_refused_item_of_a_batch_is_logged() {
    let (log, _guard) = Log::start();
    let place = seeded(false).await;
    let body = json!({"SecretIdList": ["prod/a", "dev/a", "prod/none"]});
    let answer = as_app(&place, "BatchGetSecretValue", body).await;
    assert_eq!(answer["Errors"].as_array().unwrap().len(), 2);
    let lines = log.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (
            &lines[0]["secret"],
            &lines[0]["asked"],
            &lines[0]["refused"]
        ),
        (
            &json!("dev/a"),
            &json!("BatchGetSecretValue"),
            &json!("AccessDeniedException")
        )
    );
}

#[tokio::test]
async fn a_guessed_agent_token_is_logged_without_the_token() {
    let (log, _guard) = Log::start();
    let place = seeded(false).await;
    let right = place.app.token();
    let mut wrong = right.expose_secret().to_owned();
    wrong.pop();
    assert_eq!(agent(&place, "/v1/prod/a", &wrong).await, 403);
    assert_eq!(agent(&place, "/v1/prod/a", "guess-guess").await, 403);
    let without = Client::new().get(format!("{}/v1/prod/a", place.url()));
    assert_eq!(without.send().await.unwrap().status().as_u16(), 403);
    let lines = log.lines();
    let keys: Vec<&Json> = lines.iter().map(|line| &line["key"]).collect();
    assert_eq!(keys, [&json!(place.app.id), &json!("")]);
    assert!(lines.iter().all(|line| line["refused"] == "bad_token"));
    let mac = wrong.split_once('.').unwrap().1;
    for guess in [mac, "guess-guess"] {
        assert!(!log.text().contains(guess));
    }
}

#[tokio::test]
async fn reads_are_logged_with_audit_reads_only() {
    for audit_reads in [false, true] {
        let (log, _guard) = Log::start();
        let place = seeded(audit_reads).await;
        as_app(&place, "GetSecretValue", json!({"SecretId": "prod/a"})).await;
        as_app(&place, "DescribeSecret", json!({"SecretId": "prod/a"})).await;
        let batch = json!({"SecretIdList": ["prod/a", "prod/none"]});
        as_app(&place, "BatchGetSecretValue", batch).await;
        let token = place.app.token();
        assert_eq!(
            agent(&place, "/v1/prod/b", token.expose_secret()).await,
            200
        );
        let logged: Vec<String> = log
            .lines()
            .iter()
            .map(|line| {
                let field = |name: &str| line[name].as_str().unwrap().to_owned();
                format!(
                    "{} {} {} {} {}",
                    field("interface"),
                    field("asked"),
                    field("secret"),
                    field("of"),
                    field("refused")
                )
            })
            .collect();
        let expected: &[&str] = if audit_reads {
            &[
                "api GetSecretValue prod/a app ",
                "api DescribeSecret prod/a app ",
                "api BatchGetSecretValue prod/none app ResourceNotFoundException",
                "api BatchGetSecretValue prod/a app ",
                "agent GetSecretValue prod/b app ",
            ]
        } else {
            &[]
        };
        assert_eq!(logged, expected);
        assert!(!log.text().contains("hunter2"));
    }
}

#[tokio::test]
async fn a_name_with_control_characters_is_one_escaped_line() {
    let (log, _guard) = Log::start();
    let place = seeded(false).await;
    let name = "dev/\u{1b}[2J\nforged\u{202e}";
    let denied = as_app(&place, "GetSecretValue", json!({"SecretId": name})).await;
    assert_eq!(denied["__type"], "AccessDeniedException");
    let lines = log.lines();
    let expected = "dev/\\u{1b}[2J\\u{a}forged\\u{202e}";
    assert_eq!(lines[0]["secret"], json!(expected));
}
