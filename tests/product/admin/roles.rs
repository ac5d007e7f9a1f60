//! Roles and rotations of tokens, on every route of the endpoint.

use reqwest::Method;
use serde_json::Value as Json;
use sqlx::{Connection, SqliteConnection};
use twinkey::admin::all_routes;

use super::dashboard::DashboardClient;
use super::events::EventStream;
use super::{Endpoint, TOKEN};
use twinkey_testkit::environment::{Setup, until};

const PUBLIC: [&str; 3] = ["/healthz", "/readyz", "/openapi.json"];
/// Named tokens: name, role, and pattern of rotations.
const TOKENS: [(&str, &str, &str); 4] = [
    ("viewer", "viewer", "*"),
    ("shop-operator", "operator", "sh*"),
    ("other-operator", "operator", "other-*"),
    ("other-viewer", "viewer", "other-*"),
];

fn secret(name: &str) -> String {
    format!("the-token-of-{name}-0123")
}

/// A worker with the rotations `shop` and `other-a`, and named tokens besides the admin token.
async fn open() -> Endpoint {
    let mut config = String::from(
        "[[rotation]]\nname = \"other-a\"\nsecret = \"prod/other\"\nmaster_secret = \"prod/master\"\n",
    );
    for (name, role, pattern) in TOKENS {
        let rotations = match pattern {
            "*" => String::new(),
            pattern => format!("rotations = [\"{pattern}\"]\n"),
        };
        config += &format!(
            "[[token]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken = \"file:{name}\"\n{rotations}"
        );
    }
    let folder_is_filled = |env: &twinkey_testkit::environment::Environment| {
        for (name, ..) in TOKENS {
            std::fs::write(env.folder.path().join(name), secret(name)).unwrap();
        }
    };
    Endpoint::open_after(
        Setup {
            config,
            ..Setup::default()
        },
        folder_is_filled,
    )
    .await
}

async fn send(endpoint: &Endpoint, method: &str, path: &str, token: &str) -> (u16, String) {
    let url = format!("{}{path}", endpoint.url);
    let method: Method = method.parse().unwrap();
    let request = endpoint.client.request(method, url).bearer_auth(token);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    if path == "/v1/events" && status == 200 {
        return (status, String::new());
    }
    (status, response.text().await.unwrap())
}

/// A run of `shop`, which has ended.
async fn run(endpoint: &Endpoint) -> String {
    let (status, run) = endpoint
        .answer(endpoint.post("/v1/rotations/shop/rotate", ""))
        .await;
    assert_eq!(status, 202, "{run}");
    let id = run["id"].as_str().unwrap().to_owned();
    until("the run has ended", async || {
        endpoint.json(&format!("/v1/runs/{id}")).await["state"] != "running"
    })
    .await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn every_api_route_obeys_role_and_rotations() {
    let endpoint = open().await;
    let id = run(&endpoint).await;
    let document = endpoint.json("/openapi.json").await;
    let mut described = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described += 1;
            let path = path.replace("{name}", "shop").replace("{id}", &id);
            let is_of_shop = path.contains("/shop") || path.contains(&id);
            let changes = method != "get";
            let public = PUBLIC.contains(&path.as_str());
            for (token, role, pattern) in TOKENS {
                let method = method.to_uppercase();
                let (status, body) = send(&endpoint, &method, &path, &secret(token)).await;
                let expected = match pattern {
                    _ if public => None,
                    _ if changes && role == "viewer" => Some(403),
                    "*" => None,
                    _ if path == "/metrics" => Some(403),
                    "other-*" if is_of_shop => Some(404),
                    _ => None,
                };
                let case = format!("{method} {path} as {token}: {status} {body}");
                match expected {
                    Some(expected) => {
                        assert_eq!(status, expected, "{case}");
                        let problem: Json = serde_json::from_str(&body).expect(&case);
                        assert!(!problem["hint"].as_str().unwrap().is_empty(), "{case}");
                    }
                    None => assert!(![401, 403, 404].contains(&status), "{case}"),
                }
                let reveals = token.starts_with("other-") && expected.is_none() && !public;
                assert!(!reveals || !body.contains("shop"), "{case}");
            }
        }
    }
    assert!(described > 12);
    for (token, rotations, runs) in [("viewer", 2, true), ("other-viewer", 1, false)] {
        let list = async |path: &str| {
            let (_, body) = send(&endpoint, "GET", path, &secret(token)).await;
            serde_json::from_str::<Vec<Json>>(&body).unwrap()
        };
        assert_eq!(list("/v1/rotations").await.len(), rotations, "{token}");
        for path in ["/v1/runs", "/v1/runs?rotation=shop"] {
            assert_eq!(!list(path).await.is_empty(), runs, "{token}: {path}");
        }
    }
    let log = endpoint.log();
    let logged = |line: &str| line.contains("action=\"pause\"") && line.contains("shop-operator");
    assert!(log.lines().any(logged), "{log}");
    for (token, ..) in TOKENS {
        assert!(!log.contains(&secret(token)));
    }
}

