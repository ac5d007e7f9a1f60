//! The actions of an operator, from the sign-in.

use serde_json::Value as Json;
use twinkey_stores::Selector;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::{SecretStore, stage};

use super::fixture::{BrowserFixture, TOKEN, last_success, secret};
use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::until;

/// A script that records each state of each step in the page. The record is lost if the page
/// reloads.
const WATCH: &str = r#"
window.seen = [];
const note = (step) => window.seen.push(`${step.dataset.step} ${step.dataset.state}`);
new MutationObserver((changes) => {
  for (const {target, type} of changes) {
    if (type === "attributes" && target.closest("[data-rotation='orders']")) note(target);
  }
}).observe(document.body, {subtree: true, attributes: true, attributeFilter: ["data-state"]});
"#;

async fn badge(fixture: &BrowserFixture) -> String {
    let text = "return document.querySelector('#status .badge').innerText.trim()";
    fixture
        .browser
        .script(text)
        .await
        .as_str()
        .unwrap()
        .to_owned()
}

async fn active(fixture: &BrowserFixture) -> String {
    let text = "return document.querySelector('#status .user.active .user-name').innerText";
    fixture
        .browser
        .script(text)
        .await
        .as_str()
        .unwrap()
        .to_owned()
}

/// The user in AWSCURRENT of `orders`, from the store.
async fn current(fixture: &BrowserFixture) -> String {
    let store = AwsStore::from_config(&sdk_config(&fixture.env.stand_in().url()));
    let version = store
        .get(&secret("orders"), Selector::Stage(stage::CURRENT))
        .await
        .unwrap();
    let document: Json =
        serde_json::from_str(secrecy::ExposeSecret::expose_secret(&version.value)).unwrap();
    document["username"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a browser: make test-browser"]
async fn an_operator_uses_every_action_of_the_dashboard() {
    let fixture = BrowserFixture::open().await;
    let browser = &fixture.browser;

    browser
        .go(&format!("{}/rotations/orders", fixture.url))
        .await;
    browser.shows("Sign in").await;
    browser
        .write("#token", "a-wrong-token-of-some-length")
        .await;
    browser.click("main button").await;
    browser.shows("That is not a token of this worker.").await;
    browser.write("#token", TOKEN).await;
    browser.click("main button").await;
    browser.shows("Shortest time between flips").await;
    assert_eq!(
        browser.path().await,
        "/rotations/orders",
        "the sign-in returns to the requested page"
    );
    let cookies = browser.script("return document.cookie").await;
    assert_eq!(cookies, "", "no script can read the session");

    // The steps arrive during the run, without a reload of the page.
    browser.go(&format!("{}/", fixture.url)).await;
    browser.shows("Live").await;
    browser.script(WATCH).await;
    let run = fixture.rotated("orders").await;
    assert_eq!(run["state"], "succeeded", "{run}");
    let wanted: Vec<String> = ["create", "set", "test", "finish"]
        .iter()
        .flat_map(|step| [format!("{step} running"), format!("{step} succeeded")])
        .collect();
    until("every step was seen", async || {
        let seen = browser.script("return window.seen").await;
        let seen: Vec<String> = serde_json::from_value(seen).unwrap();
        let steps: Vec<&String> = seen.iter().filter(|s| wanted.contains(s)).collect();
        steps.len() >= wanted.len() && wanted.iter().zip(steps).all(|(a, b)| a == b)
    })
    .await;
    until("the row shows the active user", async || {
        let text =
            "return document.querySelector('[data-rotation=orders] .user.active')?.innerText ?? ''";
        browser
            .script(text)
            .await
            .as_str()
            .unwrap()
            .contains("orders_clone")
    })
    .await;
    let announced = browser
        .script("return document.getElementById('announcer').textContent")
        .await;
    assert_eq!(
        announced, "orders: run succeeded",
        "screen readers get the result"
    );

    // The rotation is refused inside min_interval, with a reason and a hint. It succeeds with
    // force.
    browser.click("#to-orders").await;
    browser.shows("Shortest time between flips").await;
    browser.shows("No session of the standby is open.").await;
    browser.click("#do-rotate").await;
    browser
        .shows("gets a new password and exactly the privileges of")
        .await;
    browser.write("#reason", "deploy 4711").await;
    browser.click("#confirm").await;
    browser.shows("moved less than min_interval ago").await;
    browser.shows("wait until ").await;
    assert_eq!(current(&fixture).await, "orders_clone", "nothing changed");
    browser.click("#force").await;
    browser.click("#confirm").await;
    browser.shows("A run has started.").await;
    until("the page shows the active user", async || {
        active(&fixture).await == "orders"
    })
    .await;
    assert_eq!(current(&fixture).await, "orders");
    browser.shows("deploy 4711").await;

    for (button, asked, state) in [
        ("pause", "No scheduled run starts until", "paused"),
        ("resume", "start again", "idle"),
    ] {
        browser.click(&format!("#do-{button}")).await;
        browser.shows(asked).await;
        browser.click("#confirm").await;
        until(state, async || {
            browser.path().await == "/rotations/orders" && badge(&fixture).await == state
        })
        .await;
        assert_eq!(fixture.get("/v1/rotations/orders").await["state"], state);
    }

    browser.click("#do-rollback").await;
    browser.shows("No password changes.").await;
    browser.click("#confirm").await;
    browser.shows("Rolled back").await;
    assert_eq!(
        (active(&fixture).await, current(&fixture).await),
        ("orders_clone".into(), "orders_clone".into())
    );
    let view = fixture.get("/v1/rotations/orders").await;
    assert!(last_success(&view).is_some());

    browser.click(".top button").await;
    browser.shows("This browser then keeps a session").await;
}
