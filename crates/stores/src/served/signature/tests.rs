use aws_credential_types::Credentials;
use axum::http::{HeaderName, HeaderValue, Request};

use super::*;

/// Key of AWS's test suite of Signature Version 4 (`aws-sig-v4-test-suite`). Cases that normalise a
/// path or a query are omitted: this protocol has one path.
const VECTORS: &[(&str, &str)] = &[
    (
        "get-vanilla",
        include_str!("../../../tests/fixtures/sigv4/get-vanilla.txt"),
    ),
    (
        "post-vanilla",
        include_str!("../../../tests/fixtures/sigv4/post-vanilla.txt"),
    ),
    (
        "get-header-value-trim",
        include_str!("../../../tests/fixtures/sigv4/get-header-value-trim.txt"),
    ),
    (
        "get-header-key-duplicate",
        include_str!("../../../tests/fixtures/sigv4/get-header-key-duplicate.txt"),
    ),
    (
        "get-header-value-order",
        include_str!("../../../tests/fixtures/sigv4/get-header-value-order.txt"),
    ),
    (
        "post-header-key-sort",
        include_str!("../../../tests/fixtures/sigv4/post-header-key-sort.txt"),
    ),
    (
        "post-header-value-case",
        include_str!("../../../tests/fixtures/sigv4/post-header-value-case.txt"),
    ),
    (
        "post-x-www-form-urlencoded",
        include_str!("../../../tests/fixtures/sigv4/post-x-www-form-urlencoded.txt"),
    ),
    (
        "get-vanilla-query-order-key-case",
        include_str!("../../../tests/fixtures/sigv4/get-vanilla-query-order-key-case.txt"),
    ),
];

fn identity(id: &str, secret: &str) -> Identity {
    Credentials::new(id, secret, None, None, "tests").into()
}

/// The head and the body of a request in wire format.
fn request(text: &str) -> (Parts, String) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let mut request = Request::builder()
        .method(first.next().unwrap())
        .uri(first.next().unwrap())
        .body(())
        .unwrap();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        request.headers_mut().append(
            name.parse::<HeaderName>().unwrap(),
            value.parse::<HeaderValue>().unwrap(),
        );
    }
    (request.into_parts().0, body.to_owned())
}

#[test]
fn computes_the_signatures_of_the_test_suite_of_aws() {
    let identity = identity("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    for (name, text) in VECTORS {
        let (head, body) = request(text);
        let header = head.headers[AUTHORIZATION].to_str().unwrap();
        let said = Authorization::parse(header).unwrap();
        let claim = SignatureClaim {
            key_id: said.key_id.into(),
            region: said.region.into(),
            signed_headers: said
                .signed_headers
                .iter()
                .map(|h| (*h).to_owned())
                .collect(),
            signature: said.signature.into(),
            signed_at: time(text_of(&head, DATE)).unwrap(),
        };
        let computed = claim.compute("service", &head, body.as_bytes(), &identity);
        assert_eq!(computed.as_deref(), Some(said.signature), "{name}");
    }
}

fn text_of<'a>(head: &'a Parts, name: &str) -> &'a str {
    head.headers[name].to_str().unwrap()
}

const ID: &str = "TWKYEXAMPLE234567ABC";
const BODY: &str = r#"{"SecretId":"a"}"#;

fn now() -> DateTime<Utc> {
    time("20261125T100000Z").unwrap()
}

/// A request signed by the SDK's signer at a given time.
fn signed(at: &str) -> Parts {
    let identity = identity(ID, "secret");
    let headers = [
        ("host", "127.0.0.1:8322"),
        ("x-amz-target", "secretsmanager.GetSecretValue"),
    ];
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name(SERVICE)
        .time(SystemTime::from(time(at).unwrap()))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let body = SignableBody::Bytes(BODY.as_bytes());
    let signable = SignableRequest::new("POST", "/", headers.into_iter(), body).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let mut request = Request::post("/").body(()).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    instructions.apply_to_request_http1x(&mut request);
    request.into_parts().0
}

/// The refusal of a request, if it is refused.
fn judged(head: &Parts, body: &str, secret: &str) -> Result<(), (RefusalKind, String)> {
    let judge = || {
        let claim = SignatureClaim::read(head)?;
        claim.check_time(now())?;
        claim.verify(head, body.as_bytes(), &identity(claim.key_id(), secret))
    };
    judge().map_err(|refusal: Refusal| (refusal.kind, refusal.message))
}

