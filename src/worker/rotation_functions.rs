//! Invocation of the rotation functions of `secrets.serve.functions`, as Lambda's invoke action does it.
//!
//! # Failure modes
//! - A response sends the worker to another address. Redirects are not followed, and no proxy is used.
//! - A function never answers. It has the time that Lambda gives a function at most.
//! - A failed function is taken for a successful one. The status, Lambda's header of errors and the error
//!   in the body of a runtime emulator are failures.
//! - A large response fills the memory. Only its beginning is read.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde_json::Value as Json;

use twinkey_core::printable::printable;
use twinkey_engines::tls::client_config;
use twinkey_stores::local::api::RotationFunctions;

/// The longest time of a Lambda function.
const TIME_LIMIT: Duration = Duration::from_secs(900);
/// The part of a response that is read.
const MAX_RESPONSE: usize = 64 * 1024;
/// The part of the name of an error that is shown.
const ERROR_NAME: usize = 100;

/// Functions that are invoked by HTTP.
pub struct HttpFunctions {
    urls: BTreeMap<String, Url>,
    client: Client,
}

/// Functions that cannot be invoked.
#[derive(Debug, thiserror::Error)]
#[error("secrets.serve.functions: {0}")]
pub struct FunctionsError(String);

impl HttpFunctions {
    /// Functions at these addresses, by their ARNs.
    ///
    /// # Errors
    /// The root certificates cannot be read.
    pub fn new(urls: BTreeMap<String, Url>) -> Result<Self, FunctionsError> {
        let tls = client_config(None).map_err(|error| FunctionsError(error.to_string()))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIME_LIMIT)
            .build();
        let client = client.map_err(|error| FunctionsError(error.to_string()))?;
        Ok(Self { urls, client })
    }
}

#[async_trait]
impl RotationFunctions for HttpFunctions {
    fn has(&self, function: &str) -> bool {
        self.urls.contains_key(function)
    }

    async fn invoke(&self, function: &str, event: &Json) -> Result<(), String> {
        let url = self.urls.get(function).ok_or("not in the config")?;
        let request = self.client.post(url.clone());
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .header("X-Amz-Invocation-Type", "RequestResponse")
            .body(event.to_string());
        let failed = |error: reqwest::Error| failure(url, error);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let is_error = response.headers().contains_key("X-Amz-Function-Error");
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&part);
            if body.len() > MAX_RESPONSE {
                body.truncate(MAX_RESPONSE);
                break;
            }
        }
        outcome(status.as_u16(), is_error, &body)
    }
}

/// Why an address was not reached or did not answer. The query of the address is not part of it.
fn failure(url: &Url, error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut reasons = format!(
        "{}{}: {error}",
        url.origin().ascii_serialization(),
        url.path()
    );
    let mut cause = error.source();
    while let Some(inner) = cause {
        reasons = format!("{reasons}: {inner}");
        cause = inner.source();
    }
    reasons
}

/// The outcome of an invocation. A function that returned has the status 200 and no error.
fn outcome(status: u16, is_error: bool, body: &[u8]) -> Result<(), String> {
    if !(200..300).contains(&status) {
        return Err(format!("the function responds {status}"));
    }
    let answer: Json = serde_json::from_slice(body).unwrap_or_default();
    match answer["errorType"].as_str() {
        Some(name) => Err(format!(
            "the function failed with {}",
            printable(name, ERROR_NAME)
        )),
        None if is_error || answer.get("errorMessage").is_some() => {
            Err("the function failed".into())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unreachable_function_is_named_with_the_cause() {
        // No server listens on the port of a listener that was closed.
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/invoke", closed.local_addr().unwrap());
        drop(closed);
        let url = Url::parse(&format!("{address}?code=hunter2")).unwrap();
        let functions = HttpFunctions::new(BTreeMap::from([("arn:f".to_owned(), url)])).unwrap();
        let error = functions.invoke("arn:f", &Json::Null).await.unwrap_err();
        assert!(error.starts_with(&format!("{address}: ")), "{error}");
        assert!(error.contains("Connection refused"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn errors_of_a_function_are_failures_without_their_text() {
        let error = br#"{"errorMessage": "hunter2", "errorType": "ValueError"}"#;
        let failed = "the function failed".to_owned();
        for (status, is_error, body, expected) in [
            (200, false, &b"null"[..], Ok(())),
            (200, false, b"", Ok(())),
            (
                200,
                false,
                error,
                Err("the function failed with ValueError".into()),
            ),
            (200, true, b"null", Err(failed.clone())),
            (200, false, br#"{"errorMessage": "hunter2"}"#, Err(failed)),
            (302, false, b"", Err("the function responds 302".into())),
            (502, false, error, Err("the function responds 502".into())),
        ] {
            assert_eq!(outcome(status, is_error, body), expected);
        }
    }
}
