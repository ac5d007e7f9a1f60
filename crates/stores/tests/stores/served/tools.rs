//! The calls of tools that manage secrets, as their sources make them.

use serde_json::{Value as Json, json};

use super::Place;

/// Sends each call, and compares its error; an empty name is success. Returns the last answer.
async fn each(place: &Place, calls: Vec<(&str, Json, &str)>) -> Json {
    let mut last = Json::Null;
    for (action, body, error) in calls {
        let (status, answer) = place.ask(action, body).await;
        let name = answer["__type"].as_str().unwrap_or_default();
        assert_eq!(name, error, "{action}: {answer}");
        assert_eq!(status == 200, error.is_empty(), "{action}: {answer}");
        last = answer;
    }
    last
}

/// `aws_secretsmanager_secret` and `aws_secretsmanager_secret_version` of Terraform's provider:
/// create, read, change, remove the policy, delete.
#[tokio::test]
async fn terraform_creates_changes_and_deletes_a_secret() {
    let place = Place::open().await;
    let token = "terraform-20261130094500123400000001";
    let create = json!({
        "ClientRequestToken": token, "Description": "", "ForceOverwriteReplicaSecret": false,
        "Name": "prod/tf", "Tags": [{"Key": "team", "Value": "orders"}],
    });
    let created = each(&place, vec![("CreateSecret", create, "")]).await;
    let id = json!({"SecretId": created["ARN"]});
    let with = |more: Json| {
        let mut body = id.clone();
        let members = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(members);
        body
    };
    let policy = each(
        &place,
        vec![
            ("DescribeSecret", id.clone(), ""),
            ("GetResourcePolicy", id.clone(), ""),
        ],
    )
    .await;
    assert_eq!(policy.get("ResourcePolicy"), None);
    let put = with(json!({"ClientRequestToken": token, "SecretString": "x"}));
    let seen = each(
        &place,
        vec![
            ("PutSecretValue", put, ""),
            ("GetSecretValue", with(json!({"VersionId": token})), ""),
            (
                "UpdateSecret",
                with(json!({"ClientRequestToken": "u".repeat(36), "Description": "d"})),
                "",
            ),
            ("DeleteResourcePolicy", id.clone(), ""),
            ("UntagResource", with(json!({"TagKeys": ["team"]})), ""),
            (
                "TagResource",
                with(json!({"Tags": [{"Key": "env", "Value": "test"}]})),
                "",
            ),
            (
                "DeleteSecret",
                with(json!({"RecoveryWindowInDays": 30})),
                "",
            ),
            ("DescribeSecret", id.clone(), ""),
        ],
    )
    .await;
    assert!(seen["DeletedDate"].is_f64(), "{seen}");
    assert_eq!(seen["Description"], "d");
}

/// `community.aws.secretsmanager_secret` of Ansible, the second run on an existing secret.
#[tokio::test]
async fn ansible_changes_an_existing_secret() {
    let place = Place::open().await;
    let (first, second) = ("1".repeat(36), "2".repeat(36));
    let create = json!({"Name": "prod/an", "SecretString": "x", "ClientRequestToken": first});
    let update = json!({"SecretId": "prod/an", "SecretString": "y", "ClientRequestToken": second});
    let id = json!({"SecretId": "prod/an"});
    let seen = each(
        &place,
        vec![
            ("DescribeSecret", id.clone(), "ResourceNotFoundException"),
            ("CreateSecret", create, ""),
            ("DescribeSecret", id.clone(), ""),
        ],
    )
    .await;
    // The module compares these with what it is given.
    for absent in ["Description", "KmsKeyId", "RotationEnabled", "Tags"] {
        assert_eq!(seen.get(absent), None, "{seen}");
    }
    let policy = each(
        &place,
        vec![
            ("GetSecretValue", id.clone(), ""),
            ("UpdateSecret", update, ""),
            ("GetResourcePolicy", id.clone(), ""),
        ],
    )
    .await;
    assert_eq!(policy.get("ResourcePolicy"), None);
}

/// PushSecret of External Secrets: the first push, a further one, and a deletion.
#[tokio::test]
async fn external_secrets_pushes_and_deletes_a_secret() {
    let place = Place::open().await;
    let id = json!({"SecretId": "prod/es"});
    let tags = json!([{"Key": "managed-by", "Value": "external-secrets"}]);
    let create = json!({
        "Name": "prod/es", "SecretBinary": "eA==", "Tags": tags,
        "Description": "secret 'managed-by:external-secrets'",
        "ClientRequestToken": "00000000-0000-0000-0000-000000000001",
        "KmsKeyId": "alias/aws/secretsmanager",
    });
    let put = json!({
        "SecretId": "prod/es", "SecretBinary": "eQ==", "ClientRequestToken": "3".repeat(36),
    });
    let seen = each(
        &place,
        vec![
            ("DescribeSecret", id.clone(), "ResourceNotFoundException"),
            ("CreateSecret", create, ""),
            ("DescribeSecret", id.clone(), ""),
        ],
    )
    .await;
    assert_eq!((&seen["Tags"], seen.get("KmsKeyId")), (&tags, None));
    let deleted = each(
        &place,
        vec![
            ("GetSecretValue", id.clone(), ""),
            ("DeleteResourcePolicy", id.clone(), ""),
            ("PutSecretValue", put, ""),
            ("GetSecretValue", id.clone(), ""),
            ("DescribeSecret", id.clone(), ""),
            ("DeleteSecret", id.clone(), ""),
        ],
    )
    .await;
    assert!(deleted["DeletionDate"].is_f64(), "{deleted}");
}
