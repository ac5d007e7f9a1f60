use super::*;

fn fields(host: Option<&str>, port: Option<u16>) -> Fields {
    let document = serde_json::json!({
        "username": "master", "password": "x", "host": host, "port": port,
    });
    let text = twinkey_core::secret::Sensitive::from(document.to_string());
    let document = twinkey_core::secret::document::Document::parse(text).unwrap();
    document.fields().clone()
}

fn address(text: &str) -> HostPort {
    text.parse().unwrap()
}

#[test]
fn only_trusted_sources_name_the_host() {
    type Row<'a> = (
        Option<&'a str>,
        Option<u16>,
        Option<&'a str>,
        Option<&'a str>,
        Option<u16>,
        Option<&'a str>,
    );
    let table: [Row<'_>; 13] = [
        // own host, own port, master_host, RDS, port of the secret -> address
        (Some("own"), Some(1), None, None, Some(9), Some("own:1")),
        (Some("own"), None, None, None, Some(9), Some("own:9")),
        (Some("own"), None, None, None, None, Some("own")),
        (
            Some("own"),
            None,
            Some("conf:2"),
            Some("rds:3"),
            None,
            Some("own"),
        ),
        (
            Some("own"),
            Some(1),
            Some("conf:2"),
            None,
            None,
            Some("own:1"),
        ),
        (None, None, Some("conf:2"), None, Some(9), Some("conf:2")),
        (None, Some(1), Some("conf:2"), None, None, Some("conf:2")),
        (None, None, Some("conf"), None, Some(9), Some("conf:9")),
        (None, Some(1), Some("conf"), None, Some(9), Some("conf:1")),
        (None, None, Some("conf"), Some("rds:3"), None, Some("conf")),
        (None, None, None, Some("rds:3"), Some(9), Some("rds:3")),
        (None, Some(1), None, None, Some(9), None),
        (None, None, None, None, Some(9), None),
    ];
    for (own, own_port, configured, rds, secret_port, expected) in table {
        let master = fields(own, own_port);
        let (configured, rds) = (configured.map(address), rds.map(address));
        let sources = MasterHostSources {
            master: &master,
            configured: configured.as_ref(),
            rds: rds.as_ref(),
            secret_port,
        };
        let found = master_address(sources).map(|address| address.to_string());
        assert_eq!(found.as_deref(), expected, "{sources:?}");
    }
}

#[test]
fn a_masters_tls_is_that_of_its_secret_or_stricter() {
    use TlsMode::{Disable, Require, VerifyCa, VerifyFull};
    for (configured, ssl, expected) in [
        (None, None, VerifyFull),
        (None, Some(true), VerifyFull),
        (None, Some(false), Disable),
        (Some(Disable), None, Disable),
        (Some(Disable), Some(false), Disable),
        (Some(Disable), Some(true), VerifyFull),
        (Some(Require), Some(true), Require),
        (Some(Require), Some(false), Require),
        (Some(VerifyCa), Some(true), VerifyCa),
        (Some(VerifyFull), Some(false), VerifyFull),
    ] {
        let settings = TlsSettings {
            mode: configured,
            ca_file: Some("ca.pem".into()),
        };
        let tls = master_tls(&settings, ssl);
        assert_eq!(tls.mode, expected, "{configured:?} {ssl:?}");
        assert_eq!(tls.ca_file, settings.ca_file);
    }
}

#[test]
fn case_and_a_trailing_dot_do_not_distinguish_hosts() {
    for (one, other, same) in [
        ("db.internal", "DB.Internal", true),
        ("db.internal.", "db.internal", true),
        ("127.0.0.1", "127.0.0.1", true),
        ("::1", "0:0:0:0:0:0:0:1", true),
        ("localhost", "127.0.0.1", false),
        ("db.internal", "db.internal.evil", false),
        ("db", "db.internal", false),
        ("", ".", true),
    ] {
        assert_eq!(same_host(one, other), same, "{one} {other}");
    }
}

#[test]
fn masters_limits_what_a_secret_may_name() {
    let masters = [
        "rds!*",
        "prod/*/master",
        "arn:aws:secretsmanager:eu-west-1:1:secret:x-??????",
    ];
    let masters = masters.map(str::to_owned);
    let arn = |name: &str| format!("arn:aws:secretsmanager:eu-west-1:1:secret:{name}");
    for (name, permitted) in [
        ("rds!db-1", true),
        ("prod/orders/master", true),
        ("prod/orders/masters", false),
        ("test/orders/master", false),
        (&*arn("rds!cluster-1-AbCdEf"), true),
        (&*arn("prod/orders/master-AbCdEf"), true),
        (&*arn("prod/orders/master"), true),
        (&*arn("test/orders/master-AbCdEf"), false),
        (&*arn("x-AbCdEf"), true),
        (&*arn("y-AbCdEf"), false),
        ("", false),
    ] {
        assert_eq!(permits(Some(&masters), name), permitted, "{name}");
        assert!(permits(None, name));
    }
    assert!(!permits(Some(&[]), "rds!db-1"));
}
