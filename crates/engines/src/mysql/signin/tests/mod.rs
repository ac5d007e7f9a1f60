mod servers;

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use secrecy::SecretString;
use twinkey_core::code::Diagnostic as _;
use twinkey_testkit::hostile::{HostileServer, MysqlDemand};
use twinkey_testkit::pki::Pki;

use super::relay::forward;
use crate::mysql::Mysql;
use crate::mysql::connect::Connector;
use crate::{Credentials, Engine, EngineError, SignInChecks, Target, Tls, TlsMode};

const PASSWORD: &str = "Master-0123456789-abcdef-XYZ";
const MODES: [TlsMode; 4] = [
    TlsMode::Disable,
    TlsMode::Require,
    TlsMode::VerifyCa,
    TlsMode::VerifyFull,
];

fn user(name: &str, password: &str) -> Credentials {
    Credentials {
        username: name.into(),
        password: SecretString::from(password),
    }
}

fn target(port: u16, mode: TlsMode, ca_file: Option<PathBuf>) -> Target {
    Target {
        address: None,
        host: "localhost".into(),
        port: Some(port),
        dbname: None,
        tls: Tls { mode, ca_file },
    }
}

/// The error of the master's sign-in at a server with this demand, and the server.
async fn master_at(demand: MysqlDemand, mode: TlsMode, pki: &Pki) -> (HostileServer, EngineError) {
    let server = HostileServer::mysql_demanding(demand, Some(&pki.server)).await;
    let target = target(server.port(), mode, Some(pki.ca_file.clone()));
    let master = user("rdsmaster", PASSWORD);
    let error = Mysql::of_mysql().admin(&target, &master).await.err();
    (server, error.unwrap())
}

#[tokio::test]
async fn the_password_itself_goes_over_verified_tls_only() {
    let pki = Pki::new();
    for demand in [
        MysqlDemand::FullSha2,
        MysqlDemand::Method("sha256_password"),
    ] {
        for mode in [TlsMode::Disable, TlsMode::Require] {
            let (server, error) = master_at(demand, mode, &pki).await;
            assert!(matches!(error, EngineError::TlsRequired { .. }), "{error}");
            assert!(error.to_string().contains("only verified TLS"), "{error}");
            assert!(error.hint().contains("mode = \"verify-full\""), "{error}");
            assert!(!server.received(PASSWORD), "{demand:?} {mode:?}");
            let target = target(server.port(), mode, Some(pki.ca_file.clone()));
            let (user, checks) = (user("app", PASSWORD), SignInChecks::default());
            let of_pair = Mysql::of_mysql().sign_in(&target, &user, checks).await;
            let error = of_pair.unwrap_err();
            assert!(error.to_string().contains("only verified TLS"), "{error}");
            assert!(!server.received(PASSWORD), "{demand:?} {mode:?}");
        }
        for mode in [TlsMode::VerifyFull, TlsMode::VerifyCa] {
            let server = HostileServer::mysql_demanding(demand, Some(&pki.server)).await;
            let target = target(server.port(), mode, Some(pki.ca_file.clone()));
            let connector = Connector::admin(&target, &user("rdsmaster", PASSWORD)).unwrap();
            // The server never completes this sign-in.
            tokio::select! {
                _ = connector.connect() => panic!("{demand:?} {mode:?}"),
                () = until(|| server.received(PASSWORD)) => {}
            }
        }
    }
}

#[tokio::test]
async fn no_other_request_gets_the_password_over_any_connection() {
    let pki = Pki::new();
    for (demand, reason) in [
        (
            MysqlDemand::Method("mysql_clear_password"),
            "mysql_clear_password",
        ),
        (MysqlDemand::Method("dialog"), "dialog"),
        (
            MysqlDemand::Method("mysql_old_password"),
            "mysql_old_password",
        ),
        (MysqlDemand::OldPassword, "mysql_old_password"),
        (MysqlDemand::RsaKey, "not one of a sign-in"),
        (MysqlDemand::Method("client_ed25519"), "has 32 bytes"),
        (MysqlDemand::Switches(10), "more than 2 times"),
        (MysqlDemand::NoProof, "without a proof"),
        (MysqlDemand::HugePacket, "a packet of 16777215 bytes"),
        (MysqlDemand::LocalFile, "requested a file"),
        (MysqlDemand::HugePacketLater, "a packet of 16777215 bytes"),
        (MysqlDemand::Columns, "a packet of 9 bytes; the limit is 8"),
    ] {
        for mode in MODES {
            let (server, error) = master_at(demand, mode, &pki).await;
            let text = error.to_string();
            assert!(text.contains(reason), "{demand:?} {mode:?}: {text}");
            assert!(
                matches!(error, EngineError::Refused { .. }),
                "{demand:?}: {text}"
            );
            assert!(!server.received(PASSWORD), "{demand:?} {mode:?}");
            assert!(!server.received("root:"), "{demand:?} {mode:?}");
        }
    }
}

