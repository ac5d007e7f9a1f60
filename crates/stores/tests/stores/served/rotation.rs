//! Descriptions of secrets have the rotations of a service, and RotateSecret starts them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_secretsmanager::primitives::DateTime;
use aws_sdk_secretsmanager::types::SortByType;
use parking_lot::Mutex;
use serde_json::json;
use twinkey_stores::VersionId;
use twinkey_stores::local::Refusal;
use twinkey_stores::local::api::{RotationRules, RotationService, SecretRotation};

use super::Place;
use crate::subject::secret;

/// Rotates the secrets below `prod/`, and records what it was asked for.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<Vec<Vec<String>>>>);

impl Service {
    fn asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.0.lock())
    }
}

#[async_trait]
impl RotationService for Service {
    async fn rotations_of(&self, secrets: &[&str]) -> HashMap<String, SecretRotation> {
        let asked = secrets.iter().map(|name| (*name).to_owned()).collect();
        self.0.lock().push(asked);
        let rotated = secrets.iter().filter(|name| name.starts_with("prod/"));
        let rotation = SecretRotation {
            name: "orders".into(),
            enabled: true,
            rules: Some(RotationRules {
                schedule: "rate(7 days)".into(),
                window: Duration::from_secs(7200),
            }),
            last_rotated: Some("2026-11-23T07:00:00Z".parse().unwrap()),
            next: Some("2026-11-30T09:00:00Z".parse().unwrap()),
        };
        rotated
            .map(|name| ((*name).to_owned(), rotation.clone()))
            .collect()
    }

    async fn rotate(
        &self,
        secret: &str,
        version: Option<VersionId>,
        caller: &str,
    ) -> Result<VersionId, Refusal> {
        let asked = vec!["rotate".to_owned(), secret.to_owned(), caller.to_owned()];
        self.0.lock().push(asked);
        Ok(version.unwrap_or_else(|| VersionId("0".repeat(32))))
    }
}

#[tokio::test]
async fn descriptions_and_lists_have_the_rotation() {
    let service = Service::default();
    let place = Place::open_with(|served| served.with_rotations(Arc::new(service.clone()))).await;
    let client = place.client();
    for name in ["prod/a", "dev/a", "prod/b"] {
        place
            .beside
            .create_or_put(name, &secret("x"))
            .await
            .unwrap();
    }
    let describe = client.describe_secret().secret_id("prod/a");
    let seen = describe.send().await.unwrap();
    let rules = seen.rotation_rules().unwrap();
    assert_eq!(
        (
            seen.rotation_enabled(),
            rules.schedule_expression(),
            rules.duration(),
            rules.automatically_after_days(),
        ),
        (Some(true), Some("rate(7 days)"), Some("2h"), Some(7))
    );
    let times = (seen.last_rotated_date(), seen.next_rotation_date());
    let (last, next) = (1_795_417_200, 1_796_029_200);
    assert_eq!(
        times,
        (
            Some(&DateTime::from_secs(last)),
            Some(&DateTime::from_secs(next))
        )
    );
    assert_eq!(service.asked(), [["prod/a"]]);

    let other = client.describe_secret().secret_id("dev/a");
    let other = other.send().await.unwrap();
    assert_eq!(
        (other.rotation_enabled(), other.rotation_rules()),
        (None, None)
    );
    service.asked();

    // A page asks once, for its own secrets.
    let list = client.list_secrets().sort_by(SortByType::Name);
    let page = list.max_results(2).send().await.unwrap();
    let enabled: Vec<_> = page
        .secret_list()
        .iter()
        .map(|one| (one.name().unwrap(), one.rotation_enabled()))
        .collect();
    assert_eq!(enabled, [("dev/a", None), ("prod/a", Some(true))]);
    assert_eq!(service.asked(), [["dev/a", "prod/a"]]);
}

#[tokio::test]
async fn rotate_secret_starts_a_run_with_the_token() {
    let service = Service::default();
    let place = Place::open_with(|served| served.with_rotations(Arc::new(service.clone()))).await;
    for name in ["prod/a", "dev/a"] {
        place
            .beside
            .create_or_put(name, &secret("x"))
            .await
            .unwrap();
    }
    let token = "t".repeat(36);
    for more in [json!({}), json!({"RotateImmediately": true})] {
        let mut body = more;
        body["SecretId"] = json!("prod/a");
        body["ClientRequestToken"] = json!(token);
        let (status, answer) = place.ask("RotateSecret", body).await;
        assert_eq!((status.as_u16(), &answer["Name"]), (200, &json!("prod/a")));
        assert_eq!(answer["VersionId"], token);
        let admin = "arn:aws:iam::000000000000:user/admin";
        let asked = service.asked();
        assert_eq!(asked.last().unwrap(), &["rotate", "prod/a", admin]);
    }
    let (_, answer) = place
        .ask("RotateSecret", json!({"SecretId": "prod/a"}))
        .await;
    assert_eq!(answer["VersionId"], "0".repeat(32));
    service.asked();

    let invalid = "InvalidRequestException";
    for (action, body, name, words) in [
        (
            "RotateSecret",
            json!({"SecretId": "prod/a", "RotationRules": {"AutomaticallyAfterDays": 7}}),
            invalid,
            "the rotation orders",
        ),
        (
            "RotateSecret",
            json!({"SecretId": "prod/a", "RotationLambdaARN": "arn:aws:lambda:x"}),
            invalid,
            "the rotation orders",
        ),
        (
            "RotateSecret",
            json!({"SecretId": "prod/a", "RotateImmediately": false}),
            invalid,
            "twinkey check orders",
        ),
        (
            "RotateSecret",
            json!({"SecretId": "prod/a", "ClientRequestToken": "short"}),
            "InvalidParameterException",
            "32-64",
        ),
        (
            "RotateSecret",
            json!({"SecretId": "dev/a"}),
            invalid,
            "No Lambda rotation function ARN",
        ),
        (
            "RotateSecret",
            json!({"SecretId": "dev/a", "RotationLambdaARN": "arn:aws:lambda:x"}),
            invalid,
            "invokes no rotation functions",
        ),
        (
            "CancelRotateSecret",
            json!({"SecretId": "prod/a"}),
            invalid,
            "twinkey pause orders",
        ),
        (
            "CancelRotateSecret",
            json!({"SecretId": "dev/a"}),
            invalid,
            "not configured for rotation",
        ),
    ] {
        let (_, answer) = place.ask(action, body.clone()).await;
        assert_eq!(answer["__type"], name, "{action} {body}");
        let message = answer["Message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
    let rotated = |asked: &Vec<String>| asked[0] == "rotate";
    assert!(
        !service.asked().iter().any(rotated),
        "a refused run started"
    );
}
