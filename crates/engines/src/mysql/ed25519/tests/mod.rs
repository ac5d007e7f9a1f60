mod server;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use secrecy::SecretString;

use self::server::Server;
use crate::{Credentials, EngineError, SignedIn, Target, Tls, TlsMode};
use twinkey_core::code::Diagnostic as _;

const LIMIT: Duration = Duration::from_secs(30);
/// Empty without TLS.
const CIPHER: &str = "(SELECT VARIABLE_VALUE FROM information_schema.session_status \
     WHERE VARIABLE_NAME = 'Ssl_cipher')";

fn user(name: &str, password: &str) -> Credentials {
    Credentials {
        username: name.into(),
        password: SecretString::from(password),
    }
}

/// First packet of a server without TLS.
const GREETING: &[u8] = b"\x25\0\0\0\x0a10.11.0-MariaDB\0\
    \x01\0\0\0nonce678\0\x01\x82\x2d\0\0\x08\0";

async fn sign_in(target: &Target, who: &Credentials) -> Result<SignedIn, EngineError> {
    super::sign_in(target, who, "@@version_comment", &[], LIMIT).await
}

async fn probed(server: &Server, probes: &[&str]) -> Result<SignedIn, EngineError> {
    let probes: Vec<String> = probes.iter().map(|probe| (*probe).to_owned()).collect();
    let target = server.target(TlsMode::VerifyFull);
    super::sign_in(&target, &user("app", "right"), "NULL", &probes, LIMIT).await
}

fn server_with_app(tls: bool) -> Option<Server> {
    let server = Server::start(tls)?;
    server.create("app", &SecretString::from("right"));
    Some(server)
}

