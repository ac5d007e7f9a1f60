//! The environment on a server of MongoDB's wire protocol. Its secrets name a relay in front of it,
//! which records commands; fixtures connect to the server directly.

use std::path::PathBuf;

use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use twinkey_core::secret::Credentials;

use super::{Backend, Database, Environment, FIRST, Setup, StandIn};
use crate::mongo::client::{SignIn, run};
use crate::mongo::recording_relay::RecordingRelay;
use crate::mongo::server::MongoServer;

pub type MongoEnvironment = Environment<LocalMongo>;

/// The authentication mechanisms of the users.
pub const MECHANISMS: [&str; 2] = ["SCRAM-SHA-1", "SCRAM-SHA-256"];
/// The commands that change a user.
pub const CHANGES: &[&str] = &[
    "createUser",
    "updateUser",
    "grantRolesToUser",
    "revokeRolesFromUser",
    "dropUser",
];

pub struct LocalMongo {
    server: MongoServer,
    pub relay: RecordingRelay,
}

impl MongoEnvironment {
    /// An environment with a MongoDB-wire server and the AWS stand-in.
    pub async fn on_mongo(setup: Setup) -> Self {
        Self::on_mongo_with(setup, Backend::StandIn(StandIn::start().await)).await
    }

    pub async fn on_mongo_with(setup: Setup, backend: Backend) -> Self {
        Self::build(setup, backend).await
    }

    /// Executes a command as the superuser.
    pub async fn run(&self, database: &str, command: Document) -> Document {
        let root = self.root("admin").await;
        let what = command.to_string();
        run(&root, database, command)
            .await
            .unwrap_or_else(|error| panic!("{database} {what}: {error}"))
    }

    pub async fn give(&self, user: &str, roles: &[Document]) {
        let command = doc! { "grantRolesToUser": user, "roles": roles };
        self.run("admin", command).await;
    }

    pub async fn take(&self, user: &str, roles: &[Document]) {
        let command = doc! { "revokeRolesFromUser": user, "roles": roles };
        self.run("admin", command).await;
    }

    /// The server's report of a user without its name; `None`: the user does not exist.
    pub async fn reported(&self, user: &str) -> Option<String> {
        let who = doc! { "usersInfo": { "user": user, "db": "admin" } };
        let answer = self.run("admin", who).await;
        let user = answer.get_array("users").unwrap().first()?;
        let mut user = user.as_document().unwrap().clone();
        for name in ["_id", "user", "userId"] {
            user.remove(name);
        }
        let roles = user.get_array_mut("roles").unwrap();
        roles.sort_by_key(ToString::to_string);
        Some(user.to_string())
    }

    /// A second relay to the server, without TLS.
    pub async fn plain_relay(&self) -> RecordingRelay {
        RecordingRelay::start(self.server.server.port(), None).await
    }

    /// The current length of the log, for [`Self::changes_since`].
    pub fn log_end(&self) -> usize {
        self.log().len()
    }

    /// The commands since `from` that change a user, with `***` for passwords.
    pub fn changes_since(&self, from: usize) -> Vec<String> {
        let log = self.log();
        let commands = log[from..].lines().filter_map(|line| line.split_once(' '));
        let changes = commands.filter(|(_, command)| {
            let command: Json = serde_json::from_str(command).unwrap();
            let name = command.as_object().unwrap().keys().next().unwrap();
            CHANGES.contains(&name.as_str())
        });
        changes.map(|(_, command)| command.to_owned()).collect()
    }
}

pub fn role(name: &str, database: &str) -> Document {
    doc! { "role": name, "db": database }
}

impl Database for LocalMongo {
    /// The value in secrets that AWS creates for DocumentDB.
    const ENGINE: &'static str = "mongo";
    type Connection = Client;
    type Error = mongodb::error::Error;

    fn start(setup: &Setup) -> Self {
        let server = MongoServer::start(None);
        let relay = RecordingRelay::start(server.port(), setup.tls.as_ref());
        let relay = tokio::runtime::Handle::current().block_on(relay);
        Self { server, relay }
    }

    fn port(&self) -> u16 {
        self.relay.port()
    }

    fn superuser(&self) -> &Credentials {
        self.server.superuser()
    }

    fn log_path(&self) -> PathBuf {
        self.relay.log_path()
    }

    async fn populate(&self, master: &SecretString, user: &str) {
        let root = self.root().await;
        let make = |user: &str, password: &str, roles: &[Document]| {
            doc! { "createUser": user, "pwd": password, "roles": roles, "mechanisms": &MECHANISMS[..] }
        };
        let powers = [
            role("userAdminAnyDatabase", "admin"),
            role("clusterMonitor", "admin"),
            role("readWrite", "twinkey"),
        ];
        let reading = doc! {
            "resource": { "db": "reports", "collection": "daily" }, "actions": ["find"],
        };
        let works = [role("readWrite", "shop"), role("reporter", "admin")];
        for command in [
            make("rdsmaster", master.expose_secret(), &powers),
            doc! { "createRole": "reporter", "privileges": [reading], "roles": [] },
            make(user, FIRST, &works),
        ] {
            run(&root, "admin", command).await.unwrap();
        }
        let first = doc! { "insert": "daily", "documents": [{ "n": 1 }] };
        run(&root, "reports", first).await.unwrap();
    }

    /// The users are defined in `admin`, so that `_database` is not used.
    async fn connect(
        &self,
        user: &str,
        password: &SecretString,
        _database: &str,
    ) -> Result<Client, mongodb::error::Error> {
        let who = Credentials {
            username: user.to_owned(),
            password: password.clone(),
        };
        SignIn::new(self.server.port()).connect(&who).await
    }

    async fn may_work(connection: &mut Client) -> bool {
        let insert = doc! { "insert": "orders", "documents": [{ "n": 1 }] };
        let steps = [
            ("shop", insert),
            ("shop", doc! { "find": "orders", "limit": 1 }),
            ("reports", doc! { "find": "daily", "limit": 1 }),
        ];
        for (database, command) in steps {
            if run(connection, database, command).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn users(&self) -> String {
        let all = doc! { "usersInfo": 1, "showCredentials": true };
        let answer = run(&self.root().await, "admin", all).await.unwrap();
        let mut all: Vec<String> = answer
            .get_array("users")
            .unwrap()
            .iter()
            .map(Bson::to_string)
            .collect();
        all.sort();
        all.join("\n")
    }
}

impl LocalMongo {
    async fn root(&self) -> Client {
        let sign_in = SignIn::new(self.server.port());
        sign_in.connect(self.server.superuser()).await.unwrap()
    }
}
