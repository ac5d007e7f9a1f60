//! Verification of AWS Signature Version 4. The SDK's signer computes the signature again, and both
//! are compared.
//!
//! Source:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>;
//! the messages are those of AWS.
//!
//! # Failure modes
//! - A part of a request is changed. The signature covers the method, the path, the named headers
//!   and the hash of the received body. Host, X-Amz-Date and X-Amz-Target must be among the
//!   headers.
//! - An old request is replayed. Its time may differ from now by five minutes, as in AWS. Within
//!   that time TLS prevents others from reading it.
//! - A comparison reveals how much of a guess is right. It takes constant time.
//! - Large bodies keep the server busy. The key and the time are checked from the head, before the
//!   body is read.

use std::time::SystemTime;

use aws_lc_rs::constant_time;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use crate::local::{Refusal, RefusalKind};

use super::authorization::Authorization;

const SERVICE: &str = "secretsmanager";
const TERMINATOR: &str = "aws4_request";
const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";
/// Headers that a signature must cover.
const REQUIRED_HEADERS: [&str; 3] = ["host", DATE, "x-amz-target"];
const FORMAT: &str = "%Y%m%dT%H%M%SZ";
/// Limit of the difference between a request's time and now.
const MAX_SKEW: TimeDelta = TimeDelta::minutes(5);

/// Signature data from the head of a request.
#[derive(Debug)]
pub(super) struct SignatureClaim {
    key_id: String,
    region: String,
    signed_headers: Vec<String>,
    signature: String,
    signed_at: DateTime<Utc>,
}

/// The refusal of an unknown key, or of a session token, which no key of the served store has.
pub(super) fn unrecognized() -> Refusal {
    Refusal::new(
        RefusalKind::UnrecognizedClient,
        "The security token included in the request is invalid.",
    )
}

fn invalid(why: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::InvalidSignature, why)
}

fn mismatch() -> Refusal {
    invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
         Access AccessKey and signing method. Consult the service documentation for details.",
    )
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl SignatureClaim {
    /// Reads the signature of a request.
    ///
    /// # Errors
    /// The errors of AWS for a missing, incomplete or wrongly scoped signature.
    pub(super) fn read(head: &Parts) -> Result<Self, Refusal> {
        let headers = &head.headers;
        let Some(header) = headers.get(AUTHORIZATION) else {
            return Err(Refusal::new(
                RefusalKind::MissingAuthenticationToken,
                "Missing Authentication Token",
            ));
        };
        let authorization = Authorization::parse(header.to_str().unwrap_or_default())?;
        let Some((date, signed_at)) = text(headers, DATE).and_then(|d| Some((d, time(d)?))) else {
            return Err(Refusal::new(
                RefusalKind::IncompleteSignature,
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
            ));
        };
        let signed = |name: &str| authorization.signed_headers.contains(&name);
        for name in REQUIRED_HEADERS {
            if !signed(name) || !headers.contains_key(name) {
                return Err(invalid(format!(
                    "'{name}' must be a 'SignedHeader' in the AWS Authorization."
                )));
            }
        }
        if authorization.terminator != TERMINATOR {
            return Err(invalid(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}'."
            )));
        }
        if authorization.service != SERVICE {
            return Err(invalid(format!(
                "Credential should be scoped to correct service: '{SERVICE}'."
            )));
        }
        if authorization.region.is_empty() {
            return Err(invalid("Credential should be scoped to a valid region."));
        }
        if !date.starts_with(authorization.date) || authorization.date.len() != 8 {
            return Err(invalid(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{}', from '{date}'.",
                &date[..8]
            )));
        }
        if headers.contains_key(TOKEN) {
            return Err(unrecognized());
        }
        Ok(Self {
            key_id: authorization.key_id.to_owned(),
            region: authorization.region.to_owned(),
            signed_headers: authorization
                .signed_headers
                .iter()
                .map(|h| (*h).to_owned())
                .collect(),
            signature: authorization.signature.to_owned(),
            signed_at,
        })
    }

    /// The id of the signing key.
    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Refuses a signature that is too old or in the future.
    ///
    /// # Errors
    /// InvalidSignatureException
    pub(super) fn check_time(&self, now: DateTime<Utc>) -> Result<(), Refusal> {
        let write = |at: DateTime<Utc>| at.format(FORMAT).to_string();
        let (at, here) = (write(self.signed_at), write(now));
        if now - self.signed_at > MAX_SKEW {
            let least = write(now - MAX_SKEW);
            return Err(invalid(format!(
                "Signature expired: {at} is now earlier than {least} ({here} - 5 min.)"
            )));
        }
        if self.signed_at - now > MAX_SKEW {
            let most = write(now + MAX_SKEW);
            return Err(invalid(format!(
                "Signature not yet current: {at} is still later than {most} ({here} + 5 min.)"
            )));
        }
        Ok(())
    }

    /// Refuses a request that was changed or signed by another identity.
    ///
    /// # Errors
    /// InvalidSignatureException
    pub(super) fn verify(
        &self,
        head: &Parts,
        body: &[u8],
        identity: &Identity,
    ) -> Result<(), Refusal> {
        let computed = self.compute(SERVICE, head, body, identity);
        let computed = computed.ok_or_else(mismatch)?;
        constant_time::verify_slices_are_equal(computed.as_bytes(), self.signature.as_bytes())
            .map_err(|_| mismatch())
    }

    /// The expected signature; `None` if none can be computed.
    fn compute(
        &self,
        service: &str,
        head: &Parts,
        body: &[u8],
        identity: &Identity,
    ) -> Option<String> {
        let mut settings = SigningSettings::default();
        // All headers that the request names are signed.
        settings.excluded_headers = None;
        let params = v4::SigningParams::builder()
            .identity(identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::from(self.signed_at))
            .settings(settings)
            .build()
            .ok()?
            .into();
        let mut headers = Vec::with_capacity(self.signed_headers.len());
        for name in &self.signed_headers {
            for value in head.headers.get_all(name.as_str()) {
                headers.push((name.as_str(), value.to_str().ok()?));
            }
        }
        let request = SignableRequest::new(
            head.method.as_str(),
            head.uri.to_string(),
            headers.into_iter(),
            SignableBody::Bytes(body),
        );
        let signed = sign(request.ok()?, &params).ok()?;
        Some(signed.signature().to_owned())
    }
}

/// Parses the only format of `X-Amz-Date`.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let at = NaiveDateTime::parse_from_str(text, FORMAT).ok()?.and_utc();
    (text.len() == 16 && at.format(FORMAT).to_string() == text).then_some(at)
}

#[cfg(test)]
mod tests;
