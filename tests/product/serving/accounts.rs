//! One worker for secrets in three accounts and regions, on PostgreSQL and MariaDB.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use twinkey::journal::{Journal, SqliteJournal};
use twinkey_stores::local::LocalStore;
use twinkey_stores::{SecretStore, Selector, stage};
use twinkey_testkit::aws::accounts::SessionEnd;
use twinkey_testkit::environment::{
    Database, Environment, FIRST, MASTER_SECRET, SECRET, Setup, free_address, run, until,
};
use twinkey_testkit::mysql::LocalMysql;

use super::worker::{open_now, signal};

const EU: (&str, &str) = ("111122223333", "eu-west-1");
const US: (&str, &str) = ("444455556666", "us-east-1");
const ROLES: [&str; 2] = [
    "arn:aws:iam::111122223333:role/twinkey",
    "arn:aws:iam::444455556666:role/twinkey",
];
/// Credentials that end within ten seconds are renewed.
const SHORT: Duration = Duration::from_secs(12);
const LONG: Duration = Duration::from_secs(3600);

/// Three secrets and their masters with equal names: one in the worker's account, two in others.
struct Fixture {
    env: Environment,
    stores: [std::sync::Arc<LocalStore>; 2],
    _mariadb: LocalMysql,
}

async fn put(store: &LocalStore, name: &str, document: &Json) {
    let value = SecretString::from(document.to_string());
    store.create_or_put(name, &value).await.unwrap();
}

impl Fixture {
    /// `sessions`: the length of the sessions of each role.
    async fn open(sessions: [Duration; 2]) -> Self {
        let env = Environment::open(Setup::default()).await;
        let stand_in = env.stand_in();
        let eu = stand_in.add_account(EU.0, EU.1).await;
        let us = stand_in.add_account(US.0, US.1).await;
        for ((role, id), session) in ROLES.iter().zip(["id-eu", "id-us"]).zip(sessions) {
            stand_in.accounts().add_role(role, Some(id), session);
        }
        let mut master = env.connect("rdsmaster", &env.master, "shop").await.unwrap();
        run(
            &mut master,
            &format!("CREATE ROLE eu LOGIN PASSWORD '{FIRST}'"),
        )
        .await;
        let password = env.master.expose_secret();
        put(&eu, SECRET, &env.document("eu", FIRST)).await;
        put(&eu, MASTER_SECRET, &env.document("rdsmaster", password)).await;
        let start = || <LocalMysql as Database>::start(&Setup::default());
        let mariadb = tokio::task::spawn_blocking(start).await.unwrap();
        mariadb.populate(&env.master, "us").await;
        for (name, user, password) in [
            (SECRET, "us", FIRST),
            (MASTER_SECRET, "rdsmaster", password),
        ] {
            let document = json!({
                "engine": "mariadb", "host": "127.0.0.1", "port": Database::port(&mariadb),
                "username": user, "password": password, "dbname": "shop",
            });
            put(&us, name, &document).await;
        }
        Self {
            env,
            stores: [eu, us],
            _mariadb: mariadb,
        }
    }

    /// The config with further keys of every rotation.
    fn configure(&self, server: &str, each: &str) {
        let url = self.env.stand_in().url();
        let mut text = format!(
            "{server}\n[journal]\nurl = \"sqlite://journal.db\"\n\
             [secrets]\nbackend = \"aws\"\nregion = \"eu-west-1\"\nendpoint_url = \"{url}\"\n\
             [defaults]\nmaster_secret = \"{MASTER_SECRET}\"\ntls = {{ mode = \"disable\" }}\n\
             min_interval = \"0s\"\nin_use = \"ignore\"\nmissed = \"run\"\n"
        );
        for ((name, (_, region)), (role, id)) in [("prod-eu", EU), ("prod-us", US)]
            .into_iter()
            .zip(ROLES.into_iter().zip(["id-eu", "id-us"]))
        {
            text += &format!(
                "[[store]]\nname = \"{name}\"\nbackend = \"aws\"\nregion = \"{region}\"\nendpoint_url = \"{url}\"\n\
                 assume_role = {{ arn = \"{role}\", external_id = \"{id}\" }}\n"
            );
        }
        for (name, store) in [
            ("own", ""),
            ("eu", "store = \"prod-eu\""),
            ("us", "store = \"prod-us\""),
        ] {
            text += &format!(
                "[[rotation]]\nname = \"{name}\"\nsecret = \"{SECRET}\"\n{store}\n{each}\n"
            );
        }
        std::fs::write(self.env.config(), text).unwrap();
    }

