//! The actions of the forms, and their log lines.

use twinkey_stores::stage;

use super::DashboardClient;
use crate::admin::{Endpoint, TOKEN};
use twinkey_testkit::environment::{Setup, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cookie_replaces_the_token_after_sign_in() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let anonymous = DashboardClient::new(&endpoint.url);
    for wrong in [
        &[("token", "a-wrong-token-of-some-length")][..],
        &[("token", "")],
        &[],
    ] {
        let page = anonymous.post("/sign-in", wrong).await;
        assert_eq!((page.status, page.cookie.as_str()), (401, ""));
        page.has("That is not a token of this worker.");
    }
    let back = [("token", TOKEN), ("back", "/rotations/shop")];
    let page = anonymous.post("/sign-in", &back).await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (303, "/rotations/shop")
    );
    let elsewhere = [("token", TOKEN), ("back", "//evil.example")];
    assert_eq!(anonymous.post("/sign-in", &elsewhere).await.location, "/");
    assert!(
        page.cookie.contains("; HttpOnly; SameSite=Strict"),
        "{}",
        page.cookie
    );
    assert!(!page.cookie.contains(TOKEN) && !endpoint.log().contains(TOKEN));

    let session = DashboardClient::signed_in(&endpoint.url, TOKEN).await;
    let csrf_token = session.csrf_token().await;
    let gone = session
        .post("/sign-out", &[("csrf_token", &csrf_token)])
        .await;
    assert!(gone.cookie.starts_with("twinkey_session=; ") && gone.cookie.contains("Max-Age=0"));
    std::fs::write(
        endpoint.env.folder.path().join("token"),
        "another-token-of-some-length",
    )
    .unwrap();
    until("the sessions of the old token have ended", async || {
        session.get("/").await.status == 401
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_act_like_the_api_and_are_logged_with_their_session() {
    let endpoint = Endpoint::open(Setup {
        rotation: "min_interval = \"1h\"\nschedule = \"cron(0 3 * * ? *)\"".into(),
        ..Setup::default()
    })
    .await;
    let session = DashboardClient::signed_in(&endpoint.url, TOKEN).await;
    let refused = session.act("rollback", &[("reason", "too early")]).await;
    assert_eq!(refused.status, 422);
    refused.has("secret_not_found");
    refused.has("or store the right password in the secret");
    refused.has("value=\"too early\"");

    let done = session.act("rotate", &[("reason", "first <of> all")]).await;
    assert_eq!(done.status, 303);
    let address = "/rotations/shop?done=rotate";
    assert!(done.location.starts_with(address), "{}", done.location);
    // An address without the receipt does not make the page say that.
    let page = session.get(address).await;
    assert!(!page.html.contains("A run has started."), "{}", page.html);
    until("the run has finished", async || {
        endpoint.json("/v1/rotations/shop").await["last_run"]["state"] == "succeeded"
    })
    .await;
    let page = session.get(&done.location).await;
    page.has("A run has started.");
    page.has("<q>first &lt;of&gt; all</q>");
    page.has("data-step=\"finish\" data-state=\"succeeded\"");
    // The same form sent twice starts one run.
    let asked = session.get("/rotations/shop/rotate").await;
    let (csrf_token, key) = (asked.field("csrf_token"), asked.field("key"));
    let forced = [
        ("csrf_token", csrf_token.as_str()),
        ("key", &key),
        ("force", "yes"),
    ];
    for _ in 0..2 {
        assert_eq!(
            session.post("/rotations/shop/rotate", &forced).await.status,
            303
        );
        until("the run has finished", async || {
            endpoint.json("/v1/rotations/shop").await["state"] == "idle"
        })
        .await;
    }
    assert_eq!(endpoint.json("/v1/runs").await.as_array().unwrap().len(), 2);

    let soon = session.act("rotate", &[("reason", "again")]).await;
    assert_eq!(soon.status, 409);
    soon.has("<code>too_soon</code>");
    soon.has("moved less than min_interval ago");
    soon.has("wait until ");
    let long = "x".repeat(1001);
    assert_eq!(session.act("pause", &[("reason", &long)]).await.status, 400);

    for (action, state) in [("pause", "paused"), ("resume", "idle")] {
        assert_eq!(
            session.act(action, &[("reason", "tonight")]).await.status,
            303
        );
        assert_eq!(endpoint.json("/v1/rotations/shop").await["state"], state);
        session
            .get("/")
            .await
            .has(&format!("<span class=\"word\">{state}</span>"));
    }
    assert_eq!(
        session
            .act("rollback", &[("reason", "back again")])
            .await
            .status,
        303
    );
    let twice = session.act("rollback", &[("reason", "twice")]).await;
    assert_eq!(twice.status, 409);
    twice.has("<code>already_rolled_back</code>");
    let current = endpoint.env.read(stage::CURRENT).await.0;
    assert_eq!(current["username"], "app_clone");

    let log = endpoint.log();
    for (asked, reason, refused) in [
        ("rollback", "too early", "secret_not_found"),
        ("rotate", "first <of> all", ""),
        ("rotate, by force", "", ""),
        ("rotate", "again", "too_soon"),
        ("pause", "tonight", ""),
        ("resume", "tonight", ""),
        ("rollback", "back again", ""),
    ] {
        let is_logged = |line: &str| {
            line.contains(&format!("action=\"{asked}\""))
                && line.contains("peer=127.0.0.1:")
                && line.contains(reason)
                && line.contains(refused)
                && line
                    .split("session=\"")
                    .nth(1)
                    .is_some_and(|rest| !rest.starts_with('"'))
        };
        assert!(log.lines().any(is_logged), "{asked} {reason}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_check_page_shows_check_and_plan() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let session = DashboardClient::signed_in(&endpoint.url, TOKEN).await;
    let page = session.get("/rotations/shop/database-check").await;
    assert_eq!(page.status, 200, "{}", page.html);
    let plan = endpoint.json("/v1/rotations/shop/plan").await;
    let changes = plan["changes"].as_array().unwrap();
    assert!(changes.len() > 2, "{plan}");
    for change in changes {
        let statement = change["statement"].as_str().unwrap();
        page.has(
            &statement
                .replace('&', "&amp;")
                .replace('"', "&quot;")
                .replace('<', "&lt;")
                .replace('>', "&gt;"),
        );
    }
    page.has("No session of the standby is open.");
    page.has("tls.mode = &quot;disable&quot;");
    endpoint
        .env
        .put_text(twinkey_testkit::environment::SECRET, "no JSON")
        .await;
    let broken = session.get("/rotations/shop/database-check").await;
    assert_eq!(broken.status, 200);
    broken.has("secret_malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rotations_of_the_filter_are_paused_and_resumed() {
    let endpoint = Endpoint::open(Setup {
        rotation: "schedule = \"cron(0 3 * * ? *)\"".into(),
        config: "[[rotation]]\nname = \"frozen\"\nsecret = \"prod/frozen\"\nengine = \"postgres\"\nmaster_secret = \"prod/master\"\npaused = true\n".into(),
        ..Setup::default()
    })
    .await;
    let session = DashboardClient::signed_in(&endpoint.url, TOKEN).await;
    let list = session.get("/?q=shop").await;
    list.has("href=\"/pause?q=shop\"");
    list.has("Pause these: 1 rotation<");
    assert!(!list.html.contains("Resume these"), "{}", list.html);
    let asked = session.get("/pause?q=shop").await;
    asked.has("Pause 1 rotation");
    let csrf_token = asked.field("csrf_token");
    let fields = |fingerprint: &str| {
        [
            ("csrf_token", csrf_token.clone()),
            ("reason", "a freeze".into()),
            ("fingerprint", fingerprint.to_owned()),
        ]
    };
    let send = async |path: &str, fingerprint: &str| {
        let fields = fields(fingerprint);
        let fields = fields
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        session.post(path, &fields).await
    };
    let paused = async || endpoint.json("/v1/rotations/shop").await["paused"].clone();

    // Of no rotation, as if `shop` did not match when the page was opened.
    let of_none = "00000000-0000-0000-0000-000000000000";
    let changed = send("/pause?q=shop", of_none).await;
    assert_eq!(changed.status, 409);
    changed.has("other rotations match now");
    assert!(paused().await.is_null());

    let done = send("/pause?q=shop", &asked.field("fingerprint")).await;
    assert_eq!(done.status, 303);
    let address = "/?q=shop&done=pause&count=1";
    assert!(done.location.starts_with(address), "{}", done.location);
    let paused_message = "1 rotation paused: no scheduled run starts.";
    session.get(&done.location).await.has(paused_message);
    let inflated = done.location.replace("count=1", "count=500");
    for forged in [address, &inflated] {
        let page = session.get(forged).await;
        let message = "paused: no scheduled run starts.";
        assert!(!page.html.contains(message), "{forged}: {}", page.html);
    }
    assert_eq!(paused().await["reason"], "a freeze");
    let asked = session.get("/pause").await;
    asked.has("No rotation to pause");
    asked.has("No rotation of this selection would change.");
    let list = session.get("/").await;
    list.has("Resume these: 1 rotation<");
    assert!(!list.html.contains("Pause these"), "{}", list.html);

    let asked = session.get("/resume?state=paused").await;
    asked.has("Resume 1 rotation");
    asked.has("1 rotation stays paused by the config.");
    let done = send("/resume?state=paused", &asked.field("fingerprint")).await;
    assert_eq!(done.status, 303);
    assert!(paused().await.is_null());
    assert_eq!(session.get("/pause?state=fine").await.status, 400);

    // Only the config ends its own pause.
    let frozen = async || endpoint.json("/v1/rotations/frozen").await["paused"].clone();
    assert_eq!(frozen().await["by"], "the config");
    let list = session.get("/?q=frozen").await;
    assert!(!list.html.contains("these: "), "{}", list.html);
    let asked = session.get("/resume?q=frozen").await;
    asked.has("No rotation to resume");
    asked.has("1 rotation stays paused by the config.");
    let page = session.get("/rotations/frozen").await;
    let resume = "href=\"/rotations/frozen/resume\"";
    assert!(!page.html.contains(resume), "{}", page.html);
    let asked = session.get("/rotations/frozen/resume").await;
    asked.has("It stays paused by the config.");
    let fields = [("csrf_token", asked.field("csrf_token"))];
    let fields = fields
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let done = session.post("/rotations/frozen/resume", &fields).await;
    assert_eq!(done.status, 303);
    let page = session.get(&done.location).await;
    page.has("Still paused by the config.");
    assert_eq!(frozen().await["by"], "the config");
}
