//! What the tests of this engine stand on: the server's life, and what the witness notes and does.

use std::net::{TcpListener, TcpStream};

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, doc};

use crate::mongo::noted::Noted;
use crate::mongo::server::{MongoServer, ask, free_port};

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
