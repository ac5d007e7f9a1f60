//! Whose request it is: AWS Signature Version 4, computed anew by the SDK's own signer and compared.
//!
//! What can go wrong, and what prevents it:
//! - a part of a request is changed on the way: the signature is over the method, the path, the headers that it
//!   names and the body's hash, which is always computed of the body that came; Host, X-Amz-Date and
//!   X-Amz-Target have to be among the headers;
//! - an old request is sent again: its time may be five minutes from now at most, as with AWS. Within these it
//!   can be, as with AWS: TLS is what keeps others from having it;
//! - a guess is log how much of it was right: the comparison takes the same time wherever they differ;
//! - somebody keeps the server busy with large bodies: whose key it is, and when it was signed, is known from
//!   the head, before the body is read.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>; the
//! sentences are those that AWS answers with.

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
/// What a signature has to be over, where the request has it.
const MUST_BE_SIGNED: [&str; 3] = ["host", DATE, "x-amz-target"];
const FORMAT: &str = "%Y%m%dT%H%M%SZ";
/// How far a request's time may be from ours.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// What a request's head claims.
#[derive(Debug)]
pub(super) struct SignatureClaim {
    key_id: String,
    region: String,
    signed_headers: Vec<String>,
    signature: String,
    signed_at: DateTime<Utc>,
}

/// Nobody has this key, or it came with a session's token, which no key here has.
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
    /// Reads it.
    ///
    /// # Errors
    /// AWS's for a signature that is missing, incomplete, or of another scope.
    pub(super) fn read(head: &Parts) -> Result<Self, Refusal> {
        let headers = &head.headers;
        let Some(header) = headers.get(AUTHORIZATION) else {
            return Err(Refusal::new(
                RefusalKind::MissingAuthenticationToken,
                "Missing Authentication Token",
            ));
        };
        let said = Authorization::parse(header.to_str().unwrap_or_default())?;
        let Some((date, signed_at)) = text(headers, DATE).and_then(|d| Some((d, time(d)?))) else {
            return Err(Refusal::new(
                RefusalKind::IncompleteSignature,
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
            ));
        };
        let signed = |name: &str| said.signed_headers.contains(&name);
        for name in MUST_BE_SIGNED {
            if !signed(name) || !headers.contains_key(name) {
                return Err(invalid(format!(
                    "'{name}' must be a 'SignedHeader' in the AWS Authorization."
                )));
            }
        }
        if said.terminator != TERMINATOR {
            return Err(invalid(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}'."
            )));
        }
        if said.service != SERVICE {
            return Err(invalid(format!(
                "Credential should be scoped to correct service: '{SERVICE}'."
            )));
        }
        if said.region.is_empty() {
            return Err(invalid("Credential should be scoped to a valid region."));
        }
        if !date.starts_with(said.date) || said.date.len() != 8 {
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
            key_id: said.key_id.to_owned(),
            region: said.region.to_owned(),
            signed_headers: said
                .signed_headers
                .iter()
                .map(|h| (*h).to_owned())
                .collect(),
            signature: said.signature.to_owned(),
            signed_at,
        })
    }

    /// The id of the key that it says it is signed with.
    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Refuses what was signed too long ago, or is not signed yet.
    ///
    /// # Errors
    /// InvalidSignatureException
    pub(super) fn check_time(&self, now: DateTime<Utc>) -> Result<(), Refusal> {
        let write = |at: DateTime<Utc>| at.format(FORMAT).to_string();
        let (at, here) = (write(self.signed_at), write(now));
        if now - self.signed_at > SKEW {
            let least = write(now - SKEW);
            return Err(invalid(format!(
                "Signature expired: {at} is now earlier than {least} ({here} - 5 min.)"
            )));
        }
        if self.signed_at - now > SKEW {
            let most = write(now + SKEW);
            return Err(invalid(format!(
                "Signature not yet current: {at} is still later than {most} ({here} + 5 min.)"
            )));
        }
        Ok(())
    }

    /// Refuses what is not signed with this identity, or was changed since.
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

    /// The signature that the request should have; `None` where it cannot have one.
    fn compute(
        &self,
        service: &str,
        head: &Parts,
        body: &[u8],
        identity: &Identity,
    ) -> Option<String> {
        let mut settings = SigningSettings::default();
        // Those that the request names are signed, whichever they are.
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

/// A time as `X-Amz-Date` writes it, of which there is one way only.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let at = NaiveDateTime::parse_from_str(text, FORMAT).ok()?.and_utc();
    (text.len() == 16 && at.format(FORMAT).to_string() == text).then_some(at)
}

#[cfg(test)]
mod tests;
