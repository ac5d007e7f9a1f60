//! Tests of the fixture: the server's lifetime and the recording relay.

use std::net::{TcpListener, TcpStream};

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, doc};
use twinkey_core::secret::ExposeSecret;

use crate::passwords::new_password;
use twinkey_testkit::interruption::Interruption;
use twinkey_testkit::mongo::client::{SignIn, code, run};
use twinkey_testkit::mongo::recorded_command::RecordedCommand;
use twinkey_testkit::mongo::recording_relay::{RecordingRelay, WRITES};
use twinkey_testkit::mongo::server::{MongoServer, free_port, run_unauthenticated};
use twinkey_testkit::pki::Pki;

#[test]
fn a_server_finds_a_free_port_and_removes_its_folder() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = listener.local_addr().unwrap().port();
    let mut ports = [taken].into_iter();
    let server = MongoServer::start_on(None, || ports.next().unwrap_or_else(free_port));
    assert_ne!(server.port(), taken);
    let denied = run_unauthenticated(server.port(), &doc! { "usersInfo": 1, "$db": "admin" });
    assert_eq!(denied.get_i32("code").ok(), Some(13), "{denied}");
    let (folder, port) = (server.folder().to_owned(), server.port());
    drop(server);
    assert!(!folder.exists(), "{folder:?} was left behind");
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
}

#[test]
fn only_passwords_of_users_are_masked() {
    let recorded = RecordedCommand::new(doc! {
        "updateUser": "a\nb", "pwd": "secret", "roles": [{ "role": "read", "db": "x" }],
        "$db": "admin", "lsid": { "id": 1 }, "$readPreference": { "mode": "primary" },
    });
    assert_eq!(recorded.name, "updateUser");
    assert_eq!(
        recorded.line,
        r#"admin {"updateUser":"a\nb","pwd":"***","roles":[{"role":"read","db":"x"}]}"#
    );
    assert_eq!(recorded.password.as_deref(), Some("secret"));
    let elsewhere = RecordedCommand::new(doc! { "insert": "t", "pwd": "secret", "$db": "x" });
    assert_eq!(elsewhere.line, r#"x {"insert":"t","pwd":"secret"}"#);
    assert_eq!(elsewhere.password, None);
}

#[test]
fn sign_in_payloads_are_recorded_as_text() {
    let payload = Binary {
        subtype: BinarySubtype::Generic,
        bytes: b"n,,n=app".to_vec(),
    };
    let recorded = RecordedCommand::new(doc! {
        "hello": 1, "speculativeAuthenticate": { "saslStart": 1, "payload": payload },
    });
    let wanted = r#" {"hello":1,"speculativeAuthenticate":{"saslStart":1,"payload":"n,,n=app"}}"#;
    assert_eq!(recorded.line, wanted);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

#[test]
fn the_server_supports_tls() {
    let pki = Pki::new();
    let server = MongoServer::start(Some(&pki.server));
    runtime().block_on(async {
        let mut sign_in = SignIn::new(server.port());
        sign_in.ca_file = Some(&pki.ca_file);
        let root = sign_in.connect(server.superuser()).await.unwrap();
        let who = run(&root, "admin", doc! { "connectionStatus": 1 }).await;
        assert!(who.unwrap().to_string().contains("root_admin"));
    });
}

#[test]
fn the_relay_records_commands_and_injects_faults() {
    let pki = Pki::new();
    let server = MongoServer::start(None);
    runtime().block_on(async {
        let relay = RecordingRelay::start(server.port(), Some(&pki.server)).await;
        let mut sign_in = SignIn::new(relay.port());
        sign_in.ca_file = Some(&pki.ca_file);
        let root = sign_in.connect(server.superuser()).await.unwrap();
        let password = new_password();
        let make = |user: &str| {
            doc! { "createUser": user, "pwd": password.expose_secret(), "roles": [] }
        };
        run(&root, "admin", make("a")).await.unwrap();
        let recorded = r#"admin {"createUser":"a","pwd":"***","roles":[]}"#;
        assert!(relay.log().lines().any(|line| line == recorded));
        assert!(relay.log().contains("n,,n=root_admin,r="), "a sign-in");
        assert_eq!(relay.commands_with_password(&password), ["createUser"]);
        assert_eq!(relay.commands_with_password(&new_password()), [""; 0]);

        relay.respond_with_error("usersInfo", 59, "CommandNotFound", "no such command");
        let names = async |database: &str| {
            let root = SignIn::new(server.port());
            let root = root.connect(server.superuser()).await.unwrap();
            let users = run(&root, database, doc! { "usersInfo": 1 }).await.unwrap();
            let users = users.get_array("users").unwrap().clone();
            users.len()
        };
        let refused = run(&root, "admin", doc! { "usersInfo": 1 }).await;
        assert_eq!(code(&refused.unwrap_err()), Some(59));
        let before = names("admin").await;
        relay.pass_all();
        run(&root, "admin", doc! { "usersInfo": 1 }).await.unwrap();

        let reached = relay.disconnect_at(WRITES, 2, Interruption::BeforeExecution);
        run(&root, "admin", make("b")).await.unwrap();
        let lost = run(&root, "admin", make("c")).await.unwrap_err();
        assert_eq!(code(&lost), None, "{lost}");
        reached.notified().await;
        assert_eq!(names("admin").await, before + 1);
        let reached = relay.disconnect_at(WRITES, 1, Interruption::AfterExecution);
        run(&root, "admin", make("d")).await.unwrap_err();
        reached.notified().await;
        assert_eq!(names("admin").await, before + 2);
        run(&root, "admin", make("e")).await.unwrap();

        let reached = relay.hang_at(WRITES, 1, Interruption::AfterExecution);
        tokio::select! {
            done = run(&root, "admin", make("f")) => panic!("{done:?}"),
            () = reached.notified() => {}
        }
        assert_eq!(names("admin").await, before + 4);
    });
}
