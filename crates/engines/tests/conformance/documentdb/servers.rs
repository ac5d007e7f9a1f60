//! Responses of other servers, which the relay gives, and connections without the relay.

use mongodb::bson::{DateTime, Document, doc};
use twinkey_core::code::{Code, Diagnostic as _};
use twinkey_core::secret::ExposeSecret;
use twinkey_engines::{Engine, EngineError, SignInChecks, TlsMode};

use super::Server;
use crate::case::{Case, all_changes, rendered};
use crate::harness::Harness;
use crate::passwords::leaked;
use twinkey_testkit::interruption::Interruption;
use twinkey_testkit::mongo::recording_relay::{RecordingRelay, WRITES};
use twinkey_testkit::mongo::server::MongoServer;

pub async fn all(server: &Server) {
    sessions_are_unknown_without_current_op(server).await;
    an_error_of_a_command_contains_no_password(server).await;
    a_lost_connection_is_retryable(server).await;
    an_admin_follows_a_reader_to_its_primary(server).await;
    each_mechanism_is_tried_if_none_is_reported(server).await;
    a_server_without_tls_needs_the_mode_disable(server).await;
    the_servers_own_tls_is_supported(server).await;
}

async fn sessions_are_unknown_without_current_op(server: &Server) {
    let case = Case::new(server, "sessions").await;
    for (code, name) in [
        (59, "CommandNotFound"),
        (303, "NotSupported"),
        (13, "Unauthorized"),
    ] {
        server
            .relay
            .respond_with_error("currentOp", code, name, "no");
        let sessions = case.admin().await.sessions("sessions").await.unwrap();
        assert_eq!(sessions, None, "{name}");
    }
    server.relay.pass_all();
    let sessions = case.admin().await.sessions("sessions").await.unwrap();
    assert_eq!(sessions.map(|all| all.len()), Some(0));
}

/// Error number, its name, and a part of the hint.
const REFUSALS: [(i32, &str, &str); 6] = [
    (11, "UserNotFound", "no longer exists"),
    (13, "Unauthorized", "twinkey check"),
    (31, "RoleNotFound", "role"),
    (59, "CommandNotFound", "version"),
    (303, "NotSupported", "version"),
    (2, "BadValue", "error 2"),
];

async fn an_error_of_a_command_contains_no_password(server: &Server) {
    let mut case = Case::new(server, "refused").await;
    case.rotate().await;
    for (code, name, word) in REFUSALS {
        let next = case.next();
        // A server may quote the command.
        let quoting = format!("it was {:?}", next.password.expose_secret());
        let quotes_nothing = [11, 13, 31, 59].contains(&code);
        let message = if quotes_nothing { "no" } else { &quoting };
        server
            .relay
            .respond_with_error("updateUser", code, name, message);
        let changes = all_changes(&case.inspect().await);
        let mut admin = case.admin().await;
        let error = admin
            .apply(&rendered(&changes, &next.password))
            .await
            .unwrap_err();
        server.relay.pass_all();
        assert_eq!(error.code(), Code::DbRefused, "{error}");
        assert!(error.hint().contains(word), "{name}: {}", error.hint());
        assert!(!error.retryable());
        let shown = format!("{error} {error:?} {}", error.hint());
        assert_eq!(leaked(shown.as_bytes()), None, "{name}");
    }
    case.rotate().await;
}

async fn a_lost_connection_is_retryable(server: &Server) {
    let mut case = Case::new(server, "severed").await;
    case.rotate().await;
    for interruption in [Interruption::BeforeExecution, Interruption::AfterExecution] {
        let next = case.next();
        let changes = all_changes(&case.inspect().await);
        let mut admin = case.admin().await;
        let reached = server.relay.disconnect_at(WRITES, 1, interruption);
        let error = admin
            .apply(&rendered(&changes, &next.password))
            .await
            .unwrap_err();
        reached.notified().await;
        assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");
        assert!(error.retryable());
        let signed_in = case.sign_in(&next).await;
        assert_eq!(
            signed_in.is_ok(),
            interruption == Interruption::AfterExecution
        );
        let commands = server.relay.commands_with_password(&next.password);
        assert_eq!(commands, ["updateUser"], "the driver sent it once only");
    }
    case.rotate().await;
}

