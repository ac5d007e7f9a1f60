//! Conformance on a MongoDB server, with a master as in a new DocumentDB cluster.
//!
//! A place is a database in which the base user may read and write; the user is defined in `admin`.
//! The engine connects through a recording relay, and the fixture connects directly.

mod amazon;
mod fixture;
mod harness;
mod locks;
pub mod sentences;
mod servers;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::AuthMechanism;
use twinkey_core::secret::ExposeSecret;
use twinkey_engines::Credentials;
use twinkey_engines::documentdb::Documentdb;

use crate::passwords::new_password;
use twinkey_testkit::mongo::client::{SignIn, run};
use twinkey_testkit::mongo::recording_relay::RecordingRelay;
use twinkey_testkit::mongo::server::MongoServer;
use twinkey_testkit::pki::Pki;

pub const MASTER: &str = "rdsmaster";

pub const SHA_1: &str = "SCRAM-SHA-1";
pub const SHA_256: &str = "SCRAM-SHA-256";

pub struct Server {
    mongo: MongoServer,
    relay: RecordingRelay,
    /// Mechanisms of the users.
    mechanisms: &'static [&'static str],
    master: Credentials,
    engine: Documentdb,
    pki: Pki,
    root: Client,
}

impl Server {
    pub async fn start(mechanisms: &'static [&'static str]) -> Self {
        let pki = Pki::new();
        let mongo = MongoServer::start(None);
        let relay = RecordingRelay::start(mongo.port(), Some(&pki.server)).await;
        let root = SignIn::new(mongo.port()).connect(mongo.superuser()).await;
        let server = Self {
            mongo,
            relay,
            mechanisms,
            master: Credentials {
                username: MASTER.into(),
                password: new_password(),
            },
            engine: Documentdb,
            pki,
            root: root.unwrap(),
        };
        server.make_user("admin", &server.master).await;
        server.give(MASTER, &master_roles()).await;
        server
    }

    /// Runs a command as the superuser.
    pub async fn run(&self, database: &str, command: Document) -> Document {
        let what = command.clone();
        run(&self.root, database, command)
            .await
            .unwrap_or_else(|error| panic!("{database} {what}: {error}"))
    }

    /// Creates a user without roles.
    pub async fn make_user(&self, database: &str, user: &Credentials) {
        let command = doc! {
            "createUser": &user.username,
            "pwd": user.password.expose_secret(),
            "roles": [],
            "mechanisms": self.mechanisms,
        };
        self.run(database, command).await;
    }

    /// Grants roles to a user in `admin`.
    pub async fn give(&self, user: &str, roles: &[Document]) {
        let command = doc! { "grantRolesToUser": user, "roles": roles };
        self.run("admin", command).await;
    }

    /// Revokes roles from a user in `admin`.
    pub async fn take(&self, user: &str, roles: &[Document]) {
        let command = doc! { "revokeRolesFromUser": user, "roles": roles };
        self.run("admin", command).await;
    }

    /// Options of a direct connection, for users in this database.
    pub fn sign_in_options<'a>(&self, auth_database: &'a str) -> SignIn<'a> {
        // This server does not report mechanisms, and drivers then use SCRAM-SHA-256.
        let is_named = !self.mechanisms.contains(&SHA_256);
        SignIn {
            auth_database,
            mechanism: is_named.then_some(AuthMechanism::ScramSha1),
            ..SignIn::new(self.mongo.port())
        }
    }

    /// Signs in a user in `admin` on a direct connection.
    pub async fn sign_in(&self, who: &Credentials) -> Client {
        let client = self.sign_in_options("admin").connect(who).await;
        client.unwrap_or_else(|error| panic!("{:?}: {error}", who.username))
    }

    /// The server's report of a user without its name, with sorted roles.
    pub async fn reported(&self, database: &str, user: &str) -> Document {
        let who = doc! { "usersInfo": { "user": user, "db": database } };
        let answer = self.run(database, who).await;
        let users = answer.get_array("users").unwrap();
        let mut user_document = users[0].as_document().unwrap().clone();
        for name in ["_id", "user", "userId"] {
            user_document.remove(name);
        }
        let roles = user_document.get_array_mut("roles").unwrap();
        roles.sort_by_key(ToString::to_string);
        user_document
    }
}

/// The roles of a master in the documentation.
pub fn master_roles() -> [Document; 3] {
    [
        role("userAdminAnyDatabase", "admin"),
        role("clusterMonitor", "admin"),
        role("readWrite", "twinkey"),
    ]
}

pub fn role(name: &str, database: &str) -> Document {
    doc! { "role": name, "db": database }
}
