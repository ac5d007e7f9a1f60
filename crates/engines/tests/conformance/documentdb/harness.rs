//! DocumentDB as the sentences see it.

use std::any::Any;
use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use twinkey_engines::{Change, Credentials, Engine, Target, Tls, TlsMode};

use super::{MASTER, Server, powers, role};
use crate::harness::Harness;
use crate::passwords::new_password;
use twinkey_testkit::mongo::client::{code, run};

const NOT_ALLOWED: i32 = 13;

/// What can be granted. Each is for a database of its own, because this server takes a privilege on one
/// collection for one on its database.
const NAMES: [&str; 6] = [
    "a database",
    "a collection, by a role of admin",
    "a role of another database",
    "a role that is given a role",
    "the indexes of a database",
    "the cluster",
];

/// Which role it is; and the database, and the command there, that it is for.
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
    /// The databases beside a place, and the custom roles.
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
    fn hands_on(&self) -> bool {
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
            host: "localhost".into(),
            port: Some(self.witness.port()),
            dbname: Some(place.into()),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_file: Some(self.pki.ca_file.clone()),
            },
        }
    }

    async fn prepare(&self, place: &str, user: &Credentials) {
        // Of which the case before may have taken some, and mended it in another way.
        let all = doc! { "updateUser": MASTER, "roles": &powers()[..] };
        self.run("admin", all).await;
        self.make_user("admin", user).await;
        self.give(&user.username, &[role("readWrite", place)]).await;
        self.make_what_privileges_are_for(place).await;
    }

    async fn work(&self, place: &str, who: &Credentials, round: u32) {
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

    async fn open(&self, _place: &str, who: &Credentials) -> Box<dyn Any + Send> {
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

    async fn break_master(&self, place: &str, user: &str) -> usize {
        self.give(user, &[role("reader", &format!("{place}_2"))])
            .await;
        let mighty = [
            role("userAdminAnyDatabase", "admin"),
            role("readWrite", "twinkey"),
        ];
        self.take(MASTER, &mighty).await;
        // What it still may about users: those of `admin`, and roles of the place.
        self.give(
            MASTER,
            &[role("userAdmin", "admin"), role("userAdmin", place)],
        )
        .await;
        2
    }

    async fn mend(&self, _place: &str, fix: &str) {
        let shown = fix
            .strip_prefix("db.getSiblingDB(\"admin\").runCommand(")
            .and_then(|rest| rest.strip_suffix(')'))
            .unwrap_or_else(|| panic!("{fix} is no command for a shell"));
        let json: serde_json::Value = serde_json::from_str(shown).unwrap();
        let command = mongodb::bson::serialize_to_document(&json).unwrap();
        self.run("admin", command).await;
    }

    async fn mighty_users(&self) -> Vec<String> {
        let own = [("mighty", "userAdminAnyDatabase"), ("serviceadmin", "read")];
        for (name, what) in own {
            let user = Credentials {
                username: name.into(),
                password: new_password(),
            };
            self.make_user("admin", &user).await;
            self.give(name, &[role(what, "admin")]).await;
        }
        let superuser = self.mongo.superuser().username.clone();
        vec!["mighty".into(), "serviceadmin".into(), superuser]
    }

    fn hostile_names(&self) -> Vec<String> {
        // This server does not undo the escapes of `,` and `=` in a sign-in, and lists a session of a@b as of a.
        vec![
            r#"a"b'}); db.dropDatabase({"x":1"#.into(),
            "Upper Case".into(),
            "ünï-çødé ☃".into(),
            "x".repeat(1024 - "_clone".len()),
            "$where.a..b$".into(),
            "back\\slash\nand line".into(),
            "admin.somebody:27017/?x%20".into(),
        ]
    }

    fn impossible_names(&self) -> Vec<String> {
        vec!["x".repeat(1025), "a\0b".into(), String::new()]
    }

    fn log_path(&self) -> PathBuf {
        self.witness.log_path()
    }

    fn is_logged(&self, log: &str, change: &Change) -> bool {
        let planned = change.statement.to_string();
        let mut commands = log.lines().filter_map(|line| line.split_once(' '));
        commands.any(|(database, noted)| {
            let is_there = match &change.database {
                Some(other) => database == other,
                None => database.starts_with("place_"),
            };
            is_there && noted == planned
        })
    }

    /// The client speaks first. What a server does that takes its question for a message: it hangs up.
    fn plain_server(&self) -> fn(TcpStream) -> Vec<u8> {
        |mut socket| {
            let mut question = [0; 5];
            socket.read_exact(&mut question).unwrap();
            // A record of TLS: a handshake (22), the version, the length.
            let [22, 3, _, high, low] = question else {
                let mut heard = question.to_vec();
                socket.read_to_end(&mut heard).unwrap();
                return heard;
            };
            let mut hello = vec![0; usize::from(u16::from_be_bytes([high, low]))];
            socket.read_exact(&mut hello).unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            socket.read_to_end(&mut heard).unwrap();
            heard
        }
    }
}
