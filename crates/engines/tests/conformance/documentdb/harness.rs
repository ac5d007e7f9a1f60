//! Implementation of the conformance harness for DocumentDB.

use std::any::Any;
use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use twinkey_engines::{Change, Credentials, Engine, Target, Tls, TlsMode};

use super::{MASTER, Server, master_roles, role};
use crate::harness::Harness;
use crate::passwords::new_password;
use twinkey_testkit::mongo::client::{code, run};

const NOT_ALLOWED: i32 = 13;

/// Privileges that can be granted. Each affects a separate database, because this server extends a
/// privilege on a collection to its database.
const NAMES: [&str; 6] = [
    "a database",
    "a collection, by a role of admin",
    "a role of another database",
    "a role that is given a role",
    "the indexes of a database",
    "the cluster",
];

/// The role of a privilege, with a database and a command that need it.
fn privilege(place: &str, name: &str) -> (Document, String, Document) {
    let number = NAMES.iter().position(|known| *known == name).unwrap();
    let beside = format!("{place}_{number}");
    let find = doc! { "find": "things", "limit": 1 };
    let index = doc! { "key": { "n": 1 }, "name": "by_n" };
    let (role, command) = match number {
        0 => {
            let insert = doc! { "insert": "things", "documents": [{ "n": 1 }] };
            (role("readWrite", &beside), insert)
        }
        1 | 3 => (role(&beside, "admin"), find),
        2 => (role("reader", &beside), find),
        4 => {
            let create = doc! { "createIndexes": "things", "indexes": [index] };
            (role("dbAdmin", &beside), create)
        }
        _ => (role("clusterMonitor", "admin"), doc! { "serverStatus": 1 }),
    };
    let database = if number == 5 { "admin".into() } else { beside };
    (role, database, command)
}

impl Server {
    /// Creates the other databases of a place and the custom roles.
    async fn make_what_privileges_are_for(&self, place: &str) {
        for number in 0..NAMES.len() - 1 {
            let insert = doc! { "insert": "things", "documents": [{ "n": 0 }] };
            self.run(&format!("{place}_{number}"), insert).await;
        }
        let reading = |database: &str| {
            let on = doc! { "db": database, "collection": "things" };
            vec![doc! { "resource": on, "actions": ["find"] }]
        };
        let custom = |name: &str, privileges: Vec<Document>, roles: Vec<Document>| {
            doc! { "createRole": name, "privileges": privileges, "roles": roles }
        };
        let [one, two, three] = [1, 2, 3].map(|number| format!("{place}_{number}"));
        self.run("admin", custom(&one, reading(&one), vec![])).await;
        self.run(&two, custom("reader", reading(&two), vec![]))
            .await;
        self.run(&three, custom("inner", reading(&three), vec![]))
            .await;
        let outer = custom(&three, vec![], vec![role("inner", &three)]);
        self.run("admin", outer).await;
    }
}

#[async_trait]
impl Harness for Server {
    fn ends_sessions(&self) -> bool {
        false
    }

    fn reuses_connections(&self) -> bool {
        false
    }

    fn engine(&self) -> &dyn Engine {
        &self.engine
    }

    fn master(&self) -> &Credentials {
        &self.master
    }

    fn home(&self) -> &str {
        "admin"
    }