/// A rotation that was disarmed is no rotation of the worker any more, and has its record.
#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_disarmed_rotation_are_listed_by_pattern() {
    let endpoint = open().await;
    let journal = endpoint.env.folder.path().join("journal.db");
    let mut db = SqliteConnection::connect(&format!("sqlite://{}", journal.display()))
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO audit (id, at, actor, action, rotation, reason, outcome)
         VALUES (?1, ?2, ?3, 'discover', 'other-gone', 'disarmed: it was deleted', 'done')",
    )
    .bind(uuid::Uuid::new_v4().to_string())
    .bind(4_000_000_000_000_000_i64)
    .bind(r#"{"kind":"worker","name":"w","address":null}"#)
    .execute(&mut db)
    .await
    .unwrap();
    db.close().await.unwrap();
    for (token, _, pattern) in TOKENS {
        let expected = usize::from(pattern != "sh*");
        for query in ["", "&rotation=other-gone"] {
            let path = format!("/v1/audit?action=discover{query}");
            let (_, body) = send(&endpoint, "GET", &path, &secret(token)).await;
            let records: Vec<Json> = serde_json::from_str(&body).unwrap();
            assert_eq!(records.len(), expected, "{path} as {token}: {body}");
        }
        let session = DashboardClient::signed_in(&endpoint.url, &secret(token)).await;
        let page = session.get("/events?action=discover").await.html;
        assert_eq!(page.contains("other-gone"), expected == 1, "{token}");
        let mut history = endpoint.env.command(env!("CARGO_BIN_EXE_twinkey"));
        history.args(["history", "other-gone", "--server", &endpoint.url]);
        let history = history.env("TWINKEY_TOKEN", secret(token)).output().await;
        let history = history.unwrap();
        let text = String::from_utf8(history.stdout).unwrap();
        assert_eq!(history.status.success(), expected == 1, "{token}: {text}");
        assert_eq!(text.contains("it was deleted"), expected == 1, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_obeys_role_and_rotations() {
    let endpoint = open().await;
    run(&endpoint).await;
    let before = endpoint.env.state().await;
    let public = ["/sign-in", "/sign-out"];
    let described = endpoint.json("/openapi.json").await;
    for (token, role, pattern) in TOKENS {
        let session = DashboardClient::signed_in(&endpoint.url, &secret(token)).await;
        for (method, route) in all_routes() {
            let is_page = described["paths"].get(route).is_none() && !route.starts_with("/assets");
            if !is_page || public.contains(&route) {
                continue;
            }
            let path = route.replace("{name}", "shop");
            let response = session.ask(method.parse().unwrap(), &path).send().await;
            let status = response.unwrap().status().as_u16();
            let of_all = !route.contains("{name}");
            let reads = [
                "/",
                "/events",
                "/rotations/{name}",
                "/rotations/{name}/database-check",
            ];
            let is_action = !reads.contains(&route);
            let expected = match (method, role) {
                _ if is_action && role == "viewer" => 403,
                // No CSRF token.
                ("POST", _) => 403,
                _ if pattern == "other-*" && !of_all => 404,
                _ => 200,
            };
            assert_eq!(status, expected, "{method} {path} as {token}");
        }
        let overview = session.get("/").await.html;
        assert_eq!(
            overview.contains("shop"),
            !token.starts_with("other-"),
            "{token}"
        );
        if role == "operator" {
            let paused = session.get("/pause").await.html;
            assert_eq!(paused.contains("shop"), pattern != "other-*", "{token}");
        }
        for path in ["/events", "/events?rotation=shop"] {
            let events = session.get(path).await.html;
            assert_eq!(
                events.contains("href=\"/rotations/shop\""),
                pattern != "other-*",
                "{path} as {token}"
            );
        }
        if pattern != "other-*" {
            let page = session.get("/rotations/shop").await.html;
            let has_actions = page.contains("href=\"/rotations/shop/rotate\"");
            assert_eq!(has_actions, role == "operator", "{token}");
        }
    }
    assert_eq!(endpoint.env.state().await, before, "nothing happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_other_rotations_are_not_sent() {
    let endpoint = open().await;
    let mut all = EventStream::open(&endpoint, "", None).await;
    let own = secret("other-viewer");
    let mut scoped = EventStream::open_as(&endpoint, &own, "").await;
    let mut filtered = EventStream::open_as(&endpoint, &own, "?rotation=shop").await;
    for name in ["shop", "other-a"] {
        let path = format!("/v1/rotations/{name}/pause");
        assert_eq!(endpoint.answer(endpoint.post(&path, "")).await.0, 200);
    }
    assert_eq!(all.next().await.unwrap().data["rotation"], "shop");
    assert_eq!(scoped.next().await.unwrap().data["rotation"], "other-a");
    crate::serving::worker::signal(&endpoint.serve, "TERM");
    assert_eq!(filtered.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_token_file_is_reloaded() {
    let endpoint = open().await;
    let status = async |token: &str| send(&endpoint, "GET", "/v1/rotations", token).await.0;
    let session = DashboardClient::signed_in(&endpoint.url, &secret("viewer")).await;
    let file = endpoint.env.folder.path().join("viewer");
    std::fs::remove_file(endpoint.env.folder.path().join("other-viewer")).unwrap();
    std::fs::write(file, "the-new-token-of-viewer").unwrap();
    until("the new token is active", async || {
        // Each wrong token is counted.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        status("the-new-token-of-viewer").await == 200
    })
    .await;
    assert_eq!(status(&secret("viewer")).await, 401);
    assert_eq!(session.get("/").await.status, 401, "its session has ended");
    assert_eq!(
        status(&secret("other-viewer")).await,
        200,
        "its file is missing"
    );
    assert_eq!(status(TOKEN).await, 200);
}