#[tokio::test]
async fn an_ed25519_user_signs_in_and_only_with_the_password() {
    let Some(server) = server_with_app(true) else {
        return;
    };
    let target = server.target(TlsMode::VerifyFull);
    for (number, password) in [
        "p".to_owned(),
        "Pässwörd ☃ '\"\\".to_owned(),
        "x".repeat(255),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("a@b {number}");
        server.create(&name, &SecretString::from(password.clone()));
        let signed_in = sign_in(&target, &user(&name, password)).await.unwrap();
        assert_eq!(signed_in.user, name);
        assert!(signed_in.server_identity.unwrap().len() > 3);
        let wrong = format!("{password}.");
        let error = sign_in(&target, &user(&name, &wrong)).await.unwrap_err();
        assert!(matches!(error, EngineError::SignIn { .. }), "{error}");
    }
    server.sql("ALTER USER app ACCOUNT LOCK");
    let error = sign_in(&target, &user("app", "right")).await.unwrap_err();
    assert!(matches!(error, EngineError::SignIn { .. }), "{error}");
    let error = sign_in(&target, &user("app\0", "right")).await.unwrap_err();
    assert!(matches!(error, EngineError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_sign_in_by_another_method_is_not_accepted() {
    let Some(server) = server_with_app(true) else {
        return;
    };
    let target = server.target(TlsMode::VerifyFull);
    server.sql("CREATE USER native IDENTIFIED BY 'right'; CREATE USER open");
    for name in ["native", "open"] {
        let error = sign_in(&target, &user(name, "right")).await.unwrap_err();
        assert!(matches!(error, EngineError::Refused { .. }), "{error}");
    }
    // MariaDB never does this, but another server that imitates it may.
    let (port, _) = answer_once([GREETING, b"\x07\0\0\x02\0\0\0\x02\0\0\0"].concat());
    let error = sign_in(&local(port, TlsMode::Disable), &user("app", "right"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("without a proof"), "{error}");
    server.sql(
        "ALTER USER app IDENTIFIED VIA ed25519 USING PASSWORD('right') OR mysql_native_password USING PASSWORD('other')",
    );
    sign_in(&target, &user("app", "right")).await.unwrap();
    let error = sign_in(&target, &user("app", "other")).await.unwrap_err();
    assert!(matches!(error, EngineError::SignIn { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_is_verified_as_the_mode_demands() {
    let Some(server) = server_with_app(true) else {
        return;
    };
    let who = user("app", "right");
    let other_name = |mode| Target {
        host: "127.0.0.1".into(),
        ..server.target(mode)
    };
    let unknown_root = |mode| {
        let mut target = server.target(mode);
        target.tls.ca_file = None;
        target
    };
    for refused in [
        other_name(TlsMode::VerifyFull),
        unknown_root(TlsMode::VerifyFull),
        unknown_root(TlsMode::VerifyCa),
    ] {
        let error = sign_in(&refused, &who).await.unwrap_err();
        assert!(matches!(error, EngineError::Tls { .. }), "{error}");
    }
    for taken in [
        server.target(TlsMode::VerifyFull),
        other_name(TlsMode::VerifyCa),
        unknown_root(TlsMode::Require),
    ] {
        let signed_in = super::sign_in(&taken, &who, CIPHER, &[], LIMIT).await;
        assert_ne!(signed_in.unwrap().server_identity.as_deref(), Some(""));
    }
    // A wrong name does not skip the check of the root.
    let mut both = other_name(TlsMode::VerifyCa);
    both.tls.ca_file = None;
    sign_in(&both, &who).await.unwrap_err();
}

#[tokio::test]
async fn a_server_without_tls_is_refused_and_receives_nothing() {
    let Some(server) = server_with_app(false) else {
        return;
    };
    let who = user("app", "right");
    for mode in [TlsMode::VerifyFull, TlsMode::VerifyCa, TlsMode::Require] {
        let error = sign_in(&server.target(mode), &who).await.unwrap_err();
        assert!(matches!(error, EngineError::Tls { .. }), "{error}");
    }
    let plain = server.target(TlsMode::Disable);
    let signed_in = super::sign_in(&plain, &who, CIPHER, &[], LIMIT).await;
    assert_eq!(signed_in.unwrap().server_identity.as_deref(), Some(""));
    // A listener that returns all received bytes.
    let (port, received) = answer_once(GREETING.to_vec());
    let error = sign_in(&local(port, TlsMode::Require), &who)
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Tls { .. }), "{error}");
    assert_eq!(received.join().unwrap(), b"");
}

#[tokio::test]
async fn probes_run_to_their_end_and_an_error_names_its_probe() {
    let Some(server) = server_with_app(true) else {
        return;
    };
    let signed_in = probed(
        &server,
        &[
            "SELECT 1; SELECT 'two' UNION SELECT NULL; DO 3",
            "SELECT REPEAT('x', 100000), 1",
            "SELECT * FROM information_schema.columns",
            "SET @x = 1",
        ],
    )
    .await
    .unwrap();
    assert_eq!(signed_in.user, "app");
    assert_eq!(signed_in.server_identity, None);
    for probe in [
        "SELECT * FROM mysql.global_priv",
        "USE mysql",
        "SELECT 1; SELECT nothing",
        "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE t",
    ] {
        let error = probed(&server, &["DO 1", probe]).await.unwrap_err();
        assert!(matches!(error, EngineError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(probe), "{error}");
    }
    let columns = "information_schema.columns";
    let slow = format!(
        "SET STATEMENT max_statement_time=0.01 FOR SELECT COUNT(*) FROM {columns} a, {columns} b"
    );
    let busy = probed(&server, &[&slow]).await.unwrap_err();
    assert!(busy.retryable(), "{busy}");
}

#[tokio::test]
async fn a_packet_of_any_length_is_read_whole() {
    let Some(server) = server_with_app(true) else {
        return;
    };
    server.sql("SET GLOBAL max_allowed_packet = 64 * 1024 * 1024");
    // The continuation of a packet looks like an error packet. With its four bytes of length, the
    // second probe fills a packet to the last byte.
    for len in [0xFF_FFFF - 5, 0xFF_FFFF - 4, 0xFF_FFFF, 40_000_000] {
        let probe = format!("SELECT REPEAT(x'FF', {len}); SELECT 1; DO 1");
        let signed_in = probed(&server, &[&probe, "DO 1"]).await.unwrap();
        assert_eq!(signed_in.user, "app");
    }
    let statement = format!("SELECT '{}'", "x".repeat(0xFF_FFFF - 10));
    assert_eq!(statement.len() + 1, 0xFF_FFFF);
    probed(&server, &[&statement, "DO 1"]).await.unwrap();
}

#[tokio::test]
async fn the_session_uses_the_secrets_database() {
    let Some(server) = server_with_app(true) else {
        return;
    };
    server.sql("CREATE DATABASE shop; GRANT SELECT ON shop.* TO app");
    let mut target = server.target(TlsMode::VerifyFull);
    target.dbname = Some("shop".into());
    let who = user("app", "right");
    let signed_in = super::sign_in(&target, &who, "DATABASE()", &[], LIMIT)
        .await
        .unwrap();
    assert_eq!(signed_in.server_identity.as_deref(), Some("shop"));
    server.sql("GRANT SELECT ON *.* TO app");
    target.dbname = Some("shops".into());
    let error = sign_in(&target, &who).await.unwrap_err();
    assert!(error.hint().contains("dbname"), "{error}");
}

#[tokio::test]
async fn a_closed_and_a_silent_port_are_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = local(listener.local_addr().unwrap().port(), TlsMode::Disable);
    let who = user("app", "right");
    let limit = Duration::from_millis(10);
    let silent = super::sign_in(&target, &who, "NULL", &[], limit)
        .await
        .unwrap_err();
    assert!(silent.retryable(), "{silent}");
    drop(listener);
    let closed = sign_in(&target, &who).await.unwrap_err();
    assert!(
        matches!(closed, EngineError::Unreachable { .. }),
        "{closed}"
    );
}

#[tokio::test]
async fn only_an_error_of_a_full_server_is_retryable() {
    for (greeting, retryable) in [
        (&b"\x01\0\0\0\x09"[..], false),
        (b"\0\0\0\0", false),
        (b"\x03\0\0\0\x0a10", false),
        (b"\x0b\0\0\0\xff\x10\x04Too many", true),
        (b"\x11\0\0\0\xff\x10\x04#08004Too many", true),
        (b"\x11\0\0\0\xff", true),
    ] {
        let (port, _) = answer_once(greeting.to_vec());
        let error = sign_in(&local(port, TlsMode::Disable), &user("app", "right"))
            .await
            .unwrap_err();
        assert_eq!(error.retryable(), retryable, "{greeting:?}: {error}");
    }
}

fn local(port: u16, mode: TlsMode) -> Target {
    Target {
        host: "127.0.0.1".into(),
        port: Some(port),
        dbname: None,
        tls: Tls {
            mode,
            ca_file: None,
        },
    }
}

/// Sends `greeting` to the first client, and returns the bytes that it sends.
fn answer_once(greeting: Vec<u8>) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(&greeting).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        socket.read_to_end(&mut received).unwrap();
        received
    });
    (port, received)
}