#[tokio::test]
async fn what_a_server_may_send_is_limited() {
    let pki = Pki::new();
    for (demand, reason) in [
        (MysqlDemand::Packets, "did not complete the sign-in"),
        (MysqlDemand::Rows, "more than 134217728 bytes"),
    ] {
        let (_server, error) = master_at(demand, TlsMode::VerifyFull, &pki).await;
        assert!(error.to_string().contains(reason), "{demand:?}: {error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_does_not_receive_the_user_name() {
    let pki = Pki::new();
    for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let (server, error) = master_at(MysqlDemand::NoTls, mode, &pki).await;
        assert!(matches!(error, EngineError::Tls { .. }), "{error}");
        assert!(!server.received("rdsmaster"), "{mode:?}");
    }
}

#[tokio::test]
async fn a_malformed_greeting_is_an_error_of_its_kind() {
    for (greeting, retryable) in [
        (&b"\x01\0\0\0\x09"[..], false),
        (b"\0\0\0\0", false),
        (b"\x03\0\0\0\x0a10", false),
        (b"\x0b\0\0\0\xff\x10\x04Too many", true),
        (b"\x11\0\0\0\xff\x10\x04#08004Too many", true),
        (b"\x02\0\0\0\xff\x10", false),
        (b"\x11\0\0\0\xff", true),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut socket, greeting)
                .await
                .unwrap();
        });
        let target = target(port, TlsMode::Disable, None);
        let connector = Connector::new(&target, &user("app", "right")).unwrap();
        let error = connector.connect().await.unwrap_err();
        assert_eq!(error.retryable(), retryable, "{greeting:?}: {error}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = target(
        listener.local_addr().unwrap().port(),
        TlsMode::Disable,
        None,
    );
    drop(listener);
    let connector = Connector::new(&target, &user("app", "right")).unwrap();
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn the_relay_ends_an_answer_that_is_too_long() {
    let small = [1, 0, 0, 1, 7];
    let large = [&[0, 0, 0x10, 1][..], &[7; 1 << 20]].concat();
    for (packets, forwarded) in [
        (vec![0xff, 0xff, 0xff, 1, 7], 0),
        (vec![0, 0, 0, 1], 0),
        (vec![0, 0, 2, 1, 0xff], 0),
        (vec![9, 0, 0, 1, 0xfe], 0),
        (vec![1, 0, 0, 1, 0xfb], 0),
        (large.repeat(129), 127 * large.len()),
        // Many short packets cost the driver more than their lengths.
        (small.repeat(2_000_000), 1_040_448 * small.len()),
        // NULL in the first column of a row.
        (
            [&small[..], &[1, 0, 0, 2, 0xfb], &[9, 0, 0, 3, 0xfe]].concat(),
            10,
        ),
    ] {
        let mut client = Vec::new();
        forward(packets.as_slice(), &mut client, &AtomicU64::new(0))
            .await
            .unwrap();
        let error = client.split_off(forwarded);
        let text = String::from_utf8_lossy(&error);
        assert_eq!(error.get(4), Some(&0xff), "{} bytes more", error.len());
        assert!(text.contains("#TWK01the server"), "{text}");
    }
}

#[tokio::test]
async fn the_relay_forwards_each_packet_without_a_delay() {
    let (mut server, from_server) = tokio::io::duplex(64);
    let (to_client, mut client) = tokio::io::duplex(64);
    let forwarding =
        tokio::spawn(async move { forward(from_server, to_client, &AtomicU64::new(0)).await });
    let ok = [7, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
    for _ in 0..3 {
        tokio::io::AsyncWriteExt::write_all(&mut server, &ok)
            .await
            .unwrap();
        let mut received = [0; 11];
        tokio::io::AsyncReadExt::read_exact(&mut client, &mut received)
            .await
            .unwrap();
        assert_eq!(received, ok);
    }
    drop(server);
    assert!(forwarding.await.unwrap().is_err());
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
