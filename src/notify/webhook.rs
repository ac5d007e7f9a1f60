//! Webhook channel: the message as JSON, posted and signed with HMAC-SHA256.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use secrecy::ExposeSecret;

use super::message::Message;
use super::{DeliveryFailure, NotifyError};
use crate::config::settings::{Destination, MIN_KEY_LENGTH, TokenSource};
use twinkey_engines::tls::client_config;

/// The time limit of one attempt, from the connection to the end of the response.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The header `t=UNIX SECONDS,v1=HEX`: the HMAC of the seconds, a full stop, and the body.
const SIGNATURE_HEADER: &str = "Twinkey-Signature";
/// The header of the message's id.
const ID_HEADER: &str = "Twinkey-Event-Id";

pub(super) struct Webhook {
    url: Url,
    key: hmac::Key,
    client: Client,
}

impl Webhook {
    pub(super) fn new(
        to: &Destination,
        url: &Url,
        key: &TokenSource,
        ca_file: Option<&Path>,
    ) -> Result<Self, NotifyError> {
        let to = || to.to_string();
        let key = key
            .read(MIN_KEY_LENGTH)
            .map_err(|source| NotifyError::Key { to: to(), source })?;
        let tls = client_config(ca_file).map_err(|source| NotifyError::Roots {
            to: to(),
            source: Box::new(source),
        })?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .timeout(TIME_LIMIT)
            .build();
        let client = client.map_err(|source| NotifyError::Client {
            to: to(),
            source: source.without_url(),
        })?;
        Ok(Self {
            url: url.clone(),
            key: hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes()),
            client,
        })
    }

    pub(super) async fn deliver(
        &self,
        message: &Message,
        now: DateTime<Utc>,
    ) -> Result<(), DeliveryFailure> {
        let body = message.json()?;
        let signature = signature(&self.key, now.timestamp(), &body);
        let request = self.client.post(self.url.clone());
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .header(SIGNATURE_HEADER, signature)
            .header(ID_HEADER, &message.id)
            .body(body);
        let response = request.send().await.map_err(|error| DeliveryFailure {
            // The URL may be a secret.
            reason: error.without_url().to_string(),
            retryable: true,
            retry_after: None,
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let after = response.headers().get(RETRY_AFTER);
        let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
        Err(DeliveryFailure {
            reason: format!("the receiver responds {status}"),
            retryable: status.is_server_error()
                || matches!(
                    status,
                    StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                ),
            retry_after: after.map(Duration::from_secs),
        })
    }
}

/// The signature of time and body; the time lets the receiver refuse a replayed message.
fn signature(key: &hmac::Key, seconds: i64, body: &str) -> String {
    let tag = hmac::sign(key, format!("{seconds}.{body}").as_bytes());
    let hex: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={seconds},v1={hex}")
}
