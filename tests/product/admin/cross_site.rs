//! Requests that a page of another site makes a browser send.

use reqwest::Method;

use super::dashboard::DashboardClient;
use super::{Endpoint, TOKEN};
use twinkey_testkit::environment::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn cross_site_fetches_neither_sign_in_nor_change_anything() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let before = endpoint.env.state().await;
    let session = DashboardClient::signed_in(&endpoint.url, TOKEN).await;
    let statements = || endpoint.env.log().len();
    let logged = statements();
    let send = async |method: &Method, path: &str, site: &str| {
        let request = session.ask(method.clone(), path);
        let request = request.bearer_auth(TOKEN).header("Sec-Fetch-Site", site);
        request.send().await.unwrap().status().as_u16()
    };
    for (method, path) in [
        (Method::GET, "/v1/rotations/shop/plan"),
        (Method::GET, "/v1/rotations/shop/check"),
        (Method::GET, "/rotations/shop/database-check"),
        (Method::POST, "/v1/rotations/shop/rotate"),
        (Method::POST, "/v1/rotations/shop/pause"),
        (Method::POST, "/rotations/shop/rotate"),
        (Method::POST, "/sign-in"),
        (Method::POST, "/sign-out"),
    ] {
        assert_eq!(
            send(&method, path, "cross-site").await,
            403,
            "{method} {path}"
        );
    }
    assert_eq!(statements(), logged, "no statement in the database");
    assert_eq!(endpoint.env.state().await, before, "nothing happened");
    for (path, site) in [
        ("/v1/rotations", "cross-site"),
        ("/", "cross-site"),
        ("/v1/rotations/shop/check", "same-origin"),
        ("/v1/rotations/shop/check", "none"),
        ("/rotations/shop/database-check", "same-origin"),
    ] {
        assert_eq!(send(&Method::GET, path, site).await, 200, "{path}: {site}");
    }
    assert!(statements() > logged, "the database logs statements");
}
