//! A key can neither use nor detect secrets without permission.

use serde_json::{Value as Json, json};
use twinkey_stores::local::api::Action;

use super::Place;
use crate::subject::secret;

async fn as_app(place: &Place, action: &str, body: Json) -> Json {
    let body = body.to_string();
    let headers = place.signed(&place.app, action, &body);
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
