//! Interface of AWS's agent: paths, headers, statuses and bodies.

use reqwest::{Client, Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};
use twinkey_stores::stage::PENDING;
use twinkey_stores::{SecretStore, VersionId};

use super::Place;
use crate::subject::secret;

const TOKEN: &str = "X-Aws-Parameters-Secrets-Token";

async fn place() -> (Place, VersionId) {
    let place = Place::open().await;
    let first = place
        .beside
        .create_or_put("prod/a", &secret("one"))
        .await
        .unwrap();
    place
        .beside
        .create_or_put("dev/a", &secret("hunter2-hunter2"))
        .await
        .unwrap();
    (place, first)
}

fn get(place: &Place, path: &str) -> RequestBuilder {
    Client::new().get(format!("{}{path}", place.url()))
}

async fn answer(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn with_token(place: &Place, path: &str) -> (u16, String) {
    answer(get(place, path).header(TOKEN, place.app.token().expose_secret())).await
}

#[tokio::test]
async fn a_secret_is_read_by_query_and_by_path() {
    let (place, first) = place().await;
    let second = VersionId(uuid::Uuid::new_v4().to_string());
    place
        .beside
        .put("prod/a", &second, &secret("two"), PENDING)
        .await
        .unwrap();
    for (path, value) in [
        ("/secretsmanager/get?secretId=prod%2Fa", "one"),
        (
            "/secretsmanager/get?secretId=prod/a&versionStage=AWSPENDING&refreshNow=true",
            "two",
        ),
        (
            &format!("/secretsmanager/get?secretId=prod/a&versionId={second}"),
            "two",
        ),
        ("/v1/prod/a", "one"),
        ("/v1/prod/a?versionStage=AWSPENDING&refreshNow=0", "two"),
    ] {
        let (status, body) = with_token(&place, path).await;
        let body: Json = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, &body["SecretString"]),
            (200, &json!(value)),
            "{path}"
        );
        assert_eq!(body["Name"], "prod/a");
        let created = body["CreatedDate"].as_str().unwrap();
        assert!(created.parse::<f64>().is_ok(), "{created}");
    }
    let (_, body) = with_token(&place, "/v1/prod/a").await;
    let body: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(body["VersionId"], json!(first));
    assert_eq!(body["VersionStages"], json!(["AWSCURRENT"]));
    let old_header =
        get(&place, "/v1/prod/a").header("X-Vault-Token", place.app.token().expose_secret());
    assert_eq!(answer(old_header).await.0, 200);
}

#[tokio::test]
async fn refusals_have_the_status_and_text_of_the_agent() {
    let (place, _) = place().await;
    let path = "/secretsmanager/get?secretId=prod/a";
    let token = place.app.token();
    let token = token.expose_secret();
    assert_eq!(answer(get(&place, "/ping")).await, (200, "healthy".into()));
    assert_eq!(answer(get(&place, path)).await, (403, "Bad Token".into()));
    for wrong in [
        "",
        "x",
        &place.app.id,
        &token[..token.len() - 1],
        place.app.secret.expose_secret(),
    ] {
        let asked = get(&place, path).header(TOKEN, wrong);
        assert_eq!(answer(asked).await, (403, "Bad Token".into()), "{wrong}");
    }
    let forwarded = get(&place, path)
        .header(TOKEN, token)
        .header("X-Forwarded-For", "10.0.0.1");
    assert_eq!(answer(forwarded).await, (400, "Forwarded".into()));
    let posted = Client::new().request(Method::POST, format!("{}{path}", place.url()));
    assert_eq!(
        answer(posted.header(TOKEN, token)).await,
        (405, "Not allowed".into())
    );
    for (path, status, words) in [
        ("/nowhere", 404, "Not found"),
        ("/v1/", 400, "missing secret ID"),
        ("/secretsmanager/get", 400, "missing parameter secretId"),
        (
            "/secretsmanager/get?secretId=prod/a&x=1",
            400,
            "unknown parameter: x",
        ),
        ("/v1/prod/a?refreshNow=yes", 400, "invalid refreshNow value"),
    ] {
        assert_eq!(
            with_token(&place, path).await,
            (status, words.into()),
            "{path}"
        );
    }
    for (path, name) in [
        ("/v1/prod/none", "ResourceNotFoundException"),
        ("/v1/prod/a?versionStage=none", "ResourceNotFoundException"),
        ("/v1/dev/a", "AccessDeniedException"),
    ] {
        let (status, body) = with_token(&place, path).await;
        let body: Json = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["__type"]), (400, &json!(name)), "{path}");
        assert!(body["message"].is_string(), "{body}");
    }
}
