//! Other servers' answers, which the witness plays; and the server without the witness.

use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use twinkey_core::code::Code;
use twinkey_core::secret::ExposeSecret;
use twinkey_engines::documentdb::Documentdb;
use twinkey_engines::{DocumentdbOptions, Engine, EngineError, Questions, TlsMode};

use super::Server;
use crate::case::{Case, all_changes, ready};
use crate::harness::Harness;
use crate::passwords::leaked;
use twinkey_testkit::mongo::server::MongoServer;
use twinkey_testkit::mongo::witness::{Fate, WRITES, Witness};

pub async fn all(server: &Server) {
    a_server_or_a_master_without_current_op_leaves_sessions_unknown(server).await;
    a_refused_command_is_explained_and_quotes_no_password(server).await;
    a_connection_that_is_cut_is_worth_another_try(server).await;
    an_admin_goes_from_a_reader_to_the_primary_that_it_names(server).await;
    a_server_that_tells_no_mechanisms_is_asked_for_each_by_name(server).await;
    a_reader_that_lags_is_waited_for(server).await;
    a_server_without_tls_is_used_where_the_config_says_so(server).await;
    the_servers_own_tls_is_as_good_as_the_witnesses(server).await;
}

async fn a_server_or_a_master_without_current_op_leaves_sessions_unknown(server: &Server) {
    let case = Case::new(server, "sessions").await;
    for (code, name) in [
        (59, "CommandNotFound"),
        (303, "NotSupported"),
        (13, "Unauthorized"),
    ] {
        server.witness.refuse("currentOp", code, name, "no");
        let sessions = case.admin().await.sessions("sessions").await.unwrap();
        assert_eq!(sessions, None, "{name}");
    }
    server.witness.let_through();
    let sessions = case.admin().await.sessions("sessions").await.unwrap();
    assert_eq!(sessions.map(|all| all.len()), Some(0));
}

/// The number, its name, and a word of the hint.
const REFUSALS: [(i32, &str, &str); 6] = [
    (11, "UserNotFound", "gone"),
    (13, "Unauthorized", "twinkey check"),
    (31, "RoleNotFound", "role"),
    (59, "CommandNotFound", "version"),
    (303, "NotSupported", "version"),
    (2, "BadValue", "error 2"),
];

async fn a_refused_command_is_explained_and_quotes_no_password(server: &Server) {
    let mut case = Case::new(server, "refused").await;
    case.rotate().await;
    for (code, name, word) in REFUSALS {
        let next = case.next();
        // As a server may: it repeats what it was told.
        let quoting = format!("it was {:?}", next.password.expose_secret());
        let quotes_nothing = [11, 13, 31, 59].contains(&code);
        let message = if quotes_nothing { "no" } else { &quoting };
        server.witness.refuse("updateUser", code, name, message);
        let changes = all_changes(&case.inspect().await);
        let mut admin = case.admin().await;
        let error = admin
            .apply(&ready(&changes, &next.password))
            .await
            .unwrap_err();
        server.witness.let_through();
        assert_eq!(error.code(), Code::DbRefused, "{error}");
        assert!(error.hint().contains(word), "{name}: {}", error.hint());
        assert!(!error.retryable());
        let told = format!("{error} {error:?} {}", error.hint());
        assert_eq!(leaked(told.as_bytes()), None, "{name}");
    }
    case.rotate().await;
}

async fn a_connection_that_is_cut_is_worth_another_try(server: &Server) {
    let mut case = Case::new(server, "severed").await;
    case.rotate().await;
    for fate in [Fate::Lost, Fate::CarriedOut] {
        let next = case.next();
        let changes = all_changes(&case.inspect().await);
        let mut admin = case.admin().await;
        let reached = server.witness.cut(WRITES, 1, fate);
        let error = admin
            .apply(&ready(&changes, &next.password))
            .await
            .unwrap_err();
        reached.notified().await;
        assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");
        assert!(error.retryable());
        let signed_in = case.sign_in(&next).await;
        assert_eq!(signed_in.is_ok(), fate == Fate::CarriedOut);
        let came_by = server.witness.came_by(&next.password);
        assert_eq!(came_by, ["updateUser"], "the driver sent it once only");
    }
    case.rotate().await;
}

/// What a reader says of itself, and of its users.
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

/// From now on the witness greets so.
fn greet(witness: &Witness, hello: &Document) {
    for name in ["hello", "isMaster", "ismaster"] {
        witness.answer(name, hello.clone());
    }
}

