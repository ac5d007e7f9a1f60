//! Rotations that `[[discover]]` finds by tags, in a worker and in commands.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::types::Tag;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use sqlx::{Connection, SqliteConnection};
use twinkey_stores::{SecretStore, Selector, stage};

use super::worker::{open_now, signal};
use crate::faults::many_workers;
use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::{
    Backend, Database, Environment, FIRST, MASTER_SECRET, SECRET, Setup, free_address, run, until,
};
use twinkey_testkit::mysql::LocalMysql;

/// The rotation of [`SECRET`] when it is discovered.
pub(super) const NAME: &str = "prod-shop";

/// An environment whose config discovers secrets instead of naming them.
pub(super) async fn discovering(keys: &str, config: String, backend: Backend) -> Environment {
    let env = Environment::open_with(
        Setup {
            config,
            rotation: keys.into(),
            ..Setup::default()
        },
        backend,
    )
    .await;
    let text = std::fs::read_to_string(env.config()).unwrap();
    let table = format!("[[rotation]]\nname = \"shop\"\nsecret = \"{SECRET}\"\n");
    let discover = "[[discover]]\ntags = { twinkey = \"rotate\" }\nevery = \"1h\"\n";
    assert!(text.contains(&table), "{text}");
    std::fs::write(env.config(), text.replace(&table, discover)).unwrap();
    env
}

fn client(env: &Environment) -> Client {
    Client::new(&sdk_config(&env.stand_in().url()))
}

pub(super) async fn tag(env: &Environment, secret: &str, key: &str, value: &str) {
    let tag = Tag::builder().key(key).value(value).build();
    let request = client(env).tag_resource().secret_id(secret).tags(tag);
    request.send().await.unwrap();
}

pub(super) async fn untag(env: &Environment, secret: &str, key: &str) {
    let request = client(env).untag_resource().secret_id(secret);
    request.tag_keys(key).send().await.unwrap();
}

/// The rotations of a worker, by name.
pub(super) async fn rotations(address: &str) -> BTreeMap<String, Json> {
    let answer = reqwest::get(format!("http://{address}/v1/rotations")).await;
    let all: Vec<Json> = answer.unwrap().json().await.unwrap();
    let name = |view: &Json| view["name"].as_str().unwrap().to_owned();
    all.into_iter().map(|view| (name(&view), view)).collect()
}