#[test]
fn a_changed_request_is_refused() {
    let at = "20261125T100000Z";
    assert_eq!(judged(&signed(at), BODY, "secret"), Ok(()));
    let mismatch = mismatch();
    let mismatch = Err((mismatch.kind, mismatch.message));
    assert_eq!(
        judged(&signed(at), r#"{"SecretId":"b"}"#, "secret"),
        mismatch
    );
    assert_eq!(judged(&signed(at), BODY, "Secret"), mismatch);
    for (name, value) in [
        ("x-amz-target", "secretsmanager.DeleteSecret"),
        ("host", "evil.example"),
        ("x-amz-date", "20261125T100001Z"),
    ] {
        let mut head = signed(at);
        head.headers.insert(name, HeaderValue::from_static(value));
        assert_eq!(judged(&head, BODY, "secret"), mismatch, "{name}");
    }
    let mut head = signed(at);
    head.uri = "/?x=y".parse().unwrap();
    assert_eq!(judged(&head, BODY, "secret"), mismatch);
    head = signed(at);
    head.headers.append(
        "x-amz-target",
        HeaderValue::from_static("secretsmanager.DeleteSecret"),
    );
    assert_eq!(judged(&head, BODY, "secret"), mismatch, "twice");
}

#[test]
fn a_request_is_valid_for_five_minutes() {
    for good in ["20261125T095500Z", "20261125T100500Z"] {
        assert_eq!(judged(&signed(good), BODY, "secret"), Ok(()), "{good}");
    }
    let (kind, old) = judged(&signed("20261125T095459Z"), BODY, "secret").unwrap_err();
    assert_eq!(kind, RefusalKind::InvalidSignature);
    assert_eq!(
        old,
        "Signature expired: 20261125T095459Z is now earlier than 20261125T095500Z (20261125T100000Z - 5 min.)"
    );
    let (_, early) = judged(&signed("20261125T100501Z"), BODY, "secret").unwrap_err();
    assert!(
        early.starts_with("Signature not yet current: 20261125T100501Z"),
        "{early}"
    );
}

#[test]
fn missing_and_wrongly_scoped_parts_have_the_errors_of_aws() {
    let change = |name: &'static str, from: &str, to: &str| {
        let mut head = signed("20261125T100000Z");
        let value = text_of(&head, name).replace(from, to);
        head.headers.insert(name, value.parse().unwrap());
        judged(&head, BODY, "secret").unwrap_err()
    };
    for (name, from, to, kind, why) in [
        (
            "authorization",
            "/secretsmanager/",
            "/sqs/",
            RefusalKind::InvalidSignature,
            "correct service",
        ),
        (
            "authorization",
            "/aws4_request",
            "/aws5",
            RefusalKind::InvalidSignature,
            "valid terminator",
        ),
        (
            "authorization",
            "/eu-west-1/",
            "//",
            RefusalKind::InvalidSignature,
            "valid region",
        ),
        (
            "authorization",
            "/20261125/",
            "/20261124/",
            RefusalKind::InvalidSignature,
            "Date in Credential scope",
        ),
        (
            "authorization",
            "/20261125/",
            "/2026/",
            RefusalKind::InvalidSignature,
            "Date in Credential scope",
        ),
        (
            "authorization",
            "host;",
            "",
            RefusalKind::InvalidSignature,
            "'host' must be a 'SignedHeader'",
        ),
        (
            "authorization",
            ";x-amz-target",
            "",
            RefusalKind::InvalidSignature,
            "'x-amz-target' must be",
        ),
        (
            "authorization",
            "Signature=",
            "Sig=",
            RefusalKind::IncompleteSignature,
            "unknown parameter",
        ),
        (
            "x-amz-date",
            "T",
            "t",
            RefusalKind::IncompleteSignature,
            "'X-Amz-Date'",
        ),
        (
            "x-amz-date",
            "20261125",
            "20261345",
            RefusalKind::IncompleteSignature,
            "'X-Amz-Date'",
        ),
    ] {
        let (is, said) = change(name, from, to);
        assert_eq!(is, kind, "{from} -> {to}: {said}");
        assert!(said.contains(why), "{said}");
    }
    let without = |name: &str| {
        let mut head = signed("20261125T100000Z");
        head.headers.remove(name);
        judged(&head, BODY, "secret").unwrap_err().0
    };
    assert_eq!(
        without("authorization"),
        RefusalKind::MissingAuthenticationToken
    );
    assert_eq!(without("x-amz-date"), RefusalKind::IncompleteSignature);
    assert_eq!(without("host"), RefusalKind::InvalidSignature);
    let mut head = signed("20261125T100000Z");
    head.headers
        .insert(TOKEN, HeaderValue::from_static("a session's"));
    assert_eq!(
        judged(&head, BODY, "secret").unwrap_err().0,
        RefusalKind::UnrecognizedClient
    );
}
