//! Rotations on demand through the endpoint of a worker.

use reqwest::StatusCode;
use serde_json::Value as Json;
use twinkey_stores::stage;

use super::worker::{runs, terminate};
use twinkey_testkit::environment::{Environment, Setup, free_address, until};

const TOKEN: &str = "an-admin-token-of-some-length";

fn guarded(address: &str) -> String {
    format!("[server]\nlisten = \"{address}\"\nadmin_token_file = \"token\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_rotates_only_with_the_token() {
    let address = free_address();
    let env = Environment::open(Setup {
        config: guarded(&address),
        ..Setup::default()
    })
    .await;
    std::fs::write(env.folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let mut serve = env.serve(&address).await;
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{address}{path}");
    let before = env.state().await;

    for token in [None, Some("a-wrong-token-of-some-length"), Some("")] {
        for (method, path) in [
            ("POST", "/v1/rotations/shop/rotate"),
            ("GET", "/v1/rotations"),
            ("GET", "/v1/rotations/shop"),
            ("GET", "/v1/runs/00000000-0000-0000-0000-000000000000"),
            ("GET", "/v1/nothing"),
        ] {
            let mut request = client.request(method.parse().unwrap(), url(path));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(
                answer.status(),
                StatusCode::UNAUTHORIZED,
                "{method} {path} with {token:?}"
            );
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    }
    assert_eq!(env.state().await, before, "nothing changed");
    assert_eq!(runs(&env).await, Json::Array(Vec::new()));

    let post = async |name: &str, body: &str, key: Option<&str>| {
        let mut request = client
            .post(url(&format!("/v1/rotations/{name}/rotate")))
            .bearer_auth(TOKEN)
            .body(body.to_owned());
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        request.send().await.unwrap()
    };
    let answer = post("shop", r#"{"reason":"a test"}"#, Some("one")).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let begun: Json = answer.json().await.unwrap();
    assert_eq!(
        location,
        format!("/v1/runs/{}", begun["id"].as_str().unwrap())
    );
    let get = async |path: &str| {
        client
            .get(url(path))
            .bearer_auth(TOKEN)
            .send()
            .await
            .unwrap()
    };
    until("the run has finished", async || {
        get(&location).await.json::<Json>().await.unwrap()["state"] != "running"
    })
    .await;
    let ended: Json = get(&location).await.json().await.unwrap();
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let steps: Vec<&str> = ended["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    assert_eq!(steps, ["create", "set", "test", "finish"]);
    assert_eq!(
        (ended["trigger"].as_str(), ended["reason"].as_str()),
        (Some("manual"), Some("a test"))
    );
    assert_eq!(
        env.read(stage::CURRENT).await.1.0,
        ended["version_id"].as_str().unwrap()
    );

    let again: Json = post("shop", "", Some("one")).await.json().await.unwrap();
    assert_eq!(
        again["id"], ended["id"],
        "the same key returns the same run"
    );
    let rotation: Json = get("/v1/rotations/shop").await.json().await.unwrap();
    assert_eq!(rotation["active_user"], "app_clone");
    assert_eq!(
        get("/v1/rotations").await.json::<Json>().await.unwrap()[0],
        rotation
    );

    for (answer, status) in [
        (post("missing", "", None).await, 404),
        (post("shop", "{\"fource\":true}", None).await, 400),
        (post("shop", &"x".repeat(20_000), None).await, 413),
        (get("/v1/nothing").await, 404),
        (get("/v1/runs/not-a-uuid").await, 404),
        (
            client
                .delete(url("/v1/rotations"))
                .bearer_auth(TOKEN)
                .send()
                .await
                .unwrap(),
            405,
        ),
    ] {
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert_eq!(answer.json::<Json>().await.unwrap()["status"], status);
    }
    assert_eq!(
        reqwest::get(url("/healthz")).await.unwrap().status(),
        StatusCode::OK
    );

    terminate(&serve);
    assert!(
        serve.wait().await.unwrap().success(),
        "SIGTERM ends the worker with status 0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_rotation_inside_min_interval_gets_409() {
    let address = free_address();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        rotation: "min_interval = \"1h\"".into(),
        ..Setup::default()
    })
    .await;
    env.run_ok(&["rotate", "shop"]).await;
    let _serve = env.serve(&address).await;
    let url = format!("http://{address}/v1/rotations/shop/rotate");
    let answer = reqwest::Client::new().post(url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert_eq!(answer.json::<Json>().await.unwrap()["code"], "too_soon");
}
