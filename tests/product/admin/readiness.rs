//! `/readyz`, which needs no token.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::Endpoint;
use twinkey_testkit::environment::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_call_the_store_once_a_second() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let url = format!("{}/readyz", endpoint.url);
    let calls = || endpoint.env.stand_in().faults().count("ListSecrets");
    let (before, begun) = (calls(), Instant::now());
    let mut requests = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        let all = (0..20).map(async |n| {
            let request = endpoint.client.get(&url);
            // Some clients do not wait for the response.
            let limit = Duration::from_millis(if n % 4 == 0 { 1 } else { 10_000 });
            if let Ok(response) = request.timeout(limit).send().await {
                assert_eq!(response.status(), 200);
            }
        });
        requests += join_all(all).await.len();
    }
    let (made, seconds) = (calls() - before, begun.elapsed().as_secs() as usize);
    println!("{requests} requests, {made} calls in {seconds} s");
    assert!(requests > 60 && made <= seconds + 2, "{made} calls");
    assert!(made >= 2, "the state is refreshed");
}
