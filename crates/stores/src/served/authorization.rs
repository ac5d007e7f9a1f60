//! Parser of the Authorization header of a signed request (AWS Signature Version 4).
//!
//! Source:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>;
//! the messages are those of AWS.
//!
//! # Failure modes
//! - An unusual header panics or is ambiguous. Only the three parts, each once, are accepted. A
//!   header is never quoted, because it may contain a token.

use crate::local::{Refusal, RefusalKind};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Length of a SHA-256 in hexadecimal.
const SIGNATURE_LENGTH: usize = 64;
/// Limit of signed headers, far above real requests.
const MAX_HEADERS: usize = 64;

/// Parts of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization<'a> {
    pub key_id: &'a str,
    /// `YYYYMMDD`, not validated.
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
    pub terminator: &'a str,
    /// In lower case and in the order of the header.
    pub signed_headers: Vec<&'a str>,
    /// In hexadecimal, lower case.
    pub signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Parses a header.
    ///
    /// # Errors
    /// IncompleteSignatureException
    pub fn parse(header: &'a str) -> Result<Self, Refusal> {
        let Some(rest) = header
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with(' '))
        else {
            return Err(missing(&["Credential", "Signature", "SignedHeaders"]));
        };
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or_else(|| {
                incomplete(
                    "A part is not a valid key=value pair (missing equal-sign) in Authorization header.",
                )
            })?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(incomplete("Authorization header has an unknown parameter.")),
            };
            if slot.replace(value).is_some() {
                return Err(incomplete(
                    "Authorization header has a parameter more than once.",
                ));
            }
        }
        let (Some(credential), Some(signature), Some(signed_headers)) =
            (credential, signature, signed_headers)
        else {
            let parts = [
                (credential, "Credential"),
                (signature, "Signature"),
                (signed_headers, "SignedHeaders"),
            ];
            let absent = parts.into_iter().filter(|(part, _)| part.is_none());
            return Err(missing(&absent.map(|(_, name)| name).collect::<Vec<_>>()));
        };
        Self::of_parts(credential, signed_headers, signature)
    }

    fn of_parts(
        credential: &'a str,
        signed_headers: &'a str,
        signature: &'a str,
    ) -> Result<Self, Refusal> {
        let scope: Vec<&str> = credential.split('/').collect();
        let [key_id, date, region, service, terminator] = scope[..] else {
            return Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term.",
            ));
        };
        let names: Vec<&str> = signed_headers.split(';').collect();
        let is_name = |name: &&str| {
            let allowed =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
            !name.is_empty() && name.bytes().all(allowed)
        };
        if names.len() > MAX_HEADERS || !names.iter().all(is_name) {
            return Err(incomplete(
                "SignedHeaders must be names of headers in lower case.",
            ));
        }
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if signature.len() != SIGNATURE_LENGTH || !signature.bytes().all(is_hex) {
            return Err(incomplete(
                "Signature must be 64 hexadecimal digits in lower case.",
            ));
        }
        Ok(Self {
            key_id,
            date,
            region,
            service,
            terminator,
            signed_headers: names,
            signature,
        })
    }
}

fn incomplete(why: &str) -> Refusal {
    Refusal::new(RefusalKind::IncompleteSignature, why)
}

fn missing(parts: &[&str]) -> Refusal {
    let sentence = |name: &&str| format!("Authorization header requires '{name}' parameter.");
    let sentences: Vec<String> = parts.iter().map(sentence).collect();
    incomplete(&sentences.join(" "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIGNATURE: &str = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";

    fn header() -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature={SIGNATURE}"
        )
    }

    fn refused(header: &str) -> String {
        let refusal = Authorization::parse(header).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::IncompleteSignature);
        refusal.message
    }

    #[test]
    fn parses_a_header_with_and_without_spaces() {
        let expected = Authorization {
            key_id: "AKIDEXAMPLE",
            date: "20150830",
            region: "us-east-1",
            service: "service",
            terminator: "aws4_request",
            signed_headers: vec!["host", "x-amz-date"],
            signature: SIGNATURE,
        };
        assert_eq!(Authorization::parse(&header()), Ok(expected.clone()));
        let close = header().replace(", ", ",");
        assert_eq!(Authorization::parse(&close), Ok(expected));
    }

    #[test]
    fn names_missing_parts_as_aws_does() {
        let all = refused("");
        for part in ["Credential", "Signature", "SignedHeaders"] {
            assert!(
                all.contains(&format!("requires '{part}' parameter.")),
                "{all}"
            );
        }
        assert_eq!(refused("Bearer hunter2-hunter2"), all);
        let one = header().replace(&format!(", Signature={SIGNATURE}"), "");
        assert_eq!(
            refused(&one),
            "Authorization header requires 'Signature' parameter."
        );
    }

    #[test]
    fn refuses_an_ambiguous_header() {
        for (from, to) in [
            ("Credential=", "Credential=x/20150830/eu/s/t, Credential="),
            ("Signature=5", "Signature=5, Signature=5"),
            ("/service/", "/service/more/"),
            ("/service/", "/"),
            ("host;x-amz-date", "host;;x-amz-date"),
            ("host;x-amz-date", "Host;x-amz-date"),
            ("host;x-amz-date", ""),
            ("Signature=5", "Signature="),
            ("Signature=5", "Signature=G"),
            ("SignedHeaders=", "Signed"),
            ("SignedHeaders=", "More=x, SignedHeaders="),
            ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
            ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256"),
        ] {
            assert!(
                !refused(&header().replace(from, to)).is_empty(),
                "{from} {to}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_header_panics_or_is_quoted(text in "\\PC*") {
            if let Err(refusal) = Authorization::parse(&text) {
                prop_assert!(text.len() < 12 || !refusal.message.contains(&text));
            }
        }

        #[test]
        fn no_changed_character_panics(at in 0_usize..200, by in any::<char>()) {
            let mut characters: Vec<char> = header().chars().collect();
            let at = at % characters.len();
            characters[at] = by;
            let changed: String = characters.into_iter().collect();
            if let Ok(read) = Authorization::parse(&changed) {
                prop_assert!(read.signature.len() == 64 && !read.signed_headers.is_empty());
            }
        }
    }
}
