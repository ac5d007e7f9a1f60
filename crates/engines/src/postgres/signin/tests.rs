use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use twinkey_testkit::hostile::{Demand, HostileServer};
use twinkey_testkit::pki::Pki;

use super::relay::forward;
use crate::postgres::{Connector, Postgres};
use crate::{
    Credentials, Engine, EngineError, PostgresOptions, SignInChecks, Target, Tls, TlsMode,
};

const PASSWORD: &str = "Master-0123456789-abcdef-XYZ";

fn credentials() -> Credentials {
    Credentials {
        username: "rdsmaster".into(),
        password: SecretString::from(PASSWORD),
    }
}

fn target(server: &HostileServer, mode: TlsMode, ca_file: Option<PathBuf>) -> Target {
    Target {
        address: None,
        host: "localhost".into(),
        port: Some(server.port()),
        dbname: None,
        tls: Tls { mode, ca_file },
    }
}

/// The error of the master's sign-in at a server with this demand, and the server.
async fn master_at(demand: Demand, mode: TlsMode, pki: &Pki) -> (HostileServer, EngineError) {
    let server = HostileServer::demanding(demand, Some(&pki.server)).await;
    let target = target(&server, mode, Some(pki.ca_file.clone()));
    let postgres = Postgres::new(PostgresOptions::default());
    let error = postgres.admin(&target, &credentials()).await.err().unwrap();
    (server, error)
}

fn md5_of(password: &str) -> String {
    let password = SecretString::from(password);
    let digest = twinkey_core::secret::verifier::md5_answer(&password, "rdsmaster", *b"salt");
    secrecy::ExposeSecret::expose_secret(&digest).to_owned()
}

#[tokio::test]
async fn a_master_answers_weak_requests_under_verified_tls_only() {
    let pki = Pki::new();
    let digest = md5_of(PASSWORD);
    for (demand, answer) in [
        (Demand::ClearText, PASSWORD),
        (Demand::Md5, digest.as_str()),
    ] {
        for mode in [TlsMode::Disable, TlsMode::Require] {
            let (server, error) = master_at(demand, mode, &pki).await;
            let text = error.to_string();
            assert!(text.contains("not protected by verified TLS"), "{text}");
            assert!(!server.received(answer), "{demand:?} {mode:?}");
            assert!(!server.received(PASSWORD), "{demand:?} {mode:?}");
        }
        for mode in [TlsMode::VerifyFull, TlsMode::VerifyCa] {
            let server = HostileServer::demanding(demand, Some(&pki.server)).await;
            let target = target(&server, mode, Some(pki.ca_file.clone()));
            let connector = Connector::admin(&target, &credentials()).unwrap();
            // The server never completes this sign-in.
            let connecting = connector.connect();
            tokio::select! {
                _ = connecting => panic!("{demand:?} {mode:?}"),
                () = until(|| server.received(answer)) => {}
            }
        }
    }
}

#[tokio::test]
async fn a_user_of_a_pair_answers_md5_without_tls_but_no_clear_text() {
    let digest = md5_of(PASSWORD);
    let md5 = HostileServer::demanding(Demand::Md5, None).await;
    let connector = Connector::new(&target(&md5, TlsMode::Disable, None), &credentials()).unwrap();
    tokio::select! {
        _ = connector.connect() => panic!("the server does not complete it"),
        () = until(|| md5.received(&digest)) => {}
    }
    let clear = HostileServer::demanding(Demand::ClearText, None).await;
    let postgres = Postgres::new(PostgresOptions::default());
    let target = target(&clear, TlsMode::Disable, None);
    let (user, checks) = (credentials(), SignInChecks::default());
    let refused = postgres.sign_in(&target, &user, checks).await;
    let error = refused.unwrap_err();
    assert!(error.to_string().contains("in clear text"), "{error}");
    assert!(!clear.received(PASSWORD));
}

#[tokio::test]
async fn what_a_server_may_cause_before_the_sign_in_is_limited() {
    let pki = Pki::new();
    for (demand, reason) in [
        (Demand::Rounds(2_147_483_647), "2147483647 rounds"),
        (Demand::Rounds(1_000_001), "the limit is 1000000"),
        (Demand::Rounds(0), "challenge is malformed"),
        (Demand::NoSignature, "could not prove that it stores it"),
        (Demand::NoProof, "did not complete the SCRAM exchange"),
        (Demand::HugeMessage, "a message of 2147483647 bytes"),
        (Demand::Notices, "did not complete the sign-in"),
        (Demand::HugeMessageLater, "a message of 2147483647 bytes"),
    ] {
        for mode in [TlsMode::Disable, TlsMode::Require, TlsMode::VerifyFull] {
            let (server, error) = master_at(demand, mode, &pki).await;
            let text = error.to_string();
            assert!(text.contains(reason), "{demand:?} {mode:?}: {text}");
            assert!(!server.received(PASSWORD), "{demand:?} {mode:?}");
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_does_not_receive_the_user_name() {
    let pki = Pki::new();
    for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let (server, error) = master_at(Demand::NoTls, mode, &pki).await;
        assert!(matches!(error, EngineError::Tls { .. }), "{error}");
        assert!(!server.received("rdsmaster"), "{mode:?}");
    }
}

#[tokio::test]
async fn the_relay_ends_an_answer_that_is_too_long() {
    let row = [&b"D"[..], &(1_u32 << 20).to_be_bytes(), &[0; (1 << 20) - 4]].concat();
    for (messages, forwarded) in [
        (vec![b'N', 0, 0x10, 0, 1], 0),
        (vec![b'D', 1, 0, 0, 1], 0),
        (vec![b'D', 0, 0, 0, 3], 0),
        (row.repeat(129), 128 * row.len()),
    ] {
        let mut client = Vec::new();
        forward(messages.as_slice(), &mut client, |_| {})
            .await
            .unwrap();
        let error = client.split_off(forwarded);
        let text = String::from_utf8_lossy(&error);
        assert!(error.starts_with(b"E"), "{} bytes more", error.len());
        assert!(text.contains("FATAL") && text.contains("CTWK01"), "{text}");
    }
}

#[tokio::test]
async fn the_relay_forwards_each_message_without_a_delay() {
    let (mut server, from_server) = tokio::io::duplex(64);
    let (to_client, mut client) = tokio::io::duplex(64);
    let forwarding = tokio::spawn(forward(from_server, to_client, |_| {}));
    let ready = [b'Z', 0, 0, 0, 5, b'I'];
    for _ in 0..3 {
        tokio::io::AsyncWriteExt::write_all(&mut server, &ready)
            .await
            .unwrap();
        let mut received = [0; 6];
        tokio::io::AsyncReadExt::read_exact(&mut client, &mut received)
            .await
            .unwrap();
        assert_eq!(received, ready);
    }
    drop(server);
    assert!(forwarding.await.unwrap().is_err());
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
