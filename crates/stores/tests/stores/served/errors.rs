//! Requests with a single mistake, and the error of AWS for it.

use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use twinkey_core::telemetry::Clock;
use twinkey_stores::served::keys::NewKey;

use super::Place;
use crate::subject::secret;
use twinkey_testkit::signed;

const BODY: &str = r#"{"SecretId":"prod/a"}"#;

async fn place() -> Place {
    let place = Place::open().await;
    place
        .beside
        .create_or_put("prod/a", &secret("hunter2-hunter2"))
        .await
        .unwrap();
    place
}

/// The status and the error name; the message must not be empty and must not contain a value.
async fn refusal(place: &Place, headers: &[(String, String)], body: &str) -> (u16, String, String) {
    let (status, answer) = place.answer(headers, body).await;
    let message = answer["message"].as_str().or(answer["Message"].as_str());
    let message = message.unwrap_or_else(|| panic!("{answer}")).to_owned();
    assert!(
        !message.is_empty() && !answer.to_string().contains("hunter2"),
        "{answer}"
    );
    (
        status.as_u16(),
        answer["__type"].as_str().unwrap().to_owned(),
        message,
    )
}

fn set(headers: &mut [(String, String)], name: &str, change: impl Fn(&str) -> String) {
    let header = headers.iter_mut().find(|(n, _)| n == name).unwrap();
    header.1 = change(&header.1);
}

#[tokio::test]
async fn each_signature_mistake_has_the_error_of_aws() {
    let place = place().await;
    let good = place.signed(&place.admin, "GetSecretValue", BODY);
    let (status, answer) = place.answer(&good, BODY).await;
    assert_eq!(
        (status.as_u16(), &answer["SecretString"]),
        (200, &json!("hunter2-hunter2"))
    );

    let invalid = "InvalidSignatureException";
    let tampered = BODY.replace("prod/a", "prod/b");
    let (status, name, message) = refusal(&place, &good, &tampered).await;
    assert_eq!((status, &*name), (400, invalid));
    assert!(
        message.starts_with("The request signature we calculated does not match"),
        "{message}"
    );

    let mut other = good.clone();
    set(&mut other, "x-amz-target", |_| {
        "secretsmanager.DeleteSecret".into()
    });
    assert_eq!(refusal(&place, &other, BODY).await.1, invalid);

    let wrong = NewKey {
        id: place.admin.id.clone(),
        secret: SecretString::from("a secret that is none of this key's"),
    };
    let wrong = place.signed(&wrong, "GetSecretValue", BODY);
    assert_eq!(refusal(&place, &wrong, BODY).await.1, invalid);

    let key = (&*place.admin.id, place.admin.secret.expose_secret());
    let host = place.url().replace("http://", "");
    for (at, expected) in [
        (
            SystemTime::from(Clock::system().now()) - Duration::from_secs(310),
            "Signature expired: ",
        ),
        (
            SystemTime::from(Clock::system().now()) + Duration::from_secs(310),
            "Signature not yet current: ",
        ),
    ] {
        let headers = signed::headers(&host, key, "GetSecretValue", BODY, at);
        let (status, name, message) = refusal(&place, &headers, BODY).await;
        assert_eq!((status, &*name), (400, invalid));
        assert!(message.starts_with(expected), "{message}");
    }

    let unknown = NewKey::draw().unwrap();
    let unknown = place.signed(&unknown, "GetSecretValue", BODY);
    let (status, name, message) = refusal(&place, &unknown, BODY).await;
    assert_eq!((status, &*name), (400, "UnrecognizedClientException"));
    assert_eq!(
        message,
        "The security token included in the request is invalid."
    );
    let mut session = good.clone();
    session.push(("x-amz-security-token".into(), "a session's".into()));
    assert_eq!(refusal(&place, &session, BODY).await.1, name);

    let unsigned: Vec<_> = good
        .iter()
        .filter(|(n, _)| n != "authorization")
        .cloned()
        .collect();
    let (status, name, _) = refusal(&place, &unsigned, BODY).await;
    assert_eq!(
        (status, &*name),
        (400, "MissingAuthenticationTokenException")
    );
    let mut half = good.clone();
    set(&mut half, "authorization", |value| {
        value.replace("Signature=", "Sig=")
    });
    assert_eq!(
        refusal(&place, &half, BODY).await.1,
        "IncompleteSignatureException"
    );
    let mut not_over_all = good;
    set(&mut not_over_all, "authorization", |value| {
        value.replace(";x-amz-target", "")
    });
    assert_eq!(refusal(&place, &not_over_all, BODY).await.1, invalid);
}

