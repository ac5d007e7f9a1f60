//! A server of MongoDB's wire protocol, with a master as a cluster of DocumentDB gives one. A place is a
//! database in which the base user may read and write; he lives in `admin`. Everything that the engine
//! says goes through a witness; what the fixture does goes past it.

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
use twinkey_testkit::mongo::client::{Door, run};
use twinkey_testkit::mongo::server::MongoServer;
use twinkey_testkit::mongo::witness::Witness;
use twinkey_testkit::pki::Pki;

pub const MASTER: &str = "rdsmaster";

pub const SHA_1: &str = "SCRAM-SHA-1";
pub const SHA_256: &str = "SCRAM-SHA-256";

pub struct Server {
    mongo: MongoServer,
    witness: Witness,
    /// What the users have.
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
        let witness = Witness::start(mongo.port(), Some(&pki.server)).await;
        let root = Door::at(mongo.port()).sign_in(mongo.superuser()).await;
        let server = Self {
            mongo,
            witness,
            mechanisms,
            master: Credentials {
                username: MASTER.into(),
                password: new_password(),
            },
            engine: Documentdb::new(twinkey_engines::DocumentdbOptions::default()),
            pki,
            root: root.unwrap(),
        };
        server.make_user("admin", &server.master).await;
        server.give(MASTER, &powers()).await;
        server
    }

    /// As the superuser.
    pub async fn run(&self, database: &str, command: Document) -> Document {
        let what = command.clone();
        run(&self.root, database, command)
            .await
            .unwrap_or_else(|error| panic!("{database} {what}: {error}"))
    }

    /// Without any role.
    pub async fn make_user(&self, database: &str, user: &Credentials) {
        let command = doc! {
            "createUser": &user.username,
            "pwd": user.password.expose_secret(),
            "roles": [],
            "mechanisms": self.mechanisms,
        };
        self.run(database, command).await;
    }

    /// To a user who lives in `admin`.
    pub async fn give(&self, user: &str, roles: &[Document]) {
        let command = doc! { "grantRolesToUser": user, "roles": roles };
        self.run("admin", command).await;
    }

    pub async fn take(&self, user: &str, roles: &[Document]) {
        let command = doc! { "revokeRolesFromUser": user, "roles": roles };
        self.run("admin", command).await;
    }

    /// Past the witness, for users who live in this database.
    pub fn door<'a>(&self, users_in: &'a str) -> Door<'a> {
        // This server tells nobody which mechanisms a user has, and drivers then take SCRAM-SHA-256.
        let is_named = !self.mechanisms.contains(&SHA_256);
        Door {
            users_in,
            mechanism: is_named.then_some(AuthMechanism::ScramSha1),
            ..Door::at(self.mongo.port())
        }
    }

    /// Somebody who lives in `admin`.
    pub async fn sign_in(&self, who: &Credentials) -> Client {
        let client = self.door("admin").sign_in(who).await;
        client.unwrap_or_else(|error| panic!("{:?}: {error}", who.username))
    }

    /// What the server tells of a user but for the name; the order of roles says nothing.
    pub async fn told(&self, database: &str, user: &str) -> Document {
        let who = doc! { "usersInfo": { "user": user, "db": database } };
        let answer = self.run(database, who).await;
        let users = answer.get_array("users").unwrap();
        let mut told = users[0].as_document().unwrap().clone();
        for name in ["_id", "user", "userId"] {
            told.remove(name);
        }
        let roles = told.get_array_mut("roles").unwrap();
        roles.sort_by_key(ToString::to_string);
        told
    }
}

/// What the documentation asks of a master.
pub fn powers() -> [Document; 3] {
    [
        role("userAdminAnyDatabase", "admin"),
        role("clusterMonitor", "admin"),
        role("readWrite", "twinkey"),
    ]
}

pub fn role(name: &str, database: &str) -> Document {
    doc! { "role": name, "db": database }
}