async fn metric(address: &str, name: &str) -> Option<i64> {
    let answer = reqwest::get(format!("http://{address}/metrics")).await;
    let text = answer.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// Sets the time at which the discovered rotations were armed and first seen.
async fn armed_at(env: &Environment, at: DateTime<Utc>) {
    let journal = env.folder.path().join("journal.db");
    let mut db = SqliteConnection::connect(&format!("sqlite://{}", journal.display()))
        .await
        .unwrap();
    for sql in [
        "UPDATE rotations SET first_seen = ?1",
        "UPDATE discovered_secrets SET armed = ?1 WHERE armed IS NOT NULL",
    ] {
        let update = sqlx::query(sql).bind(at.timestamp_micros());
        update.execute(&mut db).await.unwrap();
    }
    db.close().await.unwrap();
}

/// What the journal has of discoveries, newest first.
async fn records(address: &str) -> Vec<Json> {
    let url = format!("http://{address}/v1/audit?action=discover");
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tagged_secret_is_armed_rotated_and_disarmed() {
    let address = free_address();
    let (schedule, opens) = open_now();
    let keys = format!("{schedule}\nmissed = \"run\"\ntags_may_set = [\"window\", \"paused\"]");
    let config = format!("[server]\nlisten = \"{address}\"");
    let stand_in = twinkey_testkit::aws::StandIn::start().await;
    let env = discovering(&keys, config, Backend::StandIn(stand_in)).await;
    env.stand_in().faults().deny("ListSecrets");
    let mut serve = env.serve(&address).await;
    until("the log names the store and the table", async || {
        let log = std::fs::read_to_string(env.folder.path().join("serve.log")).unwrap();
        let line = log.lines().find(|line| line.contains("store not listed"));
        line.is_some_and(|line| line.contains("store=\"secrets\" discover=1"))
    })
    .await;
    env.stand_in().faults().forget_answers();
    // A listing that failed is due again after a minute, a complete one after an hour.
    env.run_ok(&["discover"]).await;
    assert!(rotations(&address).await.is_empty());
    assert_eq!(metric(&address, "twinkey_discovered{").await, Some(0));

    // A tag arms it. The window that is open already is not its own.
    tag(&env, SECRET, "twinkey", "rotate").await;
    let shown = env.run_ok(&["discover", "--dry-run"]).await;
    assert!(shown.contains(NAME), "{shown}");
    assert!(
        rotations(&address).await.is_empty(),
        "a dry run arms nothing"
    );
    env.run_ok(&["discover"]).await;
    until("the rotation is armed", async || {
        rotations(&address).await.contains_key(NAME)
    })
    .await;
    let view = rotations(&address).await.remove(NAME).unwrap();
    assert_eq!(
        (&view["state"], &view["discovered_by"]),
        (&"new".into(), &1.into())
    );
    assert_eq!(view["secret"], SECRET);
    assert!(view["next_window"]["opens"].as_str().unwrap() > opens.to_rfc3339().as_str());
    assert_eq!(env.read(stage::CURRENT).await.0["password"], FIRST);
    assert_eq!(metric(&address, "twinkey_discovered{").await, Some(1));
    let status = env.run_ok(&["status", NAME]).await;
    assert!(status.contains("new"), "{status}");

    // After its first whole window begins, a restarted worker runs it, although the list is denied.
    serve.kill().await.unwrap();
    armed_at(&env, opens - TimeDelta::days(1)).await;
    env.stand_in().faults().deny("ListSecrets");
    let mut serve = env.serve(&address).await;
    until("the secret is rotated", async || {
        env.read(stage::CURRENT).await.0["password"] != FIRST
    })
    .await;
    env.signed_in(stage::CURRENT).await;
    let message = env.fails(&["discover"], 1, "store_denied").await;
    assert!(message.contains("ListSecrets"), "{message}");
    assert_eq!(
        metric(&address, "twinkey_discovery_listings_failed{").await,
        Some(1)
    );
    assert!(
        rotations(&address).await.contains_key(NAME),
        "nothing is disarmed"
    );
    env.stand_in().faults().forget_answers();

    // A wrong tag of one secret concerns that secret alone.
    env.put("prod/other", &env.document("other", FIRST)).await;
    tag(&env, "prod/other", "twinkey", "rotate").await;
    tag(&env, "prod/other", "twinkey:window", "a\nfortnight").await;
    let message = env.fails(&["discover"], 1, "discovery_failed").await;
    assert!(message.contains("its tag \"twinkey:window\""), "{message}");
    until("the refusal is counted", async || {
        metric(&address, "twinkey_discovery_refused{").await == Some(1)
    })
    .await;
    assert!(rotations(&address).await.contains_key(NAME));
    let refusal = records(&address).await.remove(0);
    assert_eq!(refusal["code"], "discovery_failed", "{refusal}");
    assert_eq!(refusal["outcome"], "refused");
    let server = format!("http://{address}");
    for arguments in [&["status"][..], &["status", "--server", &server]] {
        let note = env.twinkey(arguments).await;
        let note = String::from_utf8_lossy(&note.stderr).into_owned();
        assert!(
            note.contains("discovery_failed: secret \"prod/other\" is not rotated"),
            "{note}"
        );
    }
    let refused = reqwest::get(format!("{server}/v1/discovered?state=refused")).await;
    let refused: Vec<Json> = refused.unwrap().json().await.unwrap();
    let [refused] = refused.as_slice() else {
        panic!("{refused:?}");
    };
    assert_eq!(
        (&refused["secret"], &refused["discover"]),
        (&"prod/other".into(), &1.into())
    );
    assert_eq!(refused["problem"]["code"], "discovery_failed", "{refused}");
    let page = reqwest::get(&server).await.unwrap().text().await.unwrap();
    assert!(
        page.contains("secret &quot;prod/other&quot; is not rotated"),
        "{page}"
    );

    // A tag pauses it, and only the tag resumes it.
    tag(&env, SECRET, "twinkey:paused", "true").await;
    env.fails(&["discover"], 1, "discovery_failed").await;
    until("the tag pauses it", async || {
        rotations(&address).await[NAME]["state"] == "paused"
    })
    .await;
    let resumed = env.run_ok(&["resume", NAME]).await;
    assert!(resumed.contains("still paused by the config"), "{resumed}");

    // Without its tag it is disarmed, on record; its history stays.
    untag(&env, SECRET, "twinkey").await;
    untag(&env, "prod/other", "twinkey").await;
    env.run_ok(&["discover"]).await;
    until("the rotation is disarmed", async || {
        rotations(&address).await.is_empty()
    })
    .await;
    let reasons = records(&address).await;
    let disarmed = |one: &Json| {
        let reason = one["reason"].as_str().unwrap_or_default();
        one["rotation"] == NAME && reason.starts_with("disarmed: ")
    };
    assert!(reasons.iter().any(disarmed), "{reasons:?}");
    for arguments in [
        &["history", NAME, "--json"][..],
        &["history", "prod-*", "--json"],
        &["history", NAME, "--json", "--server", &server],
    ] {
        let history = env.run_ok(arguments).await;
        assert!(history.contains("succeeded"), "{arguments:?}: {history}");
    }
    let refused = env.run_ok(&["history", "prod-other", "--json"]).await;
    assert!(refused.contains("discovery_failed"), "{refused}");
    let message = env
        .fails(&["history", "prod-shp"], 2, "config_invalid")
        .await;
    assert!(message.contains("did you mean \"prod-shop\"?"), "{message}");
    let unknown = ["history", "prod-shp", "--server", &server];
    let message = env.fails(&unknown, 2, "config_invalid").await;
    assert!(message.contains("there is no rotation"), "{message}");

    // A deletion is its own reason, also of a secret that was never listed as deleted.
    tag(&env, SECRET, "twinkey", "rotate").await;
    env.run_ok(&["discover"]).await;
    let delete = client(&env).delete_secret().secret_id(SECRET);
    delete
        .force_delete_without_recovery(true)
        .send()
        .await
        .unwrap();
    let shown = env.run_ok(&["discover", "--json"]).await;
    assert!(shown.contains("it was deleted"), "{shown}");

    // Created again, it has its name, and the former one is not listed any more.
    env.put(SECRET, &env.document("app", FIRST)).await;
    tag(&env, SECRET, "twinkey", "rotate").await;
    let shown = env.run_ok(&["discover", "--json"]).await;
    let shown: Vec<Json> = serde_json::from_str(&shown).unwrap();
    let of_it: Vec<_> = (shown.iter())
        .filter(|one| one["secret"] == SECRET)
        .map(|one| (one["rotation"].as_str(), one["state"].as_str()))
        .collect();
    assert_eq!(of_it, [(Some(NAME), Some("armed"))], "{shown:?}");
    // The pair that runs of the former one left is its own. It came back, so the last flip is recent.
    env.run_ok(&["rotate", NAME, "--force"]).await;
    env.signed_in(stage::CURRENT).await;
    env.signed_in(stage::PREVIOUS).await;
    env.run_ok(&["rotate", NAME, "--force"]).await;

    // Another secret has its name, without a tag. It is not touched before the next listing, nor after.
    let delete = client(&env).delete_secret().secret_id(SECRET);
    let delete = delete.force_delete_without_recovery(true);
    delete.send().await.unwrap();
    env.put(SECRET, &env.document("app", FIRST)).await;
    let users = env.state().await;
    for arguments in [
        &["rotate", NAME, "--force"][..],
        &["repair", NAME, "--apply"],
    ] {
        let message = env.fails(arguments, 1, "discovery_failed").await;
        assert!(message.contains("another secret has the name"), "{message}");
    }
    let checked = env.twinkey(&["check", NAME, "--json"]).await;
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.contains("discovery_failed"), "{checked}");
    assert_eq!(env.state().await, users);
    let shown = env.run_ok(&["discover", "--json"]).await;
    assert!(!shown.contains("armed"), "{shown}");
    signal(&serve, "TERM");
    assert!(serve.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_exports_what_check_accepts() {
    let env = discovering("", String::new(), Backend::Local).await;
    // By names, because the tags of the embedded store are set through its API.
    let text = std::fs::read_to_string(env.config()).unwrap();
    let (head, _) = text.split_once("[[discover]]").unwrap();
    let by_name = text.replace("tags = { twinkey = \"rotate\" }", "names = [\"prod/*\"]");
    std::fs::write(env.config(), by_name).unwrap();
    let found = env.run_ok(&["discover", "--dry-run"]).await;
    assert!(found.contains("uses it as a master secret"), "{found}");
    let output = env.twinkey(&["discover", "--export"]).await;
    assert!(output.status.success());
    let exported = String::from_utf8(output.stdout).unwrap();
    assert!(exported.contains(MASTER_SECRET), "{exported}");
    std::fs::write(env.config(), format!("{head}{exported}")).unwrap();
    env.run_ok(&["check", NAME]).await;
    env.run_ok(&["rotate", NAME]).await;
    assert_ne!(env.read(stage::CURRENT).await.0["password"], FIRST);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_one_listing() {
    let stand_in = twinkey_testkit::aws::StandIn::start().await;
    let env = discovering("", String::new(), Backend::StandIn(stand_in)).await;
    run(&mut env.root("postgres").await, "CREATE DATABASE journal").await;
    let url = many_workers::url(&env.server, "journal");
    let text = std::fs::read_to_string(env.config()).unwrap();
    let text = text.replace("sqlite://journal.db", &url);
    std::fs::write(env.config(), text).unwrap();
    tag(&env, SECRET, "twinkey", "rotate").await;
    for n in 0..250 {
        let name = format!("prod/fleet/{n:03}");
        env.put(&name, &env.document("app", FIRST)).await;
        tag(&env, &name, "twinkey", "rotate").await;
    }
    let addresses = [free_address(), free_address()];
    let mut workers = Vec::new();
    for address in &addresses {
        let mut command = env.command(env!("CARGO_BIN_EXE_twinkey"));
        command.arg("serve").env("TWINKEY__SERVER__LISTEN", address);
        workers.push(env.start(command, address).await);
    }
    for address in &addresses {
        until("each worker has all rotations", async || {
            rotations(address).await.len() == 251
        })
        .await;
    }
    let listed = env.stand_in().faults().calls();
    // A readiness check lists one secret, without filters.
    let pages = listed
        .iter()
        .filter(|call| call.action == "ListSecrets" && call.is_filtered);
    assert_eq!(pages.count(), 3, "251 secrets are three pages");
    let records = records(&addresses[0]).await;
    let armed = records.iter().filter(|one| one["rotation"] == NAME);
    assert!(armed.count() <= 1, "armed once");
    for worker in &mut workers {
        worker.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_two_accounts_and_engines_are_rotated() {
    let (account, region) = ("222233334444", "eu-west-1");
    let role = format!("arn:aws:iam::{account}:role/twinkey");
    let stand_in = twinkey_testkit::aws::StandIn::start().await;
    let env = discovering("", String::new(), Backend::StandIn(stand_in)).await;
    let stand_in = env.stand_in();
    let member = stand_in.add_account(account, region).await;
    let session = Duration::from_secs(3600);
    stand_in.accounts().add_role(&role, None, session);
    let start = || <LocalMysql as Database>::start(&Setup::default());
    let mariadb = tokio::task::spawn_blocking(start).await.unwrap();
    mariadb.populate(&env.master, "app").await;
    for (name, user, password) in [
        (SECRET, "app", FIRST),
        (MASTER_SECRET, "rdsmaster", env.master.expose_secret()),
    ] {
        let document = json!({
            "engine": "mariadb", "host": "127.0.0.1", "port": Database::port(&mariadb),
            "username": user, "password": password, "dbname": "shop",
        });
        let document = SecretString::from(document.to_string());
        member.create_or_put(name, &document).await.unwrap();
    }
    let tags = BTreeMap::from([("twinkey".to_owned(), Some("rotate".to_owned()))]);
    member.tag(SECRET, &tags).await.unwrap();
    tag(&env, SECRET, "twinkey", "rotate").await;
    let mut text = std::fs::read_to_string(env.config()).unwrap();
    text += &format!(
        "\n[[store]]\nname = \"member\"\nbackend = \"aws\"\nregion = \"{region}\"\nendpoint_url = \"{}\"\n\
         assume_role = {{ arn = \"{role}\" }}\n\
         [[discover]]\nstore = \"member\"\ntags = {{ twinkey = \"rotate\" }}\n\
         master_secret = \"{MASTER_SECRET}\"\ntls = {{ mode = \"disable\" }}\n",
        stand_in.url()
    );
    std::fs::write(env.config(), text).unwrap();

    let found = env.run_ok(&["discover", "--json"]).await;
    let found: Vec<Json> = serde_json::from_str(&found).unwrap();
    let mut found: Vec<_> = found
        .iter()
        .map(|one| (one["rotation"].as_str(), one["store"].as_str()))
        .collect();
    found.sort_unstable();
    let names = [NAME, "prod-shop-member"];
    assert_eq!(
        found,
        [(Some(names[0]), None), (Some(names[1]), Some("member"))]
    );
    for name in names {
        env.run_ok(&["rotate", name]).await;
    }
    env.signed_in(stage::CURRENT).await;
    let current = member.get(SECRET, Selector::Stage(stage::CURRENT)).await;
    let current: Json = serde_json::from_str(current.unwrap().value.expose_secret()).unwrap();
    assert_eq!(current["username"], "app_clone");
    let password = SecretString::from(current["password"].as_str().unwrap());
    let signed_in = mariadb.connect("app_clone", &password, "shop").await;
    signed_in.unwrap();

    // An account whose role is revoked keeps its rotations, and the other account is listed.
    stand_in.accounts().revoke(&role);
    env.put("prod/second", &env.document("second", FIRST)).await;
    tag(&env, "prod/second", "twinkey", "rotate").await;
    let output = env.twinkey(&["discover"]).await;
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        ["error[aws_credentials]", "error[store_denied]"]
            .iter()
            .any(|code| message.contains(code)),
        "{message}"
    );
    let shown = String::from_utf8(output.stdout).unwrap();
    for name in [names[0], names[1], "prod-second"] {
        assert!(shown.contains(name), "{shown}");
    }
    assert!(shown.contains("3 secrets: 3 armed"), "{shown}");

    // No worker ran, and a rotation that was disarmed has its history.
    untag(&env, "prod/second", "twinkey").await;
    env.twinkey(&["discover"]).await;
    let history = env.run_ok(&["history", "prod-second", "--json"]).await;
    assert!(history.contains("disarmed: "), "{history}");
}