    /// The users of AWSCURRENT in the three accounts.
    async fn users(&self) -> [String; 3] {
        let user = async |store: &LocalStore| {
            let version = store
                .get(SECRET, Selector::Stage(stage::CURRENT))
                .await
                .unwrap();
            let document: Json = serde_json::from_str(version.value.expose_secret()).unwrap();
            document["username"].as_str().unwrap().to_owned()
        };
        [
            user(self.env.stand_in().store()).await,
            user(&self.stores[0]).await,
            user(&self.stores[1]).await,
        ]
    }

    /// Writes the config with a window that is open, in which a worker runs the rotations.
    async fn open_window(&self, server: &str) {
        let (schedule, opens) = open_now();
        self.configure(server, &schedule);
        let journal = self.env.folder.path().join("journal.db");
        let journal = SqliteJournal::open(&journal).await.unwrap();
        let names = ["own", "eu", "us"].map(str::to_owned);
        let yesterday = opens - TimeDelta::days(1);
        journal.first_seen(&names, yesterday).await.unwrap();
        journal.close().await;
    }

    fn each_account_has_one_new_version(&self) {
        let stand_in = self.env.stand_in();
        let calls = stand_in.accounts().calls();
        for (account, _) in [EU, US] {
            let puts = calls
                .iter()
                .filter(|call| call.place.account == account && call.action == "PutSecretValue");
            assert_eq!(puts.count(), 1, "{account}");
        }
        assert_eq!(stand_in.faults().count("PutSecretValue"), 3);
    }

