//! The appearance of pages: accessibility, narrow screens, and the pictures in `docs/`.

use std::path::{Path, PathBuf};

use super::fixture::BrowserFixture;
use twinkey_testkit::environment::until;

/// The code point of the tab key in WebDriver.
const TAB: &str = "\u{e004}";

fn axe() -> String {
    let cache = std::env::var_os("TWINKEY_CACHE").unwrap_or_else(|| ".cache".into());
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let file = manifest
        .join(cache)
        .join("axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(file).expect("axe-core is installed by make test-browser")
}

/// Writes a picture into `docs/` if `TWINKEY_WRITE_PICTURES` is set.
async fn picture(fixture: &BrowserFixture, name: &str) {
    if std::env::var_os("TWINKEY_WRITE_PICTURES").is_some() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        fixture
            .browser
            .picture(&docs.join(format!("dashboard-{name}.png")))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a browser: make test-browser"]
async fn every_page_is_accessible_on_all_screens_and_schemes() {
    let (fixture, axe) = (BrowserFixture::open().await, axe());
    let browser = &fixture.browser;
    browser.go(&fixture.url).await;
    browser.shows("This browser then keeps a session").await;
    assert_eq!(
        fixture.faults(&axe).await,
        Vec::<String>::new(),
        "the sign-in"
    );
    fixture.sign_in().await;
    for name in [
        "billing",
        "reporting",
        "orders",
        "billing",
        "sessions",
        "inventory",
        "billing",
    ] {
        fixture.rotated(name).await;
    }
    let failed = fixture.rotated("payments").await;
    assert_eq!(
        failed["state"], "failed",
        "its probe reads a missing table: {failed}"
    );
    fixture.post("/v1/rotations/sessions/pause").await;

    for (path, shown, name) in [
        ("/", "paused", ""),
        (
            "/rotations/billing",
            "No session of the standby is open.",
            "-rotation",
        ),
        ("/rotations/payments", "Check again", "-failed"),
        (
            "/rotations/orders/rotate",
            "gets a new password",
            "-confirm",
        ),
        ("/events", "sessions", "-events"),
        ("/pause?q=o", "Cancel", "-pause"),
        ("/rotations/none", "there is no rotation", "-none"),
    ] {
        for (scheme, width) in [
            ("light", 1280),
            ("dark", 1280),
            ("light", 390),
            ("dark", 390),
        ] {
            browser.prefers(scheme).await;
            browser.width(width).await;
            browser.go(&format!("{}{path}", fixture.url)).await;
            browser.shows(shown).await;
            if path == "/" || path == "/events" {
                browser.shows("Live").await;
            }
            let what = format!("{path} {scheme} at {width}");
            assert_eq!(fixture.faults(&axe).await, Vec::<String>::new(), "{what}");
            let wide = browser
                .script("return document.documentElement.scrollWidth")
                .await;
            assert!(
                wide.as_u64().unwrap() <= u64::from(width),
                "{what}: {wide} px wide"
            );
            match (name, scheme, width) {
                ("" | "-rotation", _, 1280) => picture(&fixture, &format!("{scheme}{name}")).await,
                ("" | "-rotation", "light", 390) => picture(&fixture, &format!("390{name}")).await,
                _ => {}
            }
        }
    }

    browser.width(1280).await;
    browser.go(&format!("{}/", fixture.url)).await;
    browser.shows("Live").await;
    let others = "return performance.getEntriesByType('resource').map((r) => r.name).filter((name) => !name.startsWith(location.origin))";
    assert_eq!(
        browser.script(others).await,
        serde_json::json!([]),
        "no request goes to another origin"
    );
    browser.press(TAB).await;
    let focused = "return document.activeElement.innerText";
    assert_eq!(browser.script(focused).await, "Skip to the content");
    // Every rotation is reachable by keyboard, and the focus survives updates of the page.
    until("a rotation has the focus", async || {
        browser.press(TAB).await;
        browser.script("return document.activeElement.id").await == "to-inventory"
    })
    .await;
    fixture.rotated("inventory").await;
    until("the row is new", async || {
        let text = "return document.querySelector('[data-rotation=inventory] .user.active')?.innerText ?? ''";
        !browser.script(text).await.as_str().unwrap().contains("_clone")
    })
    .await;
    assert_eq!(
        browser.script("return document.activeElement.id").await,
        "to-inventory"
    );
}
