//! The records of actions: who did what, why, and with which outcome.

use serde_json::{Value as Json, json};

use super::dashboard::DashboardClient;
use super::{Endpoint, TOKEN};
use twinkey_testkit::environment::{Setup, until};

async fn audit(endpoint: &Endpoint, query: &str) -> Vec<Json> {
    let records = endpoint.json(&format!("/v1/audit{query}")).await;
    records.as_array().unwrap().clone()
}

/// Action, outcome and code of records.
fn outcomes(records: &[Json]) -> Vec<(String, String, String)> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let outcome = |r: &Json| (text(&r["action"]), text(&r["outcome"]), text(&r["code"]));
    records.iter().map(outcome).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_is_on_record_with_actor_reason_and_outcome() {
    let endpoint = Endpoint::open(Setup {
        rotation: "min_interval = \"1h\"".into(),
        ..Setup::default()
    })
    .await;
    let act = async |action: &str, body: Json| {
        let path = format!("/v1/rotations/shop/{action}");
        let request = endpoint.post(&path, &body.to_string());
        endpoint.answer(request).await
    };
    act("rollback", json!({"reason": "too early"})).await;
    let (status, run) = act("rotate", json!({"reason": "deploy 4711"})).await;
    assert_eq!(status, 202, "{run}");
    until("the run has ended", async || {
        endpoint.json("/v1/rotations/shop").await["state"] == "idle"
    })
    .await;
    assert_eq!(act("rotate", json!({"reason": "again"})).await.0, 409);
    assert_eq!(act("rollback", json!({"reason": "it fails"})).await.0, 200);
    assert_eq!(act("rollback", json!({"reason": "twice"})).await.0, 409);
    let until_noon = json!({"reason": "migration", "until": "2100-01-31T12:00:00Z"});
    assert_eq!(act("pause", until_noon).await.0, 200);
    let shop = endpoint.json("/v1/rotations/shop").await;
    assert_eq!(shop["state"], "paused");
    let paused = &shop["paused"];
    assert_eq!(
        (&paused["by"], &paused["reason"], &paused["until"]),
        (
            &json!("admin"),
            &json!("migration"),
            &json!("2100-01-31T12:00:00Z")
        )
    );
    let status = endpoint.env.run_ok(&["status", "shop"]).await;
    for text in [
        "paused by admin since 20",
        "until 2100-01-31 12:00 UTC: migration",
    ] {
        assert!(status.contains(text), "{text}: {status}");
    }
    let past = json!({"until": "2020-01-31T12:00:00Z"});
    assert_eq!(act("pause", past).await.0, 409);
    // A command on the same journal.
    endpoint
        .env
        .run_ok(&["resume", "shop", "--reason", "migration done"])
        .await;
    assert_eq!(
        endpoint.json("/v1/rotations/shop").await["paused"],
        Json::Null
    );

    let records = audit(&endpoint, "?rotation=shop").await;
    let expected = [
        ("resume", "done", ""),
        ("pause", "done", ""),
        ("rollback", "refused", "already_rolled_back"),
        ("rollback", "done", ""),
        ("rotate", "refused", "too_soon"),
        ("rotate", "done", ""),
        ("rollback", "refused", "secret_not_found"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(outcomes(&records), expected);
    assert_eq!(records[5]["run"], run["id"]);
    for record in &records[1..] {
        assert_eq!(record["actor"]["kind"], "token", "{record}");
        assert_eq!(record["actor"]["name"], "admin", "{record}");
        let address = record["actor"]["address"].as_str().unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{record}");
        assert!(record["reason"].is_string(), "{record}");
    }
    let resumed = &records[0];
    assert_eq!(resumed["actor"]["kind"], "user");
    assert_eq!(resumed["reason"], "migration done");
    assert!(!resumed["actor"]["name"].as_str().unwrap().is_empty());
    let by_user = format!("?actor={}", resumed["actor"]["name"].as_str().unwrap());
    assert_eq!(audit(&endpoint, &by_user).await, records[..1]);
    let pauses = audit(&endpoint, "?action=pause&limit=1").await;
    assert_eq!(pauses, records[1..2]);
    let refused = audit(&endpoint, "?outcome=refused&limit=2").await;
    assert_eq!(refused, [records[2].clone(), records[4].clone()]);
    let older = format!("?before={}&limit=2", records[4]["id"].as_str().unwrap());
    assert_eq!(audit(&endpoint, &older).await, records[5..]);

    let history = endpoint.env.run_ok(&["history", "shop"]).await;
    for reason in ["it fails", "migration", "migration done", "deploy 4711"] {
        assert!(history.contains(reason), "{reason}: {history}");
    }
    let of_run = history.lines().find(|line| line.contains("deploy 4711"));
    assert!(
        of_run.unwrap().contains("token admin at 127.0.0.1:"),
        "{history}"
    );
    let mut remote = endpoint.env.command(env!("CARGO_BIN_EXE_twinkey"));
    remote.args(["history", "shop", "--json", "--server", &endpoint.url]);
    let remote = remote.env("TWINKEY_TOKEN", TOKEN).output().await.unwrap();
    let entries: Vec<Json> = serde_json::from_slice(&remote.stdout).unwrap();
    let here = endpoint.env.run_ok(&["history", "shop", "--json"]).await;
    assert_eq!(entries, serde_json::from_str::<Vec<Json>>(&here).unwrap());
    assert_eq!(entries.len(), records.len());
    let runs = entries
        .iter()
        .filter(|entry| entry.get("trigger").is_some());
    let actors: Vec<&Json> = runs.map(|run| &run["actor"]).collect();
    assert_eq!(actors, [&records[5]["actor"]], "{entries:#?}");

    let session = DashboardClient::signed_in(&endpoint.url, TOKEN).await;
    let page = session.get("/rotations/shop").await;
    for text in ["it fails", "migration done", "token admin at 127.0.0.1"] {
        page.has(text);
    }
    let events = session.get("/events").await;
    for text in [
        "aria-current=\"page\">Events",
        "it fails",
        "token admin at 127.0.0.1",
        "already_rolled_back",
        "deploy 4711",
    ] {
        events.has(text);
    }
    assert_eq!(events.html.matches("data-action=").count(), records.len());
    let path = "/events?rotation=shop&action=rollback&outcome=refused";
    let refused = session.get(path).await;
    assert_eq!(refused.html.matches("data-action=").count(), 2);
    let path = format!("/events?before={}", records[4]["id"].as_str().unwrap());
    let older = session.get(&path).await;
    assert_eq!(older.html.matches("data-action=").count(), 2);
    older.has("id=\"events-newest\"");
    assert_eq!(session.get("/events?action=sleep").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_0_1_keeps_its_pause() {
    let endpoint = Endpoint::open(Setup::default()).await;
    endpoint.env.run_ok(&["pause", "shop"]).await;
    let journal = endpoint.env.folder.path().join("journal.db");
    // As a version before the records wrote it.
    let url = format!("sqlite://{}", journal.display());
    let mut database = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url)
        .await
        .unwrap();
    sqlx::query("UPDATE rotations SET pause = NULL")
        .execute(&mut database)
        .await
        .unwrap();
    let shop = endpoint.json("/v1/rotations/shop").await;
    assert_eq!(shop["state"], "paused");
    assert_eq!(shop["paused"]["by"], Json::Null);
    assert!(shop["paused"].is_object());
}
