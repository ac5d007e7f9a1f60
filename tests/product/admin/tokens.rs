//! Every route of the OpenAPI document, with and without the token.

use reqwest::Method;
use reqwest::header::{HOST, ORIGIN};

use super::{Endpoint, TOKEN};
use twinkey_testkit::environment::{Environment, Setup, free_address};

/// The method and path of every operation in the document, and whether it needs the token.
async fn operations(endpoint: &Endpoint) -> Vec<(Method, String, bool)> {
    let url = format!("{}/openapi.json", endpoint.url);
    let document: serde_json::Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            let path = path
                .replace("{name}", "shop")
                .replace("{id}", &uuid::Uuid::nil().to_string());
            operations.push((method, path, operation["security"].is_array()));
        }
    }
    assert!(operations.len() > 12, "{operations:?}");
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_except_the_public_ones_needs_the_token() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let before = endpoint.env.state().await;
    let open = ["/healthz", "/readyz", "/openapi.json"];
    let operations = operations(&endpoint).await;
    for (method, path, guarded) in &operations {
        assert_eq!(*guarded, !open.contains(&path.as_str()), "{path}");
        let ask = |token: Option<&str>| {
            let url = format!("{}{path}", endpoint.url);
            let request = endpoint.client.request(method.clone(), url);
            token
                .map_or(request.try_clone(), |token| {
                    Some(request.bearer_auth(token))
                })
                .unwrap()
                .send()
        };
        for token in [None, Some("a-wrong-token-of-some-length"), Some("")] {
            let answer = ask(token).await.unwrap();
            assert_eq!(
                answer.status() == 401,
                *guarded,
                "{method} {path}: {token:?}"
            );
            if *guarded {
                let kind = &answer.headers()["content-type"];
                assert_eq!(kind, "application/problem+json", "{method} {path}");
            }
        }
    }
    assert_eq!(endpoint.env.state().await, before, "nothing changed");
    for (method, path, _) in &operations {
        let url = format!("{}{path}", endpoint.url);
        let request = endpoint
            .client
            .request(method.clone(), url)
            .bearer_auth(TOKEN);
        let status = request.send().await.unwrap().status();
        assert!(status != 401 && status != 403, "{method} {path}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_site_requests_are_rejected() {
    let address = free_address();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    let _serve = env.serve(&address).await;
    let before = env.state().await;
    let client = reqwest::Client::new();
    let url = format!("http://{address}/v1/rotations/shop/rotate");
    for (header, value) in [
        (ORIGIN, "https://evil.example"),
        (ORIGIN, "null"),
        (HOST, "evil.example"),
    ] {
        let answer = client
            .post(&url)
            .header(&header, value)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 403, "{header}: {value}");
    }
    let rebound = client
        .get(format!("http://{address}/v1/rotations"))
        .header(HOST, "evil.example");
    assert_eq!(rebound.send().await.unwrap().status(), 403);
    assert_eq!(env.state().await, before, "nothing changed");
    let own = client
        .post(&url)
        .header(ORIGIN, format!("http://{address}"));
    assert_eq!(own.send().await.unwrap().status(), 202);
}