    fn target(&self, place: &str) -> Target {
        Target {
            address: None,
            host: "localhost".into(),
            port: Some(self.relay.port()),
            dbname: Some(place.into()),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_file: Some(self.pki.ca_file.clone()),
            },
        }
    }

    async fn prepare(&self, place: &str, user: &Credentials) {
        // An earlier case may have changed the master's roles.
        let all = doc! { "updateUser": MASTER, "roles": &master_roles()[..] };
        self.run("admin", all).await;
        self.make_user("admin", user).await;
        self.give(&user.username, &[role("readWrite", place)]).await;
        self.make_what_privileges_are_for(place).await;
    }

    async fn run_workload(&self, place: &str, who: &Credentials, round: u32) {
        let app = self.sign_in(who).await;
        let database = app.database(place);
        for earlier in 0..round {
            let things = database.collection::<Document>(&format!("by_round_{earlier}"));
            let index = doc! { "key": { format!("n{round}"): 1 }, "name": format!("by_{round}") };
            let create = doc! { "createIndexes": things.name(), "indexes": [index] };
            run(&app, place, create).await.unwrap();
            things.insert_one(doc! { "n": round }).await.unwrap();
            let count = things.count_documents(doc! {}).await.unwrap();
            assert_eq!(count, u64::from(round - earlier));
        }
        let create = doc! { "create": format!("by_round_{round}") };
        run(&app, place, create).await.unwrap();
    }

    async fn open_session(&self, _place: &str, who: &Credentials) -> Box<dyn Any + Send> {
        Box::new(self.sign_in(who).await)
    }

    fn privileges(&self) -> &'static [&'static str] {
        &NAMES
    }

    async fn grant(&self, place: &str, user: &str, name: &str) {
        self.give(user, &[privilege(place, name).0]).await;
    }

    async fn revoke(&self, place: &str, user: &str, name: &str) {
        self.take(user, &[privilege(place, name).0]).await;
    }

    async fn may(&self, place: &str, who: &Credentials, name: &str) -> bool {
        let app = self.sign_in(who).await;
        let (_, database, command) = privilege(place, name);
        match run(&app, &database, command).await {
            Ok(_) => true,
            Err(error) if code(&error) == Some(NOT_ALLOWED) => false,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    async fn revoke_from_master(&self, place: &str, user: &str) -> usize {
        self.give(user, &[role("reader", &format!("{place}_2"))])
            .await;
        let revoked = [
            role("userAdminAnyDatabase", "admin"),
            role("readWrite", "twinkey"),
        ];
        self.take(MASTER, &revoked).await;
        // The master may still manage users in `admin` and roles of the place.
        self.give(
            MASTER,
            &[role("userAdmin", "admin"), role("userAdmin", place)],
        )
        .await;
        2
    }

    async fn apply_fix(&self, _place: &str, fix: &str) {
        let shown = fix
            .strip_prefix("db.getSiblingDB(\"admin\").runCommand(")
            .and_then(|rest| rest.strip_suffix(')'))
            .unwrap_or_else(|| panic!("{fix} is not a shell command"));
        let json: serde_json::Value = serde_json::from_str(shown).unwrap();
        let command = mongodb::bson::serialize_to_document(&json).unwrap();
        self.run("admin", command).await;
    }

    async fn administrators(&self) -> Vec<String> {
        let own = [
            ("superuser", "userAdminAnyDatabase"),
            ("serviceadmin", "read"),
        ];
        for (name, what) in own {
            let user = Credentials {
                username: name.into(),
                password: new_password(),
            };
            self.make_user("admin", &user).await;
            self.give(name, &[role(what, "admin")]).await;
        }
        let superuser = self.mongo.superuser().username.clone();
        vec!["superuser".into(), "serviceadmin".into(), superuser]
    }

    fn hostile_names(&self) -> Vec<String> {
        // This server does not decode `,` and `=` in a sign-in, and lists a session of a@b under a.
        vec![
            r#"a"b'}); db.dropDatabase({"x":1"#.into(),
            "Upper Case".into(),
            "ünï-çødé ☃".into(),
            "x".repeat(1024 - "_clone".len()),
            "$where.a..b$".into(),
            "back\\slash\nand line".into(),
            "admin.other:27017/?x%20".into(),
        ]
    }

    fn impossible_names(&self) -> Vec<String> {
        vec!["x".repeat(1025), "a\0b".into(), String::new()]
    }

    fn log_path(&self) -> PathBuf {
        self.relay.log_path()
    }

    fn is_logged(&self, log: &str, change: &Change) -> bool {
        let planned = change.statement.to_string();
        let mut commands = log.lines().filter_map(|line| line.split_once(' '));
        commands.any(|(database, recorded)| {
            let is_there = match &change.database {
                Some(other) => database == other,
                None => database.starts_with("namespace_"),
            };
            is_there && recorded == planned
        })
    }

    /// Closes the connection after the client's hello, as a server without TLS does.
    fn plain_server(&self) -> fn(TcpStream) -> Vec<u8> {
        |mut socket| {
            let mut header_bytes = [0; 5];
            socket.read_exact(&mut header_bytes).unwrap();
            // A record of TLS: a handshake (22), the version, the length.
            let [22, 3, _, high, low] = header_bytes else {
                let mut received = header_bytes.to_vec();
                socket.read_to_end(&mut received).unwrap();
                return received;
            };
            let mut hello = vec![0; usize::from(u16::from_be_bytes([high, low]))];
            socket.read_exact(&mut hello).unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
            let mut received = Vec::new();
            socket.read_to_end(&mut received).unwrap();
            received
        }
    }
}