    async fn status(&self) -> Vec<Json> {
        let status = self.env.run_ok(&["status", "--json"]).await;
        serde_json::from_str(&status).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_role_stops_its_own_rotations_only() {
    let fixture = Fixture::open([SHORT, LONG]).await;
    let env = &fixture.env;
    let accounts = env.stand_in().accounts();
    let address = free_address();
    let server = format!("[server]\nlisten = \"{address}\"\n");
    fixture.open_window(&server).await;
    // In the middle of the run: its password is in the store, and not yet in the database.
    accounts.end_after(ROLES[1], "PutSecretValue", SessionEnd::Revoked);
    let worker = env.serve(&address).await;

    until("the other accounts have rotated", async || {
        fixture.users().await == ["app_clone", "eu_clone", "us"]
    })
    .await;
    until("the rotation of the revoked role waits", async || {
        fixture.status().await[2]["state"] == "waiting"
    })
    .await;
    let status = fixture.status().await;
    assert_eq!(status[2]["store"], "prod-us");
    let code = status[2]["problem"]["code"].as_str().unwrap();
    assert!(
        ["aws_credentials", "store_denied"].contains(&code),
        "{status:#?}"
    );
    assert_eq!(
        (&status[0]["state"], &status[1]["state"]),
        (&"idle".into(), &"idle".into())
    );
    until("the store's own health shows it", async || {
        let get = async |path: &str| {
            let answer = reqwest::get(format!("http://{address}{path}"))
                .await
                .unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        let (ready, body) = get("/readyz").await;
        let (_, metrics) = get("/metrics").await;
        assert_eq!(ready, 200, "{body}");
        body.contains("aws_credentials: store \\\"prod-us\\\"")
            && metrics.contains("twinkey_store_up{store=\"prod-us\"} 0")
            && metrics.contains("twinkey_store_up{store=\"prod-eu\"} 1")
            && metrics.contains("twinkey_store_up{store=\"secrets\"} 1")
    })
    .await;

    accounts.restore(ROLES[1]);
    until("the rotation goes on in its window", async || {
        fixture.users().await == ["app_clone", "eu_clone", "us_clone"]
    })
    .await;
    until("a short session is renewed", async || {
        accounts.assumed(ROLES[0]) > 2
    })
    .await;
    let calls = accounts.calls();
    let places: BTreeSet<(&str, &str)> = (calls.iter())
        .map(|call| (call.place.account.as_str(), call.place.region.as_str()))
        .collect();
    assert_eq!(places, BTreeSet::from([EU, US]));
    let session = format!("-{}", worker.id().unwrap());
    for call in &calls {
        let name = &call.session;
        assert!(name.starts_with("twinkey-"), "{name}");
    }
    assert!(calls.iter().any(|call| call.session.ends_with(&session)));
    fixture.each_account_has_one_new_version();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_in_a_run_is_replaced() {
    let fixture = Fixture::open([LONG, LONG]).await;
    let env = &fixture.env;
    let accounts = env.stand_in().accounts();
    let address = free_address();
    let server = format!("[server]\nlisten = \"{address}\"\n");
    fixture.open_window(&server).await;
    for role in ROLES {
        accounts.end_after(role, "PutSecretValue", SessionEnd::Expired);
    }
    let worker = env.serve(&address).await;
    until("all accounts have rotated", async || {
        fixture.users().await == ["app_clone", "eu_clone", "us_clone"]
    })
    .await;
    for role in ROLES {
        assert!(accounts.assumed(role) > 1, "{role}");
    }
    fixture.each_account_has_one_new_version();

    // An external id that the trust policy does not have, until the next reload.
    let config = std::fs::read_to_string(env.config()).unwrap();
    let up = async |is_up: bool| {
        let answer = reqwest::get(format!("http://{address}/metrics")).await;
        let text = answer.unwrap().text().await.unwrap();
        let store = |name: &str, value: u8| {
            text.contains(&format!("twinkey_store_up{{store=\"{name}\"}} {value}"))
        };
        store("prod-eu", is_up.into()) && store("prod-us", 1)
    };
    for (id, is_up) in [("id-of-another", false), ("id-eu", true)] {
        std::fs::write(env.config(), config.replace("id-eu", id)).unwrap();
        signal(&worker, "HUP");
        until("the store's health follows", async || up(is_up).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_name_the_store_of_a_rotation() {
    let fixture = Fixture::open([LONG, LONG]).await;
    fixture.configure("", "");
    let env = &fixture.env;
    let check = env.run_ok(&["check"]).await;
    assert!(
        check.contains(&format!("secret {SECRET:?} in prod-us is readable")),
        "{check}"
    );
    assert!(
        check.contains(&format!("secret {SECRET:?} is readable")),
        "{check}"
    );
    let plan = env.run_ok(&["plan", "eu"]).await;
    assert!(plan.starts_with("eu in prod-eu: eu -> eu_clone"), "{plan}");
    let rotated = env.run_ok(&["rotate", "--all", "--store", "prod-us"]).await;
    assert_eq!(
        fixture.users().await,
        ["app", "eu", "us_clone"],
        "{rotated}"
    );
    env.run_ok(&["rollback", "us"]).await;
    assert_eq!(fixture.users().await, ["app", "eu", "us"]);
    let status = env
        .run_ok(&["status", "--json", "--store", "secrets"])
        .await;
    let status: Json = serde_json::from_str(&status).unwrap();
    assert_eq!(
        (status.as_array().unwrap().len(), &status[0]["store"]),
        (1, &Json::Null)
    );

    // The caller's credentials are those of another account than the role's.
    let asked = ["iam-policy", "--store", "prod-us", "--ask"];
    let message = env.fails(&asked, 2, "config_invalid").await;
    for account in [US.0, "000000000000"] {
        assert!(message.contains(account), "{message}");
    }
    let session = "arn:aws:sts::999988887777:assumed-role/worker/session";
    let trust = [
        "iam-policy",
        "--store",
        "prod-us",
        "--trust",
        "--worker-role",
        session,
    ];
    let refused = env.twinkey(&trust).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the ARN of a role"));

    // An external id that the trust policy does not have.
    let config = std::fs::read_to_string(env.config()).unwrap();
    std::fs::write(env.config(), config.replace("id-eu", "id-of-another")).unwrap();
    let message = env.fails(&["rotate", "eu"], 1, "aws_credentials").await;
    for words in [ROLES[0], "sts:AssumeRole", "external id"] {
        assert!(message.contains(words), "{words}: {message}");
    }
    env.run_ok(&["rotate", "own"]).await;
}
