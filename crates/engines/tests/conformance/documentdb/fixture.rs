//! What the tests of this engine stand on: the server's life, and what the witness notes and does.

use std::net::{TcpListener, TcpStream};

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, doc};
use twinkey_core::secret::ExposeSecret;

use crate::passwords::new_password;
use twinkey_testkit::mongo::client::{Door, code, run};
use twinkey_testkit::mongo::noted::Noted;
use twinkey_testkit::mongo::server::{MongoServer, ask, free_port};
use twinkey_testkit::mongo::witness::{Fate, WRITES, Witness};
use twinkey_testkit::pki::Pki;

#[test]
fn a_server_moves_to_another_port_asks_who_one_is_and_leaves_nothing_behind() {
    let somebody = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = somebody.local_addr().unwrap().port();
    let mut ports = [taken].into_iter();
    let server = MongoServer::start_on(None, || ports.next().unwrap_or_else(free_port));
    assert_ne!(server.port(), taken);
    let denied = ask(server.port(), &doc! { "usersInfo": 1, "$db": "admin" });
    assert_eq!(denied.get_i32("code").ok(), Some(13), "{denied}");
    let (folder, port) = (server.folder().to_owned(), server.port());
    drop(server);
    assert!(!folder.exists(), "{folder:?} was left behind");
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
}

#[test]
fn a_password_is_left_out_where_it_has_to_be_and_nowhere_else() {
    let noted = Noted::of(doc! {
        "updateUser": "a\nb", "pwd": "secret", "roles": [{ "role": "read", "db": "x" }],
        "$db": "admin", "lsid": { "id": 1 }, "$readPreference": { "mode": "primary" },
    });
    assert_eq!(noted.name, "updateUser");
    assert_eq!(
        noted.line,
        r#"admin {"updateUser":"a\nb","pwd":"***","roles":[{"role":"read","db":"x"}]}"#
    );
    assert_eq!(noted.password.as_deref(), Some("secret"));
    let elsewhere = Noted::of(doc! { "insert": "t", "pwd": "secret", "$db": "x" });
    assert_eq!(elsewhere.line, r#"x {"insert":"t","pwd":"secret"}"#);
    assert_eq!(elsewhere.password, None);
}

#[test]
fn what_a_sign_in_carries_is_noted_as_text() {
    let payload = Binary {
        subtype: BinarySubtype::Generic,
        bytes: b"n,,n=app".to_vec(),
    };
    let noted = Noted::of(doc! {
        "hello": 1, "speculativeAuthenticate": { "saslStart": 1, "payload": payload },
    });
    let wanted = r#" {"hello":1,"speculativeAuthenticate":{"saslStart":1,"payload":"n,,n=app"}}"#;
    assert_eq!(noted.line, wanted);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

#[test]
fn the_server_speaks_tls_itself_where_it_is_told_to() {
    let pki = Pki::new();
    let server = MongoServer::start(Some(&pki.server));
    runtime().block_on(async {
        let mut door = Door::at(server.port());
        door.ca_file = Some(&pki.ca_file);
        let root = door.sign_in(server.superuser()).await.unwrap();
        let who = run(&root, "admin", doc! { "connectionStatus": 1 }).await;
        assert!(who.unwrap().to_string().contains("root_admin"));
    });
}

#[test]
fn a_witness_notes_every_command_and_does_what_is_ordered() {
    let pki = Pki::new();
    let server = MongoServer::start(None);
    runtime().block_on(async {
        let witness = Witness::start(server.port(), Some(&pki.server)).await;
        let mut door = Door::at(witness.port());
        door.ca_file = Some(&pki.ca_file);
        let root = door.sign_in(server.superuser()).await.unwrap();
        let password = new_password();
        let make = |user: &str| {
            doc! { "createUser": user, "pwd": password.expose_secret(), "roles": [] }
        };
        run(&root, "admin", make("a")).await.unwrap();
        let noted = r#"admin {"createUser":"a","pwd":"***","roles":[]}"#;
        assert!(witness.log().lines().any(|line| line == noted));
        assert!(witness.log().contains("n,,n=root_admin,r="), "a sign-in");
        assert_eq!(witness.came_by(&password), ["createUser"]);
        assert_eq!(witness.came_by(&new_password()), [""; 0]);

        witness.refuse("usersInfo", 59, "CommandNotFound", "no such command");
        let names = async |database: &str| {
            let root = Door::at(server.port());
            let root = root.sign_in(server.superuser()).await.unwrap();
            let users = run(&root, database, doc! { "usersInfo": 1 }).await.unwrap();
            let users = users.get_array("users").unwrap().clone();
            users.len()
        };
        let refused = run(&root, "admin", doc! { "usersInfo": 1 }).await;
        assert_eq!(code(&refused.unwrap_err()), Some(59));
        let before = names("admin").await;
        witness.let_through();
        run(&root, "admin", doc! { "usersInfo": 1 }).await.unwrap();

        let reached = witness.cut(WRITES, 2, Fate::Lost);
        run(&root, "admin", make("b")).await.unwrap();
        let lost = run(&root, "admin", make("c")).await.unwrap_err();
        assert_eq!(code(&lost), None, "{lost}");
        reached.notified().await;
        assert_eq!(names("admin").await, before + 1);
        let reached = witness.cut(WRITES, 1, Fate::CarriedOut);
        run(&root, "admin", make("d")).await.unwrap_err();
        reached.notified().await;
        assert_eq!(names("admin").await, before + 2);
        run(&root, "admin", make("e")).await.unwrap();

        let reached = witness.hold(WRITES, 1, Fate::CarriedOut);
        tokio::select! {
            done = run(&root, "admin", make("f")) => panic!("{done:?}"),
            () = reached.notified() => {}
        }
        assert_eq!(names("admin").await, before + 4);
    });
}
