//! Every action, with the AWS SDK.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::Tag;
use twinkey_stores::stage::{CURRENT, PENDING, PREVIOUS};

use super::Place;
use crate::sentences::conforms;
use crate::subject::Subject;

/// The error name of a refused action.
macro_rules! refused {
    ($call:expr) => {
        $call.send().await.unwrap_err().code().unwrap().to_owned()
    };
}

#[tokio::test]
async fn the_aws_store_conforms_on_the_served_store() {
    let place = Place::open().await;
    conforms(&Subject::of_config(&place.config(&place.admin)), &[]).await;
}

async fn text(client: &Client, label: &str) -> String {
    let get = client.get_secret_value().secret_id("prod/a");
    let value = get.version_stage(label).send().await.unwrap();
    value.secret_string.unwrap()
}

#[tokio::test]
async fn text_and_binary_values_are_written_and_read() {
    let place = Place::open().await;
    let client = place.client();
    let create = client
        .create_secret()
        .name("prod/a")
        .secret_string("no JSON, \u{1f511} \0");
    let first = create.send().await.unwrap().version_id.unwrap();
    assert_eq!(text(&client, CURRENT).await, "no JSON, \u{1f511} \0");

    let put = client
        .put_secret_value()
        .secret_id("prod/a")
        .secret_string("two");
    let second = put.version_stages(PENDING).send().await.unwrap();
    assert_eq!(second.version_stages(), [PENDING]);
    let second = second.version_id.unwrap();
    let promote = client.update_secret_version_stage().secret_id("prod/a");
    let promote = promote
        .version_stage(CURRENT)
        .remove_from_version_id(&first);
    promote.move_to_version_id(&second).send().await.unwrap();
    assert_eq!(text(&client, CURRENT).await, "two");
    assert_eq!(text(&client, PREVIOUS).await, "no JSON, \u{1f511} \0");

    let bytes = Blob::new((0..=255).collect::<Vec<u8>>());
    let put = client.put_secret_value().secret_id("prod/a");
    put.secret_binary(bytes.clone()).send().await.unwrap();
    let read = client
        .get_secret_value()
        .secret_id("prod/a")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (read.secret_binary, read.secret_string),
        (Some(bytes), None)
    );

    let list = client.list_secret_version_ids().secret_id("prod/a");
    let versions = list
        .include_deprecated(true)
        .send()
        .await
        .unwrap()
        .versions
        .unwrap();
    assert_eq!(versions.len(), 3);
    assert_eq!(versions[2].version_id.as_deref(), Some(&*first));
    let by_id = client
        .get_secret_value()
        .secret_id("prod/a")
        .version_id(&second);
    assert_eq!(
        by_id.send().await.unwrap().secret_string.as_deref(),
        Some("two")
    );
}

#[tokio::test]
async fn a_secret_is_found_by_name_arn_and_partial_arn() {
    let place = Place::open().await;
    let client = place.client();
    let create = client.create_secret().name("prod/a").secret_string("x");
    let arn = create.send().await.unwrap().arn.unwrap();
    let partial = &arn[..arn.len() - 7];
    for id in ["prod/a", &arn, partial] {
        let read = client
            .get_secret_value()
            .secret_id(id)
            .send()
            .await
            .unwrap();
        assert_eq!(
            (read.name(), read.arn()),
            (Some("prod/a"), Some(&*arn)),
            "{id}"
        );
    }
    let wrong = format!("{partial}-aaaaaa");
    for id in [&*wrong, "prod/", "prod/A"] {
        let get = client.get_secret_value().secret_id(id);
        assert_eq!(refused!(get), "ResourceNotFoundException", "{id}");
    }
}

#[tokio::test]
async fn a_value_has_at_most_64_kib_in_every_encoding() {
    let place = Place::open().await;
    let client = place.client();
    for (n, full) in ["x".repeat(65_536), "\u{1}".repeat(65_536)]
        .into_iter()
        .enumerate()
    {
        let create = client.create_secret().name(format!("t{n}"));
        create.secret_string(&full).send().await.unwrap();
        let more = client.put_secret_value().secret_id(format!("t{n}"));
        let more = more.secret_string(format!("{full}x"));
        assert_eq!(refused!(more), "ValidationException");
    }
    let create = client.create_secret().name("b");
    create
        .secret_binary(Blob::new(vec![7; 65_536]))
        .send()
        .await
        .unwrap();
    let more = client.put_secret_value().secret_id("b");
    let more = more.secret_binary(Blob::new(vec![7; 65_537]));
    assert_eq!(refused!(more), "ValidationException");
    let huge = client
        .create_secret()
        .name("h")
        .secret_string("x".repeat(600_000));
    assert_eq!(refused!(huge), "RequestEntityTooLargeException");
}

