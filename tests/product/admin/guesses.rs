//! Wrong tokens.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;

use super::Endpoint;
use super::dashboard::DashboardClient;
use twinkey_testkit::environment::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_slowed_and_right_ones_are_not() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let guess = async || {
        let url = format!("{}/v1/rotations", endpoint.url);
        let request = endpoint
            .client
            .get(url)
            .bearer_auth("a-wrong-token-0123456");
        request.send().await.unwrap()
    };
    for _ in 0..10 {
        assert_eq!(guess().await.status(), 401);
    }
    let begun = Instant::now();
    assert_eq!(guess().await.status(), 401);
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let guesses = join_all((0..200).map(|_| guess()));
    let right = async {
        for _ in 0..20 {
            endpoint.json("/v1/rotations").await;
        }
    };
    let (refused, ()) = tokio::join!(guesses, right);
    let is_limited = |response: &&reqwest::Response| response.status() == 429;
    let limited: Vec<_> = refused.iter().filter(is_limited).collect();
    assert!(limited.len() >= 140, "{}", limited.len());
    for response in limited {
        let seconds: u32 = response.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        let kind = &response.headers()["content-type"];
        assert_eq!(kind, "application/problem+json");
    }
    let mut dashboard = DashboardClient::new(&endpoint.url);
    let page = dashboard
        .post("/sign-in", &[("token", "another-wrong-token")])
        .await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS.as_u16());
    dashboard = DashboardClient::signed_in(&endpoint.url, super::TOKEN).await;
    assert_eq!(dashboard.get("/").await.status, 200);
    let lines = endpoint.log();
    assert_eq!(lines.matches("wrong token refused").count(), 10);
    assert_eq!(lines.matches("wrong tokens slowed").count(), 1);
}
