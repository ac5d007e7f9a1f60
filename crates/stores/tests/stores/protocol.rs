//! The embedded store over Secrets Manager's protocol, without an SDK.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::aws::seeded;

async fn ask(url: &str, action: &str, body: Json) -> (u16, Json) {
    let answer = reqwest::Client::new()
        .post(url)
        .header("x-amz-target", format!("secretsmanager.{action}"))
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

#[tokio::test]
async fn the_protocol_answers_with_awss_error_names() {
    let (stand_in, _, _) = seeded().await;
    let token = "x".repeat(32);
    let a = json!({"SecretId": "a"});
    for (action, body, name) in [
        ("MakeCoffee", json!({}), "UnknownOperationException"),
        (
            "DescribeSecret",
            json!({"SecretId": 1}),
            "SerializationException",
        ),
        (
            "DescribeSecret",
            json!({"SecretId": "b"}),
            "ResourceNotFoundException",
        ),
        ("RotateSecret", a.clone(), "InvalidRequestException"),
        ("PutSecretValue", a.clone(), "InvalidRequestException"),
        (
            "PutSecretValue",
            json!({"SecretId": "a", "SecretString": "x"}),
            "InvalidParameterException",
        ),
        (
            "PutSecretValue",
            json!({"SecretId": "a", "SecretString": "x", "ClientRequestToken": "short"}),
            "InvalidParameterException",
        ),
        (
            "CreateSecret",
            json!({"Name": "a", "SecretString": "x", "ClientRequestToken": token}),
            "ResourceExistsException",
        ),
        (
            "CreateSecret",
            json!({"Name": "a b"}),
            "ValidationException",
        ),
        (
            "DeleteSecret",
            json!({"SecretId": "a", "RecoveryWindowInDays": 6}),
            "InvalidParameterException",
        ),
        (
            "ListSecrets",
            json!({"NextToken": "?"}),
            "InvalidNextTokenException",
        ),
    ] {
        let (status, answer) = ask(&stand_in.url(), action, body).await;
        assert_eq!(
            (status, answer["__type"].as_str()),
            (400, Some(name)),
            "{action}"
        );
        assert!(answer["Message"].is_string());
    }
}

#[tokio::test]
async fn the_protocol_creates_lists_tags_deletes_and_restores() {
    let (stand_in, _, first) = seeded().await;
    let url = stand_in.url();
    let token = Uuid::new_v4().to_string();
    let other = Uuid::new_v4().to_string();
    let new = json!({
        "Name": "b", "SecretString": "x", "ClientRequestToken": token,
        "Description": "d", "Tags": [{"Key": "k", "Value": "v"}],
    });
    let (status, created) = ask(&url, "CreateSecret", new.clone()).await;
    assert_eq!((status, &created["VersionId"]), (200, &json!(token)));
    assert_eq!(
        ask(&url, "CreateSecret", new.clone()).await,
        (200, created.clone()),
        "the same again"
    );
    for (token, about) in [
        (token, created["ARN"].as_str().unwrap()),
        (other, "the secret b "),
    ] {
        let mut differs = new.clone();
        differs["SecretString"] = json!("y");
        differs["ClientRequestToken"] = json!(token);
        let (_, refused) = ask(&url, "CreateSecret", differs).await;
        assert_eq!(refused["__type"], "ResourceExistsException");
        let message = refused["Message"].as_str().unwrap();
        assert!(message.contains(about), "{message}");
    }

    let (_, page) = ask(&url, "ListSecrets", json!({"MaxResults": 1})).await;
    assert_eq!(page["SecretList"][0]["Name"], "a");
    let next = json!({"MaxResults": 1, "NextToken": page["NextToken"]});
    let (_, page) = ask(&url, "ListSecrets", next).await;
    assert_eq!(
        page["SecretList"][0]["Tags"],
        json!([{"Key": "k", "Value": "v"}])
    );
    assert_eq!(page["NextToken"], Json::Null);

    ask(
        &url,
        "UntagResource",
        json!({"SecretId": "b", "TagKeys": ["k"]}),
    )
    .await;
    let (_, seen) = ask(&url, "DescribeSecret", json!({"SecretId": "b"})).await;
    assert_eq!(
        (seen.get("Tags"), seen.get("Description")),
        (None, Some(&json!("d")))
    );

    let undescribed = json!({"SecretId": "b", "Description": ""});
    ask(&url, "UpdateSecret", undescribed).await;
    let (_, seen) = ask(&url, "DescribeSecret", json!({"SecretId": "b"})).await;
    assert_eq!(seen.get("Description"), None);

    let (_, list) = ask(&url, "ListSecretVersionIds", json!({"SecretId": "a"})).await;
    assert_eq!(list["Versions"][0]["VersionId"], json!(first));

    let (status, gone) = ask(&url, "DeleteSecret", json!({"SecretId": "b"})).await;
    assert!(status == 200 && gone["DeletionDate"].is_f64());
    let (_, again) = ask(&url, "DeleteSecret", json!({"SecretId": "b"})).await;
    assert_eq!(again["__type"], "InvalidRequestException");
    let (status, _) = ask(&url, "RestoreSecret", json!({"SecretId": "b"})).await;
    assert_eq!(status, 200);
    // A secret that is marked is deleted at once too, and a missing one again.
    let (_, marked) = ask(&url, "DeleteSecret", json!({"SecretId": "b"})).await;
    let force = json!({"SecretId": "b", "ForceDeleteWithoutRecovery": true});
    for _ in 0..2 {
        let (status, gone) = ask(&url, "DeleteSecret", force.clone()).await;
        assert_eq!((status, &gone["Name"]), (200, &json!("b")));
        assert!(gone["DeletionDate"].as_f64() < marked["DeletionDate"].as_f64());
    }
    let (_, seen) = ask(&url, "DescribeSecret", json!({"SecretId": "b"})).await;
    assert_eq!(seen["__type"], "ResourceNotFoundException");
}

#[tokio::test]
async fn every_change_of_a_secret_sets_its_last_change() {
    let (stand_in, _, _) = seeded().await;
    let url = stand_in.url();
    let changed = async || {
        let (_, seen) = ask(&url, "DescribeSecret", json!({"SecretId": "a"})).await;
        seen["LastChangedDate"].as_f64().unwrap()
    };
    let mut previous = changed().await;
    for (action, more) in [
        ("TagResource", json!({"Tags": [{"Key": "k", "Value": "v"}]})),
        ("UntagResource", json!({"TagKeys": ["k"]})),
        ("UpdateSecret", json!({"Description": "d"})),
        ("DeleteSecret", json!({})),
        ("RestoreSecret", json!({})),
    ] {
        // The time has milliseconds.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        let mut body = more;
        body["SecretId"] = json!("a");
        let (status, answer) = ask(&url, action, body).await;
        assert_eq!(status, 200, "{answer}");
        let now = changed().await;
        assert!(now > previous, "{action}");
        previous = now;
    }
}
