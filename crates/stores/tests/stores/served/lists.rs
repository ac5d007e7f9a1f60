//! ListSecrets and BatchGetSecretValue: filters, order, pages.

use serde_json::{Value as Json, json};
use sqlx::{Connection, SqliteConnection};

use twinkey_stores::{SecretStore, Selector};

use super::Place;
use crate::subject::secret;

async fn place(secrets: &[(&str, &str)]) -> Place {
    let place = Place::open().await;
    for (name, description) in secrets {
        let body = json!({
            "Name": name, "Description": description, "SecretString": format!("of {name}"),
            "ClientRequestToken": uuid::Uuid::new_v4(), "Tags": [{"Key": "of", "Value": name}],
        });
        let (status, answer) = place.ask("CreateSecret", body).await;
        assert_eq!(status, 200, "{answer}");
    }
    place
}

async fn good(place: &Place, action: &str, body: Json) -> Json {
    let (status, answer) = place.ask(action, body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn names(answer: &Json, list: &str) -> Vec<String> {
    let list = answer[list].as_array().unwrap().iter();
    list.map(|entry| entry["Name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn secrets_are_listed_by_filter_order_and_page() {
    let place = place(&[
        ("prod/b", "Orders"),
        ("prod/a", "Payments"),
        ("dev/a", "orders too"),
    ])
    .await;
    for (asked, wanted) in [
        (json!({}), vec!["prod/b", "prod/a", "dev/a"]),
        (json!({"SortBy": "name"}), vec!["dev/a", "prod/a", "prod/b"]),
        (
            json!({"SortOrder": "desc"}),
            vec!["dev/a", "prod/a", "prod/b"],
        ),
        (
            json!({"Filters": [{"Key": "name", "Values": ["prod/"]}]}),
            vec!["prod/b", "prod/a"],
        ),
        (
            json!({"Filters": [{"Key": "description", "Values": ["ORDERS"]}]}),
            vec!["prod/b", "dev/a"],
        ),
        (
            json!({"Filters": [{"Key": "tag-value", "Values": ["!dev"]}, {"Key": "all", "Values": ["pay"]}]}),
            vec!["prod/a"],
        ),
    ] {
        let answer = good(&place, "ListSecrets", asked.clone()).await;
        assert_eq!(names(&answer, "SecretList"), wanted, "{asked}");
    }

    let page = |token: Option<Json>| {
        let mut asked = json!({"MaxResults": 1, "SortBy": "name", "SortOrder": "desc"});
        if let Some(token) = token {
            asked["NextToken"] = token;
        }
        good(&place, "ListSecrets", asked)
    };
    let first = page(None).await;
    assert_eq!(names(&first, "SecretList"), ["prod/b"]);
    // What the token stands on may be gone by then.
    let force = json!({"SecretId": "prod/b", "ForceDeleteWithoutRecovery": true});
    good(&place, "DeleteSecret", force).await;
    let second = page(Some(first["NextToken"].clone())).await;
    assert_eq!(names(&second, "SecretList"), ["prod/a"]);
    let third = page(Some(second["NextToken"].clone())).await;
    assert_eq!(
        (names(&third, "SecretList"), &third["NextToken"]),
        (vec!["dev/a".into()], &Json::Null)
    );
    let of_another = json!({"NextToken": first["NextToken"]});
    let (_, refused) = place.ask("ListSecrets", of_another).await;
    assert_eq!(refused["__type"], "InvalidNextTokenException");

    good(&place, "DeleteSecret", json!({"SecretId": "dev/a"})).await;
    assert_eq!(
        names(&good(&place, "ListSecrets", json!({})).await, "SecretList"),
        ["prod/a"]
    );
    let planned = good(
        &place,
        "ListSecrets",
        json!({"IncludePlannedDeletion": true}),
    )
    .await;
    assert_eq!(names(&planned, "SecretList"), ["prod/a", "dev/a"]);
    assert!(planned["SecretList"][1]["DeletedDate"].is_f64());
}

#[tokio::test]
async fn searches_find_words_in_any_order() {
    let place = place(&[
        ("SecretOne", "Description of my secret"),
        ("prod+AppBeta", "The enemy"),
        ("uat/COMPANYthings", "mine, my secret"),
    ])
    .await;
    for (key, value, wanted) in [
        ("description", "My Description", &["SecretOne"][..]),
        (
            "description",
            "MY_SECRET",
            &["SecretOne", "uat/COMPANYthings"],
        ),
        ("all", "my", &["SecretOne", "uat/COMPANYthings"]),
        ("all", "Beta", &["prod+AppBeta"]),
        ("all", "sec o", &["SecretOne"]),
        ("all", "ret", &[]),
        ("all", "+", &[]),
        ("all", "Ythings", &["uat/COMPANYthings"]),
        ("all", "!secret", &["prod+AppBeta"]),
    ] {
        let filters = json!({"Filters": [{"Key": key, "Values": [value]}]});
        let answer = good(&place, "ListSecrets", filters.clone()).await;
        assert_eq!(names(&answer, "SecretList"), wanted, "{key} {value}");
        let answer = good(&place, "BatchGetSecretValue", filters).await;
        let mut read = names(&answer, "SecretValues");
        read.sort();
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        assert_eq!(read, wanted, "{key} {value}");
    }
}

#[tokio::test]
async fn a_batch_has_a_value_or_an_error_for_each_secret() {
    let place = place(&[("prod/a", ""), ("prod/b", ""), ("dev/a", "")]).await;
    let body = json!({"SecretIdList": ["prod/b", "prod/none", "dev/a"]}).to_string();
    let headers = place.signed(&place.app, "BatchGetSecretValue", &body);
    let (status, answer) = place.answer(&headers, &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["SecretValues"][0]["SecretString"], "of prod/b");
    assert_eq!(answer["SecretValues"].as_array().unwrap().len(), 1);
    let errors: Vec<_> = answer["Errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["SecretId"].as_str().unwrap(),
                error["ErrorCode"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        errors,
        [
            ("prod/none", "ResourceNotFoundException"),
            ("dev/a", "AccessDeniedException")
        ]
    );

    let filter = json!([{"Key": "name", "Values": ["prod", "dev"]}]);
    let first = good(
        &place,
        "BatchGetSecretValue",
        json!({"Filters": filter, "MaxResults": 2}),
    )
    .await;
    assert_eq!(names(&first, "SecretValues"), ["dev/a", "prod/a"]);
    let rest = json!({"Filters": filter, "MaxResults": 2, "NextToken": first["NextToken"]});
    let rest = good(&place, "BatchGetSecretValue", rest).await;
    assert_eq!(
        (names(&rest, "SecretValues"), &rest["NextToken"]),
        (vec!["prod/b".into()], &Json::Null)
    );

    let (invalid, violation) = ("InvalidParameterException", "ValidationException");
    for (wrong, name) in [
        (json!({}), invalid),
        (
            json!({"SecretIdList": ["prod/a"], "Filters": filter}),
            invalid,
        ),
        (
            json!({"SecretIdList": ["prod/a"], "MaxResults": 1}),
            invalid,
        ),
        (json!({"SecretIdList": vec!["prod/a"; 21]}), violation),
        (json!({"Filters": filter, "MaxResults": 21}), violation),
    ] {
        let (_, refused) = place.ask("BatchGetSecretValue", wrong.clone()).await;
        assert_eq!(refused["__type"], name, "{wrong}");
    }
}

#[tokio::test]
async fn secrets_of_other_writers_are_listed() {
    let place = place(&[]).await;
    place
        .beside
        .create_or_put("prod/a", &secret("x"))
        .await
        .unwrap();
    assert_eq!(
        names(&good(&place, "ListSecrets", json!({})).await, "SecretList"),
        ["prod/a"]
    );
}

#[tokio::test]
async fn the_day_of_the_last_read_is_shown_and_sorts() {
    let place = place(&[("dev/a", ""), ("dev/b", ""), ("dev/c", "")]).await;
    let day = async |name: &str| {
        let described = good(&place, "DescribeSecret", json!({"SecretId": name})).await;
        described["LastAccessedDate"].as_f64()
    };
    let read = good(&place, "GetSecretValue", json!({"SecretId": "dev/b"})).await;
    place.served.record_reads().await;
    let first = day("dev/b").await.unwrap();
    let created = read["CreatedDate"].as_f64().unwrap();
    assert!(first % 86_400.0 == 0.0 && (created - first).abs() < 2.0 * 86_400.0);
    // Neither a description nor a read of the file is a read of an application.
    let label = Selector::Stage("AWSCURRENT");
    place.beside.get("dev/c", label).await.unwrap();
    place.served.record_reads().await;
    assert_eq!((day("dev/a").await, day("dev/c").await), (None, None));

    let order = json!({"SortBy": "last-accessed-date", "SortOrder": "desc"});
    let list = good(&place, "ListSecrets", order).await;
    assert_eq!(names(&list, "SecretList")[0], "dev/b");
    assert_eq!(
        list["SecretList"][0]["LastAccessedDate"].as_f64(),
        Some(first)
    );
}

#[tokio::test]
async fn a_damaged_secret_does_not_hide_the_others() {
    let place = place(&[("prod/a", ""), ("prod/b", "")]).await;
    let url = format!("sqlite://{}", place.file().display());
    let mut db = SqliteConnection::connect(&url).await.unwrap();
    let edit = "UPDATE secrets SET label_seal = NULL WHERE name = 'prod/a'";
    sqlx::raw_sql(edit).execute(&mut db).await.unwrap();
    db.close().await.unwrap();

    let listed = good(&place, "ListSecrets", json!({"SortBy": "name"})).await;
    assert_eq!(names(&listed, "SecretList"), ["prod/a", "prod/b"]);
    let labels = |n: usize| &listed["SecretList"][n]["SecretVersionsToStages"];
    assert!(labels(0).is_null() && labels(1).is_object(), "{listed}");
    let filters = json!({"Filters": [{"Key": "name", "Values": ["prod/"]}]});
    let batch = good(&place, "BatchGetSecretValue", filters).await;
    assert_eq!(names(&batch, "SecretValues"), ["prod/b"]);
    let error = &batch["Errors"][0];
    assert_eq!(
        (&error["SecretId"], &error["ErrorCode"]),
        (&json!("prod/a"), &json!("DecryptionFailure"))
    );
}
