//! Descriptions of secrets have the rotations of a service, and RotateSecret starts them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_secretsmanager::primitives::DateTime;
use aws_sdk_secretsmanager::types::SortByType;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;
use twinkey_core::tasks::Tasks;
use twinkey_core::telemetry::metrics::Metrics;
use twinkey_stores::local::Refusal;
use twinkey_stores::local::api::{
    FunctionRuns, RotationFunctions, RotationRules, RotationService, SecretRotation,
};
use twinkey_stores::stage::{CURRENT, PENDING};
use twinkey_stores::{SecretStore, VersionId};

use super::Place;
use crate::subject::secret;

/// A version of a run of [`Service`].
const RUN: &str = "a-version-of-a-run-of-the-worker";

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

    async fn has_run(&self, _: &str, version: &VersionId) -> Result<bool, Refusal> {
        Ok(version.0 == RUN)
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
    let by_hand = place.beside.create_or_put("prod/a", &secret("y")).await;
    let (by_hand, run) = (by_hand.unwrap(), VersionId(RUN.into()));
    let value = secret("z");
    let put = place.beside.put("prod/a", &run, &value, PENDING);
    put.await.unwrap();
    let again = json!({"SecretId": "prod/a", "ClientRequestToken": RUN});
    let (_, answer) = place.ask("RotateSecret", again).await;
    assert_eq!(answer["VersionId"], RUN);
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
            json!({"SecretId": "prod/a", "ClientRequestToken": by_hand}),
            invalid,
            "already in use for a version",
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
            "secrets.serve.functions",
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

/// A function that records its events, answers as many as there are permits, and does nothing.
#[derive(Clone)]
struct Idle {
    events: Arc<Mutex<Vec<Json>>>,
    permits: Arc<Semaphore>,
    /// What it answers.
    answer: Result<(), String>,
}

impl Idle {
    fn new(permits: usize) -> Self {
        Self {
            events: Arc::default(),
            permits: Arc::new(Semaphore::new(permits)),
            answer: Ok(()),
        }
    }

    /// Waits until it has been invoked this often.
    async fn invoked(&self, times: usize) {
        let invoked = async {
            while self.events.lock().len() < times {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, invoked).await.unwrap();
    }
}

#[async_trait]
impl RotationFunctions for Idle {
    fn has(&self, function: &str) -> bool {
        [IDLE, OTHER].contains(&function)
    }

    async fn invoke(&self, function: &str, event: &Json) -> Result<(), String> {
        let mut event = event.clone();
        event["Function"] = json!(function);
        self.events.lock().push(event);
        self.permits.acquire().await.unwrap().forget();
        self.answer.clone()
    }
}

const IDLE: &str = "arn:aws:lambda:eu-west-1:123456789012:function:idle";
const OTHER: &str = "arn:aws:lambda:eu-west-1:123456789012:function:other";

/// A place with the functions and a secret `dev/a`, and the version of the secret.
async fn with_functions(idle: &Idle) -> (Place, VersionId) {
    let runs = FunctionRuns::new(Arc::new(idle.clone()), Tasks::new(Metrics::default()));
    let place = Place::open_with(|served| served.with_functions(runs)).await;
    let first = place.beside.create_or_put("dev/a", &secret("x")).await;
    (place, first.unwrap())
}

/// RotateSecret of `dev/a`.
async fn rotate(place: &Place, function: &str, token: &str) -> Json {
    let body = json!({
        "SecretId": "dev/a", "RotationLambdaARN": function, "ClientRequestToken": token,
    });
    place.ask("RotateSecret", body).await.1
}

/// The description of `dev/a`.
async fn described(place: &Place) -> Json {
    let body = json!({"SecretId": "dev/a"});
    place.ask("DescribeSecret", body).await.1
}

/// Sets the value of a version and moves AWSCURRENT to it, as a function does.
async fn finish(place: &Place, token: &str, current: &VersionId) {
    let (store, id) = (&place.beside, VersionId(token.to_owned()));
    let put = store.put("dev/a", &id, &secret(token), PENDING).await;
    put.unwrap();
    let moved = store.move_stage("dev/a", CURRENT, Some(current), Some(&id));
    moved.await.unwrap();
}

/// Waits until a run of `dev/a` has succeeded after the time `last`, and returns the description.
async fn succeeded(place: &Place, last: &Json) -> Json {
    let success = async {
        loop {
            let seen = described(place).await;
            if seen["LastRotatedDate"] != *last {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, success).await.unwrap()
}

#[tokio::test]
async fn a_successful_run_leaves_no_pending_version() {
    let idle = Idle::new(0);
    let (place, first) = with_functions(&idle).await;
    let (one, two) = ("1".repeat(32), "2".repeat(32));
    rotate(&place, IDLE, &one).await;
    idle.invoked(1).await;
    finish(&place, &one, &first).await;
    idle.permits.add_permits(1);
    let seen = succeeded(&place, &Json::Null).await;
    let labels = json!({&one: ["AWSCURRENT"], &first.0: ["AWSPREVIOUS"]});
    assert_eq!(seen["VersionIdsToStages"], labels);

    // AWSPENDING on a version that was AWSCURRENT, as an earlier release left it.
    let one = VersionId(one);
    let left = place.beside.move_stage("dev/a", PENDING, None, Some(&one));
    left.await.unwrap();
    let value = secret("by hand");
    place.beside.create_or_put("dev/a", &value).await.unwrap();
    let answer = rotate(&place, IDLE, &two).await;
    assert_eq!(answer["VersionId"], two, "{answer}");
    idle.invoked(2).await;
    assert_eq!(idle.events.lock()[1]["ClientRequestToken"], two);
    let labels = described(&place).await["VersionIdsToStages"].clone();
    assert_eq!(
        (&labels[&one.0], &labels[&two]),
        (&json!(["AWSPREVIOUS"]), &json!(["AWSPENDING"]))
    );
}

#[tokio::test]
async fn a_function_gets_an_empty_version_and_four_events() {
    let idle = Idle::new(8);
    let runs = FunctionRuns::new(Arc::new(idle.clone()), Tasks::new(Metrics::default()));
    let place = Place::open_with(|served| served.with_functions(runs)).await;
    let first = place.beside.create_or_put("dev/a", &secret("x")).await;
    let first = first.unwrap();
    let token = "t".repeat(36);
    let rotate = async |more: Json| {
        let mut body = json!({"SecretId": "dev/a"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        place.ask("RotateSecret", body).await.1
    };
    for (more, words) in [
        (
            json!({"RotationLambdaARN": "http://127.0.0.1/"}),
            "secrets.serve.functions",
        ),
        (
            json!({"RotationLambdaARN": IDLE, "RotationRules": {"AutomaticallyAfterDays": 7}}),
            "by no schedule",
        ),
        (
            json!({"RotationLambdaARN": IDLE, "RotateImmediately": false}),
            "by no schedule",
        ),
        (json!({}), "No Lambda rotation function ARN"),
    ] {
        let answer = rotate(more).await;
        assert_eq!(answer["__type"], "InvalidRequestException");
        let message = answer["Message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
    let answer = rotate(json!({"RotationLambdaARN": IDLE, "ClientRequestToken": token})).await;
    assert_eq!(answer["VersionId"], token);
    idle.invoked(4).await;
    let (_, described) = place
        .ask("DescribeSecret", json!({"SecretId": "dev/a"}))
        .await;
    let arn = &described["ARN"];
    let steps = ["createSecret", "setSecret", "testSecret", "finishSecret"];
    for (event, step) in idle.events.lock().iter().zip(steps) {
        assert_eq!(event["Step"], step);
        assert_eq!(
            (&event["SecretId"], &event["ClientRequestToken"]),
            (arn, &json!(token))
        );
        assert!(event["RotationToken"].is_string());
    }
    assert_eq!(described["RotationEnabled"], true);
    assert_eq!(described["RotationLambdaARN"], IDLE);
    // The function moved no label: the run has failed.
    assert_eq!(described["LastRotatedDate"], Json::Null);
    let labels = json!({&token: ["AWSPENDING"], &first.0: ["AWSCURRENT"]});
    assert_eq!(described["VersionIdsToStages"], labels);
    // Another twinkey leaves the secret to the function.
    assert!(
        place
            .beside
            .describe("dev/a")
            .await
            .unwrap()
            .rotation_enabled
    );

    // The version has no value until the first PutSecretValue.
    let pending = json!({"SecretId": "dev/a", "VersionId": token, "VersionStage": "AWSPENDING"});
    let (_, answer) = place.ask("GetSecretValue", pending.clone()).await;
    assert_eq!(answer["__type"], "ResourceNotFoundException");
    let answer = rotate(json!({})).await;
    let message = answer["Message"].as_str().unwrap();
    assert!(
        message.contains("A previous rotation isn't complete"),
        "{message}"
    );
    let put = |value: &str| {
        json!({
            "SecretId": "dev/a", "ClientRequestToken": token, "SecretString": value,
            "VersionStages": ["AWSPENDING"],
        })
    };
    let (status, _) = place.ask("PutSecretValue", put("y")).await;
    assert_eq!(status, 200);
    let (_, answer) = place.ask("PutSecretValue", put("z")).await;
    assert_eq!(answer["__type"], "ResourceExistsException");
    let (_, answer) = place.ask("GetSecretValue", pending).await;
    assert_eq!(answer["SecretString"], "y");

    let (_, answer) = place
        .ask("CancelRotateSecret", json!({"SecretId": "dev/a"}))
        .await;
    assert_eq!(answer["VersionId"], token);
    let described = place.beside.describe("dev/a").await.unwrap();
    assert!(!described.rotation_enabled);
}

#[tokio::test]
async fn a_canceled_run_ends_before_its_next_step() {
    let idle = Arc::new(Idle::new(0));
    let functions = Arc::clone(&idle) as Arc<dyn RotationFunctions>;
    let runs = FunctionRuns::new(functions, Tasks::new(Metrics::default()));
    let place = Place::open_with(|served| served.with_functions(runs)).await;
    let value = secret("x");
    place.beside.create_or_put("dev/a", &value).await.unwrap();
    let body = json!({"SecretId": "dev/a", "RotationLambdaARN": IDLE});
    place.ask("RotateSecret", body).await;
    idle.invoked(1).await;
    let cancel = json!({"SecretId": "dev/a"});
    let (status, _) = place.ask("CancelRotateSecret", cancel).await;
    assert_eq!(status, 200);
    idle.permits.add_permits(4);
    // The run has the functions until its end.
    let ended = async {
        while Arc::strong_count(&idle) > 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, ended).await.unwrap();
    assert_eq!(idle.events.lock().len(), 1);
}

#[tokio::test]
async fn a_version_that_exists_starts_no_function() {
    let idle = Idle::new(0);
    let (place, first) = with_functions(&idle).await;
    let value = secret("y");
    let second = place.beside.create_or_put("dev/a", &value).await.unwrap();
    let refused = async |token: &str| {
        let answer = rotate(&place, IDLE, token).await;
        assert_eq!(answer["__type"], "InvalidRequestException", "{answer}");
        answer["Message"].as_str().unwrap().to_owned()
    };
    for version in [&first, &second] {
        let message = refused(&version.0).await;
        assert!(message.contains("already in use"), "{message}");
    }
    assert_eq!(described(&place).await["RotationEnabled"], Json::Null);
    let create = json!({"Name": "dev/empty"});
    place.ask("CreateSecret", create).await;
    let body = json!({"SecretId": "dev/empty", "RotationLambdaARN": IDLE});
    let (_, answer) = place.ask("RotateSecret", body).await;
    let message = answer["Message"].as_str().unwrap();
    assert!(message.contains("has no value"), "{message}");

    // The version of the last success is not created again.
    let (one, two) = ("1".repeat(32), "2".repeat(32));
    rotate(&place, IDLE, &one).await;
    idle.invoked(1).await;
    finish(&place, &one, &second).await;
    assert_eq!(rotate(&place, IDLE, &one).await["VersionId"], one);
    idle.permits.add_permits(1);
    succeeded(&place, &Json::Null).await;
    assert_eq!(rotate(&place, IDLE, &one).await["VersionId"], one);
    // The version of a run without AWSPENDING is not complete, and never will be.
    rotate(&place, IDLE, &two).await;
    idle.invoked(2).await;
    let id = VersionId(two.clone());
    let removed = place.beside.move_stage("dev/a", PENDING, Some(&id), None);
    removed.await.unwrap();
    let message = refused(&two).await;
    assert!(message.contains("already in use"), "{message}");
    assert_eq!(idle.events.lock().len(), 2);
}

#[tokio::test]
async fn a_refused_request_changes_nothing() {
    let idle = Idle::new(0);
    let (place, _) = with_functions(&idle).await;
    let (one, two) = ("1".repeat(32), "2".repeat(32));
    rotate(&place, IDLE, &one).await;
    idle.invoked(1).await;
    let refused = async |words: &str| {
        let before = described(&place).await;
        for token in [&one, &two] {
            let answer = rotate(&place, OTHER, token).await;
            let message = answer["Message"].as_str().unwrap();
            let incomplete = "A previous rotation isn't complete.";
            assert!(message.starts_with(incomplete), "{message}");
            assert!(message.contains(words), "{message}");
        }
        assert_eq!(described(&place).await, before);
    };
    refused("will be reattempted. Its function is").await;
    let cancel = json!({"SecretId": "dev/a"});
    place.ask("CancelRotateSecret", cancel).await;
    refused("Remove AWSPENDING from version").await;
    let seen = described(&place).await;
    assert_eq!(
        (&seen["RotationEnabled"], &seen["RotationLambdaARN"]),
        (&json!(false), &json!(IDLE))
    );
}

#[tokio::test]
async fn a_canceled_run_does_not_continue_beside_the_next() {
    for function in [IDLE, OTHER] {
        let idle = Idle::new(0);
        let (place, _) = with_functions(&idle).await;
        let [one, two] = ["1", "2"].map(|digit| VersionId(digit.repeat(32)));
        rotate(&place, IDLE, &one.0).await;
        idle.invoked(1).await;
        let cancel = json!({"SecretId": "dev/a"});
        place.ask("CancelRotateSecret", cancel).await;
        let removed = place.beside.move_stage("dev/a", PENDING, Some(&one), None);
        removed.await.unwrap();
        let answer = rotate(&place, function, &two.0).await;
        assert_eq!(answer["VersionId"], two.0, "{answer}");
        idle.permits.add_permits(5);
        idle.invoked(5).await;
        for event in &idle.events.lock()[1..] {
            assert_eq!(
                (&event["Function"], &event["ClientRequestToken"]),
                (&json!(function), &json!(two))
            );
        }
    }
}

#[tokio::test]
async fn a_function_that_fails_after_the_move_has_rotated() {
    let mut idle = Idle::new(0);
    idle.answer = Err("timeout".into());
    let (place, first) = with_functions(&idle).await;
    let token = "1".repeat(32);
    rotate(&place, IDLE, &token).await;
    idle.invoked(1).await;
    finish(&place, &token, &first).await;
    idle.permits.add_permits(1);
    let seen = succeeded(&place, &Json::Null).await;
    let labels = json!({&token: ["AWSCURRENT"], &first.0: ["AWSPREVIOUS"]});
    assert_eq!(seen["VersionIdsToStages"], labels);
}

#[tokio::test]
async fn current_cannot_move_to_a_version_without_value() {
    let idle = Idle::new(0);
    let (place, first) = with_functions(&idle).await;
    let token = "1".repeat(32);
    rotate(&place, IDLE, &token).await;
    let body = json!({
        "SecretId": "dev/a", "VersionStage": "AWSCURRENT", "MoveToVersionId": token,
        "RemoveFromVersionId": first,
    });
    let (_, answer) = place.ask("UpdateSecretVersionStage", body.clone()).await;
    assert_eq!(answer["__type"], "InvalidRequestException");
    let message = answer["Message"].as_str().unwrap();
    assert!(message.contains("it has no value"), "{message}");
    let (_, read) = place
        .ask("GetSecretValue", json!({"SecretId": "dev/a"}))
        .await;
    assert_eq!(read["SecretString"], "x");
    let put = json!({
        "SecretId": "dev/a", "ClientRequestToken": token, "SecretString": "y",
        "VersionStages": ["AWSPENDING"],
    });
    place.ask("PutSecretValue", put).await;
    let (status, answer) = place.ask("UpdateSecretVersionStage", body).await;
    assert_eq!(status, 200, "{answer}");
}
