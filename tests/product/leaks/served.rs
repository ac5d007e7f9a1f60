//! The served store: secrets and tokens of keys, and written values, are passwords too.

use std::time::SystemTime;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value as Json, json};
use twinkey_core::telemetry::Clock;

use super::fixture::LeakFixture;
use twinkey_testkit::environment::until;
use twinkey_testkit::leak_scan::LeakScan;
use twinkey_testkit::signed;

const WRITTEN: [&str; 2] = ["Written-0123456789-abc", "Written-9876543210-xyz"];
const TOKEN: &str = "X-Aws-Parameters-Secrets-Token";

/// The address of the served store, if there is one.
fn address<P: LeakFixture>(fixture: &P) -> Option<String> {
    let config = std::fs::read_to_string(fixture.folder().join("twinkey.toml")).unwrap();
    let (_, rest) = config.split_once("serve = { listen = \"")?;
    Some(rest.split('"').next().unwrap().to_owned())
}

/// Creates a key, calls every action with it, and adds the responses to the scan, except those that
/// must contain a value.
pub async fn ask_the_served_store<P: LeakFixture>(fixture: &P, scan: &mut LeakScan) {
    let Some(address) = address(fixture) else {
        return;
    };
    let mut add = fixture.command();
    add.args([
        "-vv", "keys", "add", "scan", "--json", "--secret", "*", "--action", "*",
    ]);
    let added = add.output().await.unwrap();
    scan.add_text("what `keys add` says", added.stderr);
    let added: Json = serde_json::from_slice(&added.stdout).unwrap();
    let text = |field: &str| added[field].as_str().unwrap().to_owned();
    let (id, secret, token) = (
        text("AccessKeyId"),
        text("SecretAccessKey"),
        text("AgentToken"),
    );
    scan.add_password(&secret);
    // The prefix is the id of the key, which is public.
    scan.add_password(token.split_once('.').unwrap().1);
    WRITTEN
        .iter()
        .for_each(|written| scan.add_password(written));

    let client = Client::new();
    let agent = |path: &str, token: &str| {
        client
            .get(format!("http://{address}{path}"))
            .header(TOKEN, token)
    };
    until("the worker has loaded the key", async || {
        agent("/v1/none", &token).send().await.unwrap().status() != 403
    })
    .await;
    let request_token = |n: usize| format!("{n:032}");
    let name = format!("scan/{id}");
    for (action, body, keep) in [
        (
            "CreateSecret",
            json!({"Name": name, "SecretString": WRITTEN[0], "ClientRequestToken": request_token(1)}),
            true,
        ),
        (
            "PutSecretValue",
            json!({"SecretId": name, "SecretString": WRITTEN[1], "ClientRequestToken": request_token(2)}),
            true,
        ),
        (
            "PutSecretValue",
            json!({"SecretId": name, "SecretString": WRITTEN[0], "ClientRequestToken": request_token(2)}),
            true,
        ),
        (
            "PutSecretValue",
            json!({"SecretId": name, "SecretString": [WRITTEN[0]]}),
            true,
        ),
        (
            "UpdateSecret",
            json!({"SecretId": name, "SecretBinary": WRITTEN[0], "ClientRequestToken": request_token(3)}),
            true,
        ),
        ("GetSecretValue", json!({"SecretId": name}), false),
        (
            "BatchGetSecretValue",
            json!({"SecretIdList": [name]}),
            false,
        ),
        ("DescribeSecret", json!({"SecretId": name}), true),
        ("ListSecrets", json!({}), true),
        ("ListSecretVersionIds", json!({"SecretId": name}), true),
        (
            "DeleteSecret",
            json!({"SecretId": name, "ForceDeleteWithoutRecovery": true}),
            true,
        ),
    ] {
        let body = body.to_string();
        let now = SystemTime::from(Clock::system().now());
        let headers = signed::headers(&address, (&id, &secret), action, &body, now);
        let ask = |body: String| {
            let ask = client.post(format!("http://{address}/")).body(body);
            headers
                .iter()
                .fold(ask, |ask, (name, value)| ask.header(name, value))
        };
        kept(scan, action, ask(body.clone()), keep).await;
        kept(scan, "a tampered request", ask(format!("{body} ")), true).await;
    }
    let path = format!("/v1/{}", P::SECRET);
    kept(scan, "the agent's", agent(&path, &token), false).await;
    kept(scan, "the agent's", agent("/v1/none", &token), true).await;
    kept(
        scan,
        "the agent's",
        agent(&path, &token[..token.len() - 1]),
        true,
    )
    .await;
    let mut remove = fixture.command();
    let removed = remove
        .args(["-vv", "keys", "remove", &id])
        .output()
        .await
        .unwrap();
    scan.add_text(
        "what `keys remove` says",
        [removed.stdout, removed.stderr].concat(),
    );
}

async fn kept(scan: &mut LeakScan, what: &str, request: RequestBuilder, keep: bool) {
    let answer = request.send().await.unwrap();
    scan.add_text(
        format!("the head of {what}"),
        format!("{:?}", answer.headers()),
    );
    let body = answer.bytes().await.unwrap();
    assert!(!body.is_empty());
    if keep {
        scan.add_text(format!("the body of {what}"), body);
    }
}
