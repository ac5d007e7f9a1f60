//! The heartbeat: a password of AWSCURRENT that was changed in the database is reported.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use twinkey::rotation::commands::heartbeat::{HeartbeatResult, probe_current};
use twinkey::rotation::context::SharedContext;
use twinkey::store::Stores;
use twinkey_core::secret::Sensitive;
use twinkey_core::telemetry::Clock;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::{
    Description, SecretStore, SecretVersion, Selector, StoreError, VersionId, stage,
};

use crate::admin::dashboard::DashboardClient;
use crate::admin::events::EventStream;
use crate::admin::{Endpoint, TOKEN};
use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::{Environment, SECRET, Setup, until};

fn plan() -> Setup {
    Setup {
        rotation: "heartbeat = \"10s\"\nmin_interval = \"0s\"".into(),
        ..Setup::default()
    }
}

/// Changes the password of AWSCURRENT's user in the database.
async fn set_password(env: &Environment, password: &str) {
    let (current, _) = env.read(stage::CURRENT).await;
    let user = current["username"].as_str().unwrap();
    let statement = format!("ALTER ROLE {user} PASSWORD '{password}'");
    let mut root = env.root("shop").await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut root)
        .await
        .unwrap();
}

async fn metric(endpoint: &Endpoint) -> Option<String> {
    let text = endpoint.get("/metrics").send().await.unwrap();
    let text = text.text().await.unwrap();
    let prefix = "twinkey_current_refused{rotation=\"shop\"} ";
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
    lines.next().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_is_reported_until_it_is_restored() {
    let endpoint = Endpoint::open(plan()).await;
    let env = &endpoint.env;
    let mut events = EventStream::open(&endpoint, "", None).await;
    until("AWSCURRENT was tried", async || {
        metric(&endpoint).await.as_deref() == Some("0")
    })
    .await;
    set_password(env, "Changed-0123456789").await;
    let event = events.next().await.unwrap();
    assert_eq!(event.name, "current_refused");
    assert_eq!(event.data["rotation"], "shop");
    assert_eq!(event.data["problem"]["code"], "current_signin_failed");
    assert!(
        event.data["problem"]["hint"]
            .as_str()
            .unwrap()
            .contains("twinkey rollback")
    );
    assert_eq!(metric(&endpoint).await.as_deref(), Some("1"));
    shown_as_locked_out(&endpoint).await;
    // A pause does not hide it.
    env.run_ok(&["pause", "shop"]).await;
    shown_as_locked_out(&endpoint).await;
    env.run_ok(&["resume", "shop"]).await;
    let log = endpoint.log();
    assert!(log.contains("heartbeat refused"), "{log}");
    assert!(!log.contains("Changed-0123"), "{log}");

    let (current, _) = env.read(stage::CURRENT).await;
    set_password(env, current["password"].as_str().unwrap()).await;
    let event = events.next().await.unwrap();
    assert_eq!(
        event.name, "current_accepted",
        "the refusal was reported once"
    );
    assert_eq!(metric(&endpoint).await.as_deref(), Some("0"));
    assert_eq!(endpoint.json("/v1/rotations/shop").await["state"], "new");
}

/// `status`, the API, the metrics and the dashboard agree.
async fn shown_as_locked_out(endpoint: &Endpoint) {
    let view = endpoint.json("/v1/rotations/shop").await;
    assert_eq!(view["state"], "locked_out", "{view}");
    assert_eq!(view["problem"]["code"], "current_signin_failed", "{view}");
    assert!(view["since"].is_string(), "{view}");
    let status = endpoint.env.run_ok(&["status"]).await;
    for word in ["locked_out", "current_signin_failed"] {
        assert!(status.contains(word), "{status}");
    }
    let text = endpoint.get("/metrics").send().await.unwrap();
    let text = text.text().await.unwrap();
    for (state, value) in [("locked_out", 1), ("new", 0), ("paused", 0)] {
        let line =
            format!("twinkey_rotation_state{{rotation=\"shop\",state=\"{state}\"}} {value}\n");
        assert!(text.contains(&line), "{text}");
    }
    let dashboard = DashboardClient::signed_in(&endpoint.url, TOKEN).await;
    for page in ["/", "/rotations/shop"] {
        let page = dashboard.get(page).await;
        page.has("<span class=\"word\">locked_out</span>");
        page.has("current_signin_failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lockout_is_known_after_a_restart_and_until_a_flip() {
    let mut endpoint = Endpoint::open(plan()).await;
    set_password(&endpoint.env, "Changed-0123456789").await;
    until("AWSCURRENT is refused", async || {
        endpoint.json("/v1/rotations/shop").await["state"] == "locked_out"
    })
    .await;
    endpoint.serve.kill().await.unwrap();
    let env = &endpoint.env;
    let status = env.run_ok(&["status"]).await;
    assert!(status.contains("locked_out"), "{status}");
    let (current, _) = env.read(stage::CURRENT).await;
    set_password(env, current["password"].as_str().unwrap()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let status = env.run_ok(&["status"]).await;
    assert!(status.contains("idle"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_database_is_inconclusive() {
    let mut endpoint = Endpoint::open(plan()).await;
    let (mut document, _) = endpoint.env.read(stage::CURRENT).await;
    document["port"] = 1.into();
    endpoint.env.put(SECRET, &document).await;
    until("the heartbeat is inconclusive", async || {
        endpoint.log().contains("heartbeat inconclusive")
    })
    .await;
    let log = endpoint.log();
    assert!(log.contains("db_unreachable"), "{log}");
    assert!(!log.contains("heartbeat refused"), "{log}");
    endpoint.serve.kill().await.unwrap();
}

/// A store whose first read is stale.
struct StaleFirstRead {
    store: AwsStore,
    old: Mutex<Option<SecretVersion>>,
}

#[async_trait]
impl SecretStore for StaleFirstRead {
    async fn describe(&self, secret: &str) -> Result<Description, StoreError> {
        self.store.describe(secret).await
    }

    async fn get(&self, secret: &str, which: Selector<'_>) -> Result<SecretVersion, StoreError> {
        let old = self.old.lock().take();
        match old {
            Some(old) => Ok(old),
            None => self.store.get(secret, which).await,
        }
    }

    async fn put(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Sensitive,
        stage: &str,
    ) -> Result<(), StoreError> {
        self.store.put(secret, id, value, stage).await
    }

    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        self.store.move_stage(secret, stage, from, to).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_read_during_a_flip_is_not_a_changed_password() {
    let env = Environment::open(plan()).await;
    let store = AwsStore::from_config(&sdk_config(&env.stand_in().url()));
    let current = Selector::Stage(stage::CURRENT);
    let old = store.get(SECRET, current).await.unwrap();
    // The second rotation changes the password of this user.
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    let old = Mutex::new(Some(old));
    let context = SharedContext::new(
        Stores::single(Arc::new(StaleFirstRead { store, old })),
        Clock::system(),
        1,
    );
    let settings = twinkey::config::load(Some(&env.config()), &BTreeMap::new()).unwrap();
    let rotation = &settings.rotations[0];
    let message = probe_current(&context.of(rotation), rotation).await;
    assert_eq!(message, Ok(HeartbeatResult::Accepted));
}
