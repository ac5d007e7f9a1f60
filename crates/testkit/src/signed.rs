//! Request signatures by the signer of the AWS SDK, for clients without the SDK.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;

/// The signed headers of `POST /` to `host` for an action, with the time `at`.
pub fn headers(
    host: &str,
    (id, secret): (&str, &str),
    action: &str,
    body: &str,
    at: SystemTime,
) -> Vec<(String, String)> {
    let identity = Credentials::new(id, secret, None, None, "tests").into();
    let target = format!("secretsmanager.{action}");
    let mut headers = vec![
        ("host".to_owned(), host.to_owned()),
        ("x-amz-target".to_owned(), target),
        (
            "content-type".to_owned(),
            "application/x-amz-json-1.1".to_owned(),
        ),
    ];
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("secretsmanager")
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let named = headers.iter().map(|(name, value)| (&**name, &**value));
    let body = SignableBody::Bytes(body.as_bytes());
    let request = SignableRequest::new("POST", "/", named, body).unwrap();
    let (signed, _) = sign(request, &params).unwrap().into_parts();
    let (more, _) = signed.into_parts();
    let more = more
        .iter()
        .map(|h| (h.name().to_owned(), h.value().to_owned()));
    headers.extend(more);
    headers
}
