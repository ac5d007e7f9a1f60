//! The effect of each route.

use serde_json::Value as Json;
use twinkey_stores::stage;

use super::Endpoint;
use twinkey_testkit::environment::{Setup, until};

async fn rotated(endpoint: &Endpoint, body: &str) -> Json {
    let (status, begun) = endpoint
        .answer(endpoint.post("/v1/rotations/shop/rotate", body))
        .await;
    assert_eq!(status, 202, "{begun}");
    let path = format!("/v1/runs/{}", begun["id"].as_str().unwrap());
    until("the run has finished", async || {
        endpoint.json(&path).await["state"] != "running"
    })
    .await;
    let run = endpoint.json(&path).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_work_like_the_commands_and_are_logged_with_the_peer() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let (status, problem) = endpoint
        .answer(endpoint.post("/v1/rotations/shop/rollback", ""))
        .await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &"secret_not_found".into()),
        "there is no AWSPREVIOUS"
    );
    rotated(&endpoint, r#"{"reason":"first of all"}"#).await;
    let body = r#"{"reason":"back again"}"#;
    let (status, done) = endpoint
        .answer(endpoint.post("/v1/rotations/shop/rollback", body))
        .await;
    assert_eq!(status, 200, "{done}");
    assert_eq!(
        done,
        serde_json::json!({"from_user": "app_clone", "to_user": "app"})
    );
    assert_eq!(endpoint.env.read(stage::CURRENT).await.0["username"], "app");

    for (action, state) in [("pause", "paused"), ("resume", "idle")] {
        let path = format!("/v1/rotations/shop/{action}");
        let (status, done) = endpoint
            .answer(endpoint.post(&path, r#"{"reason":"tonight"}"#))
            .await;
        assert_eq!((status, done["paused"] == true), (200, action == "pause"));
        assert_eq!(endpoint.json("/v1/rotations/shop").await["state"], state);
    }
    let log = endpoint.log();
    for (asked, reason) in [
        ("rotate", "first of all"),
        ("rollback", "back again"),
        ("pause", "tonight"),
        ("resume", "tonight"),
    ] {
        let is_logged = |line: &str| {
            let has = |what: &str| line.contains(what);
            has("admin action requested")
                && has(&format!("action=\"{asked}\""))
                && has(reason)
                && has("peer=127.0.0.1:")
                && has("actor=\"admin\"")
        };
        assert!(log.lines().any(is_logged), "{asked}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_and_check_return_the_output_of_the_commands() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let here = async |args: &[&str]| -> Json {
        serde_json::from_str(&endpoint.env.run_ok(args).await).unwrap()
    };
    let plan = endpoint.json("/v1/rotations/shop/plan").await;
    assert_eq!(plan, here(&["plan", "shop", "--json"]).await);
    assert!(plan["changes"].as_array().unwrap().len() > 2, "{plan}");
    let check = endpoint.json("/v1/rotations/shop/check").await;
    assert_eq!(check, here(&["check", "shop", "--json"]).await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_newest_first_by_page_and_by_state() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.insert(0, rotated(&endpoint, "").await);
    }
    let runs = async |query: &str| {
        let runs = endpoint.json(&format!("/v1/runs{query}")).await;
        runs.as_array().unwrap().clone()
    };
    assert_eq!(runs("").await, made);
    assert_eq!(runs("?limit=2").await, made[..2]);
    let last = made[1]["id"].as_str().unwrap();
    assert_eq!(runs(&format!("?limit=2&before={last}")).await, made[2..]);
    assert_eq!(runs("?rotation=shop&state=succeeded").await, made);
    assert_eq!(runs("?state=failed").await, Vec::<Json>::new());
    assert_eq!(runs("?rotation=other").await, Vec::<Json>::new());
    for wrong in [
        "?limit=0",
        "?limit=501",
        "?limit=x",
        "?state=gone",
        "?before=1",
        "?page=2",
    ] {
        let (status, problem) = endpoint
            .answer(endpoint.get(&format!("/v1/runs{wrong}")))
            .await;
        assert_eq!(status, 400, "{wrong}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_requests_get_a_problem_and_change_nothing() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let before = endpoint.env.state().await;
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(1001));
    let huge = "x".repeat(20_000);
    for action in ["rotate", "rollback", "pause", "resume"] {
        let path = format!("/v1/rotations/shop/{action}");
        for (body, status) in [
            ("{", 400),
            ("[]", 400),
            ("null", 400),
            (r#"{"fource":true}"#, 400),
            (long.as_str(), 400),
            (huge.as_str(), 413),
        ] {
            let (answered, problem) = endpoint.answer(endpoint.post(&path, body)).await;
            assert_eq!(answered, status, "{action}: {problem}");
            assert_eq!(problem["status"], status);
        }
        let path = format!("/v1/rotations/%ff/{action}");
        assert_eq!(endpoint.answer(endpoint.post(&path, "")).await.0, 404);
    }
    for path in [
        "/v1/rotations/shup/plan",
        "/v1/rotations/shup/check",
        "/v1/runs/1",
        "/v1/runs/%ff",
    ] {
        assert_eq!(endpoint.answer(endpoint.get(path)).await.0, 404, "{path}");
    }
    for key in ["", &"k".repeat(256)] {
        let request = endpoint
            .post("/v1/rotations/shop/rotate", "")
            .header("Idempotency-Key", key);
        assert_eq!(endpoint.answer(request).await.0, 400);
    }
    assert_eq!(endpoint.env.state().await, before, "nothing changed");
    assert_eq!(endpoint.json("/v1/runs").await, Json::Array(Vec::new()));
}