/// The `hello` response of a reader.
fn reader(primary: Option<String>, mechanisms: Option<&[&str]>) -> Document {
    let mut hello = doc! {
        "ok": 1.0, "isWritablePrimary": false, "ismaster": false, "secondary": true,
        "setName": "rs0", "hosts": ["localhost:1"], "me": "localhost:1",
        "minWireVersion": 0, "maxWireVersion": 21, "localTime": DateTime::now(),
        "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000, "readOnly": false,
    };
    hello.extend(mechanisms.map(|all| ("saslSupportedMechs".to_owned(), all.into())));
    hello.extend(primary.map(|primary| ("primary".to_owned(), primary.into())));
    hello
}

/// Sets the relay's response to `hello`.
fn set_hello(relay: &RecordingRelay, hello: &Document) {
    for name in ["hello", "isMaster", "ismaster"] {
        relay.respond_with(name, hello.clone());
    }
}

async fn each_mechanism_is_tried_if_none_is_reported(server: &Server) {
    let case = Case::new(server, "unreported").await;
    let silent = RecordingRelay::start(server.mongo.port(), Some(&server.pki.server)).await;
    set_hello(&silent, &reader(None, None));
    let mut target = case.target();
    target.port = Some(silent.port());
    let signed_in = server
        .engine
        .sign_in(&target, &case.current, SignInChecks::default())
        .await;
    assert_eq!(signed_in.unwrap().user, "unreported");
}

async fn an_admin_follows_a_reader_to_its_primary(server: &Server) {
    let case = Case::new(server, "reading").await;
    let before = RecordingRelay::start(server.mongo.port(), Some(&server.pki.server)).await;
    let mut target = case.target();
    target.port = Some(before.port());
    let primary = format!("localhost:{}", server.relay.port());
    set_hello(&before, &reader(Some(primary), Some(server.mechanisms)));
    let admin = server.engine.admin(&target, &server.master).await;
    let mut admin = admin.unwrap();
    assert!(admin.lock(&case.pair).await.unwrap().is_taken());
    assert!(server.lock_of("reading").await.is_some());
    assert!(!before.log().contains("findAndModify"), "{}", before.log());
    admin.close().await;

    // A reader could name a server of its own for the master's password.
    let elsewhere = format!("127.0.0.1:{}", server.relay.port());
    set_hello(
        &before,
        &reader(Some(elsewhere.clone()), Some(server.mechanisms)),
    );
    let Err(error) = server.engine.admin(&target, &server.master).await else {
        panic!("a primary on another host must be refused");
    };
    assert_eq!(error.code(), Code::HostUntrusted);
    assert!(error.to_string().contains(&elsewhere), "{error}");
    assert!(error.hint().contains("writer's"), "{}", error.hint());

    set_hello(&before, &reader(None, Some(server.mechanisms)));
    let Err(error) = server.engine.admin(&target, &server.master).await else {
        panic!("a reader without a primary must be refused");
    };
    assert_eq!(error.code(), Code::DbRefused);
    assert!(error.to_string().contains("reader"), "{error}");
    assert!(error.hint().contains("writer's"), "{}", error.hint());
    // An application may use a reader.
    let signed_in = server
        .engine
        .sign_in(&target, &case.current, SignInChecks::default())
        .await;
    assert_eq!(signed_in.unwrap().user, "reading");
}

async fn a_server_without_tls_needs_the_mode_disable(server: &Server) {
    let mut target = server.target(server.home());
    target.port = Some(server.mongo.port());
    target.tls.mode = TlsMode::Disable;
    let probe = [r#"{"ping":1}"#.to_owned()];
    let signed_in = server
        .engine
        .sign_in(&target, &server.master, SignInChecks::probes(&probe));
    assert_eq!(signed_in.await.unwrap().user, super::MASTER);
    target.tls.mode = TlsMode::VerifyFull;
    // This server closes the connection at the TLS hello, which may appear as a reset.
    let error = server
        .engine
        .sign_in(&target, &server.master, SignInChecks::default())
        .await;
    let error = error.unwrap_err();
    let is_expected = matches!(
        error,
        EngineError::Tls { .. } | EngineError::Unreachable { .. }
    );
    assert!(is_expected, "{error}");
}

async fn the_servers_own_tls_is_supported(server: &Server) {
    let other = MongoServer::start(Some(&server.pki.server));
    let mut target = server.target(server.home());
    target.port = Some(other.port());
    let superuser = other.superuser();
    let signed_in = server
        .engine
        .sign_in(&target, superuser, SignInChecks::default())
        .await;
    assert_eq!(signed_in.unwrap().user, superuser.username);
    target.tls.ca_file = None;
    let error = server
        .engine
        .sign_in(&target, superuser, SignInChecks::default())
        .await;
    assert_eq!(error.unwrap_err().code(), Code::TlsFailed);
}
