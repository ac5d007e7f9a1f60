//! Requests of the driver, and the SCRAM challenges (RFC 5802) that it may answer.

use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument};

use super::wire::RelayError;
use super::{Remedy, Violation};

/// The minimum of rounds (RFC 7677).
const LEAST_ROUNDS: u32 = 4096;
/// The maximum of rounds. MongoDB's defaults are 10,000 (SHA-1) and 15,000 (SHA-256).
pub(super) const MOST_ROUNDS: u32 = 1_000_000;
const MECHANISMS: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-1"];

/// A request of the driver.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// `hello` without a sign-in.
    Hello,
    /// The begin of SCRAM, in `saslStart` or in `hello`, with the client's nonce.
    Start { nonce: String },
    /// The client's proof of the password. The driver then verifies the server's.
    Proof,
    /// Any other command.
    Command,
}

impl Request {
    /// Reads the driver's request.
    pub(super) fn parse(document: &[u8]) -> Result<Self, RelayError> {
        let document = RawDocument::from_bytes(document).map_err(|_| RelayError::Io)?;
        let name = match document.iter().next() {
            Some(Ok((name, _))) => name.to_string().to_ascii_lowercase(),
            _ => return Err(RelayError::Io),
        };
        let start = match name.as_str() {
            "hello" | "ismaster" => match document.get_document("speculativeAuthenticate") {
                Ok(start) => start,
                Err(_) => return Ok(Self::Hello),
            },
            "saslstart" => document,
            "saslcontinue" => return Ok(Self::Proof),
            _ => return Ok(Self::Command),
        };
        let mechanism = start.get_str("mechanism").unwrap_or_default();
        let nonce = match start.get("payload") {
            Ok(Some(RawBsonRef::Binary(payload))) => std::str::from_utf8(payload.bytes)
                .ok()
                .and_then(|text| text.rsplit_once(",r="))
                .map(|(_, nonce)| nonce.to_owned()),
            _ => None,
        };
        match nonce {
            Some(nonce) if MECHANISMS.contains(&mechanism) => Ok(Self::Start { nonce }),
            _ => Err(RelayError::unexpected(format!(
                "the sign-in by {mechanism:?} is not supported"
            ))),
        }
    }
}

/// Checks the response to a request of the sign-in.
pub(super) fn check(request: &Request, response: &Document) -> Result<(), RelayError> {
    let Request::Start { nonce } = request else {
        return Ok(());
    };
    let answer = match response.get("speculativeAuthenticate") {
        Some(Bson::Document(answer)) => answer,
        _ => response,
    };
    match answer.get("payload") {
        Some(Bson::Binary(payload)) => check_challenge(&payload.bytes, nonce),
        // The driver refuses any other challenge, and an error has none.
        _ => Ok(()),
    }
}

/// Checks a `server-first-message`.
pub(super) fn check_challenge(challenge: &[u8], own_nonce: &str) -> Result<(), RelayError> {
    let malformed = || RelayError::unexpected("the server's SCRAM challenge is malformed");
    let text = std::str::from_utf8(challenge).map_err(|_| malformed())?;
    let mut fields = text.split(',');
    let mut field = |name: &str| {
        let field = fields.next().and_then(|field| field.strip_prefix(name));
        field.ok_or_else(malformed)
    };
    let nonce = field("r=")?;
    field("s=")?;
    let rounds: u32 = field("i=")?.parse().map_err(|_| malformed())?;
    // The driver panics at a shorter nonce, and one without a part of the server can be repeated.
    if !nonce.starts_with(own_nonce) || nonce.len() == own_nonce.len() {
        return Err(malformed());
    }
    let limit = if rounds > MOST_ROUNDS {
        format!("the limit is {MOST_ROUNDS}")
    } else if rounds < LEAST_ROUNDS {
        format!("at least {LEAST_ROUNDS} are required")
    } else {
        return Ok(());
    };
    Err(RelayError::Violation(Violation {
        reason: format!("the server requests {rounds} rounds of SCRAM; {limit}"),
        remedy: Remedy::Rounds,
    }))
}
