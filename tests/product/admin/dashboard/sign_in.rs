//! Access to every route.

use reqwest::Method;
use reqwest::header::{HOST, ORIGIN};

use super::{DashboardClient, read};
use crate::admin::{Endpoint, TOKEN};
use twinkey_testkit::environment::{Environment, Setup, free_address};

/// The routes without a session.
const OPEN: [(&str, &str); 5] = [
    ("GET", "/assets/dashboard.css"),
    ("GET", "/assets/dashboard.js"),
    ("GET", "/assets/icon.svg"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
];

/// The routes with a session: all routes of the dashboard except [`OPEN`].
fn guarded() -> Vec<(Method, String)> {
    let all = twinkey::admin::dashboard::all_routes();
    let open = all.iter().filter(|route| OPEN.contains(route)).count();
    assert_eq!(open, OPEN.len(), "{all:?}");
    all.into_iter()
        .filter(|route| !OPEN.contains(route))
        .map(|(method, path)| (method.parse().unwrap(), path.replace("{name}", "shop")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_needs_a_session_and_every_form_its_csrf_token() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let before = endpoint.env.state().await;
    let anonymous = DashboardClient::new(&endpoint.url);
    let session = DashboardClient::signed_in(&endpoint.url, TOKEN).await;
    let other = DashboardClient::signed_in(&endpoint.url, TOKEN).await;
    let (csrf_token, others) = (session.csrf_token().await, other.csrf_token().await);
    assert_ne!(csrf_token, others);
    let made_up = "twinkey_session=99999999999.0123456789abcdef.AAAA";
    let routes = guarded();
    assert!(routes.len() >= 12, "{routes:?}");
    for (method, path) in &routes {
        let asks = [
            anonymous.ask(method.clone(), path),
            anonymous.ask(method.clone(), path).bearer_auth(TOKEN),
            anonymous
                .ask(method.clone(), path)
                .header("Cookie", made_up),
            anonymous
                .ask(method.clone(), path)
                .header("Cookie", format!("{}x", session.cookie)),
        ];
        for ask in asks {
            let page = read(ask.send().await.unwrap()).await;
            assert_eq!(page.status, 401, "{method} {path}");
            page.has("<h1>Sign in</h1>");
        }
        if *method == Method::POST {
            for fields in [
                &[][..],
                &[("csrf_token", "")],
                &[("csrf_token", "x")],
                &[("csrf_token", others.as_str())],
            ] {
                let page = session.post(path, fields).await;
                assert_eq!(page.status, 403, "{path} {fields:?}");
                page.has("the form does not belong to the session that sent it");
            }
            let elsewhere = session
                .ask(Method::POST, path)
                .header(ORIGIN, "https://evil.example")
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(format!("csrf_token={csrf_token}"));
            assert_eq!(elsewhere.send().await.unwrap().status(), 403, "{path}");
        }
    }
    assert_eq!(endpoint.env.state().await, before, "nothing changed");
    for (method, path) in &routes {
        let page = match *method {
            Method::POST => session.post(path, &[("csrf_token", &csrf_token)]).await,
            _ => session.get(path).await,
        };
        assert!(
            ![401, 403, 404, 405, 500].contains(&page.status),
            "{method} {path}: {}",
            page.status
        );
    }
    let (status, _) = endpoint
        .answer(
            endpoint
                .client
                .get(format!("{}/v1/rotations", endpoint.url))
                .header("Cookie", &session.cookie),
        )
        .await;
    assert_eq!(status, 200, "a session may read the API");
    let by_cookie = endpoint
        .client
        .post(format!("{}/v1/rotations/shop/rotate", endpoint.url));
    let (status, _) = endpoint
        .answer(by_cookie.header("Cookie", &session.cookie))
        .await;
    assert_eq!(status, 401, "a session may not write through the API");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_the_security_headers() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let session = DashboardClient::signed_in(&endpoint.url, TOKEN).await;
    let anonymous = DashboardClient::new(&endpoint.url);
    let paths = [
        "/",
        "/rotations/shop",
        "/rotations/none",
        "/assets/dashboard.js",
        "/sign-in",
    ];
    for asked in paths
        .iter()
        .flat_map(|p| [session.ask(Method::GET, p), anonymous.ask(Method::GET, p)])
    {
        let answer = asked.send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("referrer-policy"), "same-origin");
    }
    let missing = session.get("/rotations/none").await;
    assert_eq!(missing.status, 404);
    missing.has("there is no rotation &quot;none&quot;");
    assert_eq!(session.get("/?state=sleeping").await.status, 400);
    assert_eq!(session.get("/rotations/shop?before=1").await.status, 400);
    assert_eq!(
        session
            .ask(Method::DELETE, "/")
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_only_same_site_requests_are_served() {
    let address = free_address();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    let _serve = env.serve(&address).await;
    let mut session = DashboardClient::new(&format!("http://{address}"));
    let first = session.get("/").await;
    assert_eq!(first.status, 200, "{}", first.html);
    first.has("href=\"/rotations/shop\"");
    assert!(
        !first.html.contains("Sign out"),
        "without a token there is no sign-out"
    );
    // A session starts automatically, so that forms have a CSRF token.
    assert!(
        first.cookie.contains("HttpOnly; SameSite=Strict"),
        "{}",
        first.cookie
    );
    let before = env.state().await;
    assert_eq!(
        session.post("/rotations/shop/rotate", &[]).await.status,
        403
    );
    for (header, value) in [(HOST, "evil.example"), (HOST, "evil.example:8321")] {
        let rebound = session.ask(Method::GET, "/").header(header, value);
        assert_eq!(rebound.send().await.unwrap().status(), 403, "{value}");
    }
    session.cookie = first.cookie.split(';').next().unwrap().to_owned();
    let csrf_token = session.csrf_token().await;
    for origin in ["https://evil.example", "null"] {
        let form = session
            .ask(Method::POST, "/rotations/shop/pause")
            .header(ORIGIN, origin)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("csrf_token={csrf_token}"));
        assert_eq!(form.send().await.unwrap().status(), 403, "{origin}");
    }
    assert_eq!(env.state().await, before, "nothing changed");
    assert_eq!(session.act("rotate", &[]).await.status, 303);
}
