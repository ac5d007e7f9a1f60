//! A key can neither use nor detect secrets without permission.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value as Json, json};
use twinkey_core::telemetry::Clock;
use twinkey_stores::local::api::Action;
use twinkey_stores::served::keys::NewKey;
use twinkey_stores::served::keys_file::{self, KeyGrant};

use super::Place;
use crate::subject::secret;

async fn as_app(place: &Place, action: &str, body: Json) -> Json {
    as_key(place, &place.app, action, body).await
}

async fn as_key(place: &Place, key: &NewKey, action: &str, body: Json) -> Json {
    let body = body.to_string();
    let headers = place.signed(key, action, &body);
    place.answer(&headers, &body).await.1
}

#[tokio::test]
async fn every_action_on_a_forbidden_secret_is_denied() {
    let place = Place::open().await;
    place
        .beside
        .create_or_put("dev/a", &secret("hunter2-hunter2"))
        .await
        .unwrap();
    let (_, seen) = place
        .ask("DescribeSecret", json!({"SecretId": "dev/a"}))
        .await;
    let arn = seen["ARN"].as_str().unwrap();
    let before = seen.to_string();
    for action in Action::ALL.map(Action::name) {
        for id in ["dev/a", "dev/none", arn, &arn[..arn.len() - 7]] {
            if matches!(action, "ListSecrets" | "BatchGetSecretValue") {
                continue;
            }
            let token = "x".repeat(32);
            let body = json!({"SecretId": id, "Name": id, "SecretString": "y", "ClientRequestToken": token});
            let answer = as_app(&place, action, body).await;
            assert_eq!(
                answer["__type"], "AccessDeniedException",
                "{action} {id}: {answer}"
            );
            let message = answer["Message"].as_str().unwrap();
            let wanted =
                format!("is not authorized to perform: secretsmanager:{action} on resource: ");
            assert!(message.contains(&wanted), "{message}");
        }
    }
    let (_, seen) = place
        .ask("DescribeSecret", json!({"SecretId": "dev/a"}))
        .await;
    assert_eq!(seen.to_string(), before);
}

#[tokio::test]
async fn a_key_reads_and_lists_its_own_names_only() {
    let place = Place::open().await;
    for name in ["prod/a", "dev/a", "prod"] {
        place
            .beside
            .create_or_put(name, &secret("x"))
            .await
            .unwrap();
    }
    let read = as_app(&place, "GetSecretValue", json!({"SecretId": "prod/a"})).await;
    assert_eq!(read["SecretString"], "x");
    let listed = as_app(&place, "ListSecrets", json!({})).await;
    let listed = listed["SecretList"].as_array().unwrap();
    assert_eq!((listed.len(), &listed[0]["Name"]), (1, &json!("prod/a")));
    let filters = json!({"Filters": [{"Key": "name", "Values": ["!x"]}]});
    let batch = as_app(&place, "BatchGetSecretValue", filters).await;
    let values = batch["SecretValues"].as_array().unwrap();
    assert_eq!((values.len(), &batch["Errors"]), (1, &json!([])));
    let put =
        json!({"SecretId": "prod/a", "SecretString": "y", "ClientRequestToken": "x".repeat(32)});
    let put = as_app(&place, "PutSecretValue", put).await;
    assert_eq!(put["__type"], "AccessDeniedException");
}

#[tokio::test]
async fn a_removed_key_is_refused_once_the_file_is_valid() {
    let place = Place::open().await;
    let value = secret("x");
    place.beside.create_or_put("prod/a", &value).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let mut file = place.served.keys_file(path.clone());
    let grant = KeyGrant {
        name: "app".into(),
        actions: vec!["GetSecretValue".into()],
        secrets: vec!["prod/*".into()],
    };
    let now = Clock::system().now();
    let [kept, removed] = [NewKey::draw().unwrap(), NewKey::draw().unwrap()];
    for key in [&kept, &removed] {
        keys_file::add(&path, &place.beside, key, &grant, now).unwrap();
    }
    file.check();
    let refusal = async |key: &NewKey| {
        let body = json!({"SecretId": "prod/a"});
        as_key(&place, key, "GetSecretValue", body).await["__type"].clone()
    };
    assert_eq!(refusal(&removed).await, Json::Null);

    let change_mode = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    keys_file::remove(&path, &removed.id).unwrap();
    change_mode(0o644);
    for _ in 0..2 {
        file.check();
        assert_eq!(refusal(&removed).await, Json::Null);
    }
    change_mode(0o600);
    file.check();
    assert_eq!(refusal(&removed).await, "UnrecognizedClientException");
    assert_eq!(refusal(&kept).await, Json::Null);
}