async fn a_server_that_tells_no_mechanisms_is_asked_for_each_by_name(server: &Server) {
    let case = Case::new(server, "untold").await;
    let silent = Witness::start(server.mongo.port(), Some(&server.pki.server)).await;
    greet(&silent, &reader(None, None));
    let mut target = case.target();
    target.port = Some(silent.port());
    let signed_in = server
        .engine
        .sign_in(&target, &case.current, Questions::default())
        .await;
    assert_eq!(signed_in.unwrap().user, "untold");
}

async fn a_reader_that_lags_is_waited_for(server: &Server) {
    let case = Case::new(server, "lagged").await;
    let lagging = Witness::start(server.mongo.port(), Some(&server.pki.server)).await;
    let engine = Documentdb::new(DocumentdbOptions {
        reader: Some(format!("localhost:{}", lagging.port())),
    });
    for name in ["saslStart", "saslContinue"] {
        lagging.refuse(name, 18, "AuthenticationFailed", "Authentication failed.");
    }
    let (target, who) = (case.target(), case.current.clone());
    let proof =
        tokio::spawn(async move { engine.sign_in(&target, &who, Questions::default()).await });
    let refused_twice = async {
        // Each try asks for all mechanisms in both databases.
        while lagging.log().matches("saslContinue").count() < 12 {
            tokio::task::yield_now().await;
        }
    };
    let tried = tokio::time::timeout(Duration::from_secs(60), refused_twice);
    tried.await.expect("the reader is asked again");
    assert!(!proof.is_finished(), "the writer's yes is not enough");
    lagging.let_through();
    assert_eq!(proof.await.unwrap().unwrap().user, "lagged");
}

async fn an_admin_goes_from_a_reader_to_the_primary_that_it_names(server: &Server) {
    let case = Case::new(server, "reading").await;
    let before = Witness::start(server.mongo.port(), Some(&server.pki.server)).await;
    let mut target = case.target();
    target.port = Some(before.port());
    let primary = format!("localhost:{}", server.witness.port());
    greet(&before, &reader(Some(primary), Some(server.mechanisms)));
    let admin = server.engine.admin(&target, &server.master).await;
    let mut admin = admin.unwrap();
    assert!(admin.lock(&case.pair).await.unwrap());
    assert!(server.lock_of("reading").await.is_some());
    assert!(!before.log().contains("findAndModify"), "{}", before.log());
    admin.close().await;

    greet(&before, &reader(None, Some(server.mechanisms)));
    let Err(error) = server.engine.admin(&target, &server.master).await else {
        panic!("a reader is no place for a master");
    };
    assert_eq!(error.code(), Code::DbRefused);
    assert!(error.hint().contains("reader"), "{}", error.hint());
    // An application may live on a reader.
    let signed_in = server
        .engine
        .sign_in(&target, &case.current, Questions::default())
        .await;
    assert_eq!(signed_in.unwrap().user, "reading");
}

async fn a_server_without_tls_is_used_where_the_config_says_so(server: &Server) {
    let mut target = server.target(server.home());
    target.port = Some(server.mongo.port());
    target.tls.mode = TlsMode::Disable;
    let probe = [r#"{"ping":1}"#.to_owned()];
    let signed_in = server
        .engine
        .sign_in(&target, &server.master, Questions::probes(&probe));
    assert_eq!(signed_in.await.unwrap().user, super::MASTER);
    target.tls.mode = TlsMode::VerifyFull;
    // This server hangs up on what it has not read, which reads as a reset: TLS is what the config asks
    // for, and there is no other way in.
    let error = server
        .engine
        .sign_in(&target, &server.master, Questions::default())
        .await;
    let error = error.unwrap_err();
    let is_told = matches!(
        error,
        EngineError::Tls { .. } | EngineError::Unreachable { .. }
    );
    assert!(is_told, "{error}");
}

async fn the_servers_own_tls_is_as_good_as_the_witnesses(server: &Server) {
    let other = MongoServer::start(Some(&server.pki.server));
    let mut target = server.target(server.home());
    target.port = Some(other.port());
    let superuser = other.superuser();
    let signed_in = server
        .engine
        .sign_in(&target, superuser, Questions::default())
        .await;
    assert_eq!(signed_in.unwrap().user, superuser.username);
    target.tls.ca_file = None;
    let error = server
        .engine
        .sign_in(&target, superuser, Questions::default())
        .await;
    assert_eq!(error.unwrap_err().code(), Code::TlsFailed);
}