#[tokio::test]
async fn description_key_id_and_tags_are_stored_and_changed() {
    let place = Place::open().await;
    let client = place.client();
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let create = client.create_secret().name("prod/a").description("one");
    let create = create.kms_key_id("alias/mine").tags(tag("team", "orders"));
    create.send().await.unwrap();
    let describe = async || {
        let describe = client.describe_secret().secret_id("prod/a");
        describe.send().await.unwrap()
    };
    let seen = describe().await;
    assert_eq!(seen.description(), Some("one"));
    assert_eq!(seen.kms_key_id(), Some("alias/mine"));
    assert_eq!(seen.tags(), [tag("team", "orders")]);
    assert!(
        seen.version_ids_to_stages().is_none(),
        "it has no version yet"
    );
    let get = client.get_secret_value().secret_id("prod/a");
    assert_eq!(refused!(get), "ResourceNotFoundException");

    let update = client
        .update_secret()
        .secret_id("prod/a")
        .description("two");
    let own = "alias/aws/secretsmanager";
    let update = update.secret_string("x").kms_key_id(own);
    let version = update.send().await.unwrap().version_id.unwrap();
    let tags = client.tag_resource().secret_id("prod/a");
    tags.tags(tag("team", "payments"))
        .tags(tag("env", ""))
        .send()
        .await
        .unwrap();
    let untag = client.untag_resource().secret_id("prod/a").tag_keys("team");
    untag.send().await.unwrap();
    let seen = describe().await;
    assert_eq!((seen.description(), seen.kms_key_id()), (Some("two"), None));
    assert_eq!(seen.tags(), [tag("env", "")]);
    assert_eq!(seen.version_ids_to_stages().unwrap()[&version], [CURRENT]);
}

#[tokio::test]
async fn a_secret_is_marked_restored_and_deleted() {
    let place = Place::open().await;
    let client = place.client();
    let create = client.create_secret().name("prod/a").secret_string("x");
    let arn = create.send().await.unwrap().arn.unwrap();
    for days in [6, 31] {
        let delete = client
            .delete_secret()
            .secret_id("prod/a")
            .recovery_window_in_days(days);
        assert_eq!(refused!(delete), "InvalidParameterException", "{days}");
    }
    let delete = client
        .delete_secret()
        .secret_id("prod/a")
        .recovery_window_in_days(7);
    let gone = delete.clone().send().await.unwrap();
    let seen = client
        .describe_secret()
        .secret_id("prod/a")
        .send()
        .await
        .unwrap();
    let days = gone.deletion_date.unwrap().secs() - seen.deleted_date.unwrap().secs();
    assert_eq!(days, 7 * 86_400);
    let get = client.get_secret_value().secret_id("prod/a");
    assert_eq!(refused!(get.clone()), "InvalidRequestException");
    assert_eq!(refused!(delete), "InvalidRequestException");
    let again = client.create_secret().name("prod/a").secret_string("y");
    assert_eq!(refused!(again.clone()), "InvalidRequestException");
    client
        .restore_secret()
        .secret_id("prod/a")
        .send()
        .await
        .unwrap();
    assert_eq!(
        get.clone().send().await.unwrap().secret_string.as_deref(),
        Some("x")
    );

    let force = client
        .delete_secret()
        .secret_id("prod/a")
        .force_delete_without_recovery(true);
    let both = force.clone().recovery_window_in_days(7);
    assert_eq!(refused!(both), "InvalidParameterException");
    force.clone().send().await.unwrap();
    force.send().await.unwrap();
    assert_eq!(refused!(get), "ResourceNotFoundException");
    let delete = client.delete_secret().secret_id("prod/a");
    assert_eq!(refused!(delete), "ResourceNotFoundException");
    assert_ne!(again.send().await.unwrap().arn.unwrap(), arn);
}

#[tokio::test]
async fn a_random_password_meets_the_request() {
    let place = Place::open().await;
    let get = place.client().get_random_password().password_length(50);
    let get = get.exclude_punctuation(true).exclude_characters("abc");
    let password = get.send().await.unwrap().random_password.unwrap();
    assert_eq!(password.len(), 50);
    assert!(
        password
            .chars()
            .all(|c| c.is_ascii_alphanumeric() && !"abc".contains(c))
    );
}

#[tokio::test]
async fn features_of_aws_alone_are_refused() {
    let place = Place::open().await;
    let client = place.client();
    let region = aws_sdk_secretsmanager::types::ReplicaRegionType::builder();
    let create = client.create_secret().name("a").secret_string("x");
    let replicated = create.add_replica_regions(region.region("eu-west-1").build());
    assert_eq!(refused!(replicated), "InvalidParameterException");
}

#[tokio::test]
async fn no_secret_has_a_resource_policy() {
    let place = Place::open().await;
    let client = place.client();
    let create = client.create_secret().name("a").secret_string("x");
    let arn = create.send().await.unwrap().arn.unwrap();
    let get = client.get_resource_policy().secret_id("a");
    let seen = get.clone().send().await.unwrap();
    assert_eq!(
        (seen.arn(), seen.name(), seen.resource_policy()),
        (Some(&*arn), Some("a"), None)
    );
    let delete = client.delete_resource_policy().secret_id("a");
    assert_eq!(delete.send().await.unwrap().name(), Some("a"));
    let policy = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let put = client.put_resource_policy().secret_id("a");
    let put = put.resource_policy(policy);
    assert_eq!(refused!(put), "MalformedPolicyDocumentException");
    for secret in [None, Some("a".to_owned())] {
        let validate = client.validate_resource_policy().resource_policy(policy);
        let valid = validate.set_secret_id(secret).send().await.unwrap();
        assert!(!valid.policy_validation_passed());
        let errors = valid.validation_errors();
        assert!(errors[0].error_message().unwrap().contains("twinkey keys"));
    }
    let delete = client.delete_secret().secret_id("a");
    delete.send().await.unwrap();
    assert_eq!(refused!(get), "InvalidRequestException");
}
