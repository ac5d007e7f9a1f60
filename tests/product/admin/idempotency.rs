//! Requests with an `Idempotency-Key`, whose client disconnects before the answer.

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value as Json, json};
use sqlx::{Connection, SqliteConnection};
use twinkey_stores::stage;

use super::{Endpoint, TOKEN};
use crate::serving::health::locked_journal;
use twinkey_testkit::environment::{Setup, until};

impl Endpoint {
    async fn keyed(&self, action: &str, key: &str, body: &Json) -> (u16, Json) {
        let path = format!("/v1/rotations/shop/{action}");
        let request = self.post(&path, &body.to_string());
        self.answer(request.header("Idempotency-Key", key)).await
    }

    /// Sends a request whose client waits for its answer only while the journal is locked.
    async fn lost(&self, action: &str, key: &str, body: &Json) {
        let mut lock = locked_journal(&self.env).await;
        let client = Client::builder().timeout(Duration::from_millis(700));
        let error = client
            .build()
            .unwrap()
            .post(format!("{}/v1/rotations/shop/{action}", self.url))
            .bearer_auth(TOKEN)
            .header("Idempotency-Key", key)
            .body(body.to_string())
            .send()
            .await
            .unwrap_err();
        assert!(error.is_timeout(), "{action}: {error}");
        sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    }

    /// The outcomes of the recorded actions of one kind, newest first.
    async fn recorded(&self, action: &str) -> Vec<Json> {
        let records = self.json(&format!("/v1/audit?action={action}")).await;
        let records = records.as_array().unwrap().iter();
        records.map(|record| record["outcome"].clone()).collect()
    }

    async fn current(&self) -> Json {
        self.env.read(stage::CURRENT).await.0["username"].clone()
    }

    async fn is_paused(&self) -> bool {
        !self.json("/v1/rotations/shop").await["paused"].is_null()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_is_lost_has_one_effect() {
    let mut endpoint = Endpoint::open(Setup::default()).await;
    let nothing = json!({});
    let (status, run) = endpoint.keyed("rotate", "deploy", &nothing).await;
    assert_eq!(status, 202, "{run}");
    until("the run has ended", async || {
        endpoint.json("/v1/rotations/shop").await["state"] == "idle"
    })
    .await;
    assert_eq!(endpoint.current().await, "app_clone");

    endpoint.lost("rollback", "back", &nothing).await;
    until("it continues without its client", async || {
        endpoint.recorded("rollback").await == ["done"]
    })
    .await;
    let back = endpoint.keyed("rollback", "back", &nothing).await;
    let users = json!({"from_user": "app_clone", "to_user": "app"});
    assert_eq!(back, (200, users));
    // A refusal has no effect, and is not remembered.
    assert_eq!(endpoint.keyed("rollback", "b2", &nothing).await.0, 409);
    // Without its key, each of these would move AWSCURRENT.
    let again = json!({"again": true});
    let all = (0..4).map(|_| endpoint.keyed("rollback", "b2", &again));
    let users = json!({"from_user": "app", "to_user": "app_clone"});
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer, (200, users.clone()));
    }
    assert_eq!(endpoint.current().await, "app_clone");
    let moves = ["done", "refused", "done"];
    assert_eq!(endpoint.recorded("rollback").await, moves);

    endpoint
        .lost("pause", "p", &json!({"reason": "tonight"}))
        .await;
    until("it is paused", async || endpoint.is_paused().await).await;
    endpoint.lost("resume", "r", &nothing).await;
    until("it is resumed", async || !endpoint.is_paused().await).await;
    let paused = json!({"rotation": "shop", "paused": true});
    let answer = endpoint.keyed("pause", "p", &json!({})).await;
    assert_eq!(answer, (200, paused.clone()), "a reason does not count");
    assert!(!endpoint.is_paused().await, "it has no second effect");

    // Another worker has the answers, too.
    endpoint.serve.kill().await.unwrap();
    let address = endpoint.url.strip_prefix("http://").unwrap().to_owned();
    endpoint.serve = endpoint.env.serve(&address).await;
    assert_eq!(endpoint.keyed("pause", "p", &nothing).await, (200, paused));
    assert!(!endpoint.is_paused().await);
    assert_eq!(endpoint.keyed("pause", "p2", &nothing).await.0, 200);
    let resumed = json!({"rotation": "shop", "paused": false});
    assert_eq!(
        endpoint.keyed("resume", "r", &nothing).await,
        (200, resumed)
    );
    assert!(endpoint.is_paused().await, "that of p2");

    for (action, key, body) in [
        ("rotate", "deploy", json!({"force": true})),
        ("rollback", "back", again),
        ("pause", "p", json!({"until": "2100-01-31T12:00:00Z"})),
        ("resume", "p", nothing.clone()),
        ("rotate", "p", nothing.clone()),
    ] {
        let (status, problem) = endpoint.keyed(action, key, &body).await;
        assert_eq!(status, 409, "{action} {key}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("belongs to another request"), "{detail}");
    }
    assert_eq!(endpoint.recorded("rotate").await, ["done"]);

    // Its worker exited during the request.
    let journal = endpoint.env.folder.path().join("journal.db");
    let url = format!("sqlite://{}", journal.display());
    let mut journal = SqliteConnection::connect(&url).await.unwrap();
    let open = "UPDATE keyed_requests SET answer = NULL WHERE key = 'b2'";
    sqlx::raw_sql(open).execute(&mut journal).await.unwrap();
    let (status, problem) = endpoint
        .keyed("rollback", "b2", &json!({"again": true}))
        .await;
    assert_eq!(status, 409, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("its end is not recorded"), "{detail}");
    assert_eq!(endpoint.current().await, "app_clone");
}