#[tokio::test]
async fn a_large_body_is_read_for_a_known_key_only() {
    let place = place().await;
    let huge = " ".repeat(600_000);
    let mine = place.signed(&place.admin, "GetSecretValue", &huge);
    let (status, name, _) = refusal(&place, &mine, &huge).await;
    assert_eq!((status, &*name), (413, "RequestEntityTooLargeException"));
    let unknown = place.signed(&NewKey::draw().unwrap(), "GetSecretValue", &huge);
    let asked = reqwest::Client::new().post(place.url()).body(huge);
    let asked = unknown
        .iter()
        .fold(asked, |asked, (name, value)| asked.header(name, value));
    // The response may arrive before the whole body was sent; the connection then closes.
    if let Ok(answer) = asked.send().await {
        assert_eq!(
            answer.json::<Json>().await.unwrap()["__type"],
            "UnrecognizedClientException"
        );
    }
}

#[tokio::test]
async fn refused_replication_has_a_reason() {
    let place = place().await;
    for (action, why) in [
        ("ReplicateSecretToRegions", "no regions"),
        ("RemoveRegionsFromReplication", "no regions"),
        ("StopReplicationToReplica", "no regions"),
        ("AssociateCrossAccountReplica", "no accounts"),
    ] {
        let (_, answer) = place.ask(action, json!({"SecretId": "prod/a"})).await;
        assert_eq!(answer["__type"], "UnknownOperationException", "{action}");
        let message = answer["Message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn each_wrong_parameter_has_the_error_of_aws() {
    let place = place().await;
    let token = "x".repeat(32);
    for (action, body, name) in [
        ("MakeCoffee", json!({}), "UnknownOperationException"),
        (
            "PutResourcePolicy",
            json!({"SecretId": "prod/a"}),
            "ValidationException",
        ),
        (
            "PutResourcePolicy",
            json!({"SecretId": "prod/a", "ResourcePolicy": "{}"}),
            "MalformedPolicyDocumentException",
        ),
        (
            "PutResourcePolicy",
            json!({"SecretId": "prod/a", "ResourcePolicy": "{}", "PolicyName": "other"}),
            "InvalidParameterException",
        ),
        (
            "DeleteResourcePolicy",
            json!({"SecretId": "prod/a", "PolicyName": "other"}),
            "InvalidParameterException",
        ),
        (
            "GetResourcePolicy",
            json!({"SecretId": "prod/a", "PolicyName": "other"}),
            "ResourceNotFoundException",
        ),
        (
            "GetResourcePolicy",
            json!({"SecretId": "prod/a", "PolicyName": "a b"}),
            "ValidationException",
        ),
        (
            "GetResourcePolicy",
            json!({"SecretId": "prod/none"}),
            "ResourceNotFoundException",
        ),
        (
            "ValidateResourcePolicy",
            json!({"ResourcePolicy": "{"}),
            "MalformedPolicyDocumentException",
        ),
        ("GetSecretValue", json!({}), "ValidationException"),
        (
            "GetSecretValue",
            json!({"SecretId": "x".repeat(2049)}),
            "ValidationException",
        ),
        (
            "GetSecretValue",
            json!({"SecretId": 1}),
            "SerializationException",
        ),
        (
            "GetSecretValue",
            json!({"SecretId": "prod/a", "VersionId": "short"}),
            "ValidationException",
        ),
        (
            "GetSecretValue",
            json!({"SecretId": "prod/a", "VersionStage": ""}),
            "ValidationException",
        ),
        (
            "GetSecretValue",
            json!({"SecretId": "prod/a", "VersionId": token}),
            "ResourceNotFoundException",
        ),
        (
            "GetSecretValue",
            json!({"SecretId": "prod/a", "VersionStage": "none"}),
            "ResourceNotFoundException",
        ),
        (
            "GetSecretValue",
            json!(["prod/a"]),
            "SerializationException",
        ),
        (
            "CreateSecret",
            json!({"Name": "a b"}),
            "ValidationException",
        ),
        (
            "CreateSecret",
            json!({"Name": "b", "ClientRequestToken": "x".repeat(65)}),
            "InvalidParameterException",
        ),
        (
            "CreateSecret",
            json!({"Name": "b", "Description": "x".repeat(2049)}),
            "ValidationException",
        ),
        (
            "CreateSecret",
            json!({"Name": "b", "SecretString": "x", "SecretBinary": "eA==", "ClientRequestToken": token}),
            "InvalidParameterException",
        ),
        (
            "CreateSecret",
            json!({"Name": "b", "SecretBinary": "no base64", "ClientRequestToken": token}),
            "SerializationException",
        ),
        (
            "CreateSecret",
            json!({"Name": "prod/a", "SecretString": "x", "ClientRequestToken": token}),
            "ResourceExistsException",
        ),
        (
            "CreateSecret",
            json!({"Name": "b", "CrossAccountPrimaryARN": "arn:aws:secretsmanager:x"}),
            "InvalidParameterException",
        ),
        (
            "UpdateSecret",
            json!({"SecretId": "prod/a", "Type": "partner"}),
            "InvalidParameterException",
        ),
        (
            "PutSecretValue",
            json!({"SecretId": "prod/a"}),
            "InvalidRequestException",
        ),
        (
            "PutSecretValue",
            json!({"SecretId": "prod/a", "SecretString": "x"}),
            "InvalidParameterException",
        ),
        (
            "UpdateSecretVersionStage",
            json!({"SecretId": "prod/a", "VersionStage": "AWSCURRENT"}),
            "InvalidParameterException",
        ),
        (
            "ListSecrets",
            json!({"NextToken": "?"}),
            "InvalidNextTokenException",
        ),
        (
            "ListSecrets",
            json!({"MaxResults": 101}),
            "ValidationException",
        ),
        (
            "ListSecrets",
            json!({"MaxResults": -1}),
            "ValidationException",
        ),
        (
            "ListSecrets",
            json!({"SortBy": "size"}),
            "ValidationException",
        ),
        (
            "ListSecrets",
            json!({"SortOrder": "up"}),
            "ValidationException",
        ),
        (
            "ListSecrets",
            json!({"Filters": [{"Key": "size", "Values": ["x"]}]}),
            "ValidationException",
        ),
        (
            "ListSecrets",
            json!({"Filters": [{"Values": ["x"]}]}),
            "InvalidParameterException",
        ),
        (
            "BatchGetSecretValue",
            json!({"Filters": [{"Key": "name"}]}),
            "InvalidParameterException",
        ),
        (
            "GetRandomPassword",
            json!({"PasswordLength": 3}),
            "InvalidParameterException",
        ),
        (
            "GetRandomPassword",
            json!({"PasswordLength": 4097}),
            "ValidationException",
        ),
        (
            "TagResource",
            json!({"SecretId": "prod/a", "Tags": [{"Key": "aws:x", "Value": ""}]}),
            "InvalidParameterException",
        ),
        (
            "TagResource",
            json!({"SecretId": "prod/a", "Tags": [{"Value": "x"}]}),
            "InvalidParameterException",
        ),
        (
            "TagResource",
            json!({"SecretId": "prod/a", "Tags": [{"Key": "x".repeat(129), "Value": ""}]}),
            "ValidationException",
        ),
        (
            "TagResource",
            json!({"SecretId": "prod/a"}),
            "InvalidParameterException",
        ),
        (
            "UntagResource",
            json!({"SecretId": "prod/a"}),
            "InvalidParameterException",
        ),
        (
            "UntagResource",
            json!({"SecretId": "prod/a", "TagKeys": [""]}),
            "ValidationException",
        ),
        (
            "RotateSecret",
            json!({"SecretId": "prod/a", "RotationLambdaARN": "x".repeat(2049)}),
            "ValidationException",
        ),
        (
            "RotateSecret",
            json!({"SecretId": "prod/a"}),
            "InvalidRequestException",
        ),
    ] {
        let (status, answer) = place.ask(action, body).await;
        assert_eq!(
            (status.as_u16(), answer["__type"].as_str()),
            (400, Some(name)),
            "{action}: {answer}"
        );
        assert!(answer["Message"].is_string());
    }
}
