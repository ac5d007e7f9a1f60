//! The server, its built-in roles, and the relay between it and the engine.

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::AuthMechanism;
use twinkey_engines::documentdb::Documentdb;
use twinkey_engines::{Credentials, Target, Tls, TlsMode};
use twinkey_testkit::locations::cache;
use twinkey_testkit::mongo::client::{SignIn, code, run};
use twinkey_testkit::mongo::documentdb_rules::DocumentdbRule;
use twinkey_testkit::mongo::recording_relay::RecordingRelay;
use twinkey_testkit::mongo::server::MongoServer;

use super::world::World;

pub const SHA_1: &str = "SCRAM-SHA-1";
pub const SHA_256: &str = "SCRAM-SHA-256";
/// A database of no world.
pub const ELSEWHERE: &str = "elsewhere";

pub struct Server {
    mongo: MongoServer,
    relay: RecordingRelay,
    /// The superuser, through the relay, which stores fields of users.
    root: Client,
    pub engine: Documentdb,
    /// The names that the server's catalogue lists.
    pub built_in: Vec<String>,
}

impl Server {
    pub fn is_installed() -> bool {
        cache().join("venv-mongo/bin/secantusd-py").exists()
    }

    pub async fn start() -> Self {
        let mongo = MongoServer::start(None);
        let relay = RecordingRelay::start(mongo.port(), None).await;
        let root = SignIn::new(relay.port()).connect(mongo.superuser()).await;
        let root = root.unwrap();
        for database in ["admin", ELSEWHERE] {
            let insert = doc! { "insert": "things", "documents": [{ "_id": 1 }] };
            run(&root, database, insert).await.unwrap();
        }
        let all = doc! { "rolesInfo": 1, "showBuiltinRoles": true };
        let all = run(&root, "admin", all).await.unwrap();
        let all = all.get_array("roles").unwrap().iter();
        let name = |role: &mongodb::bson::Bson| {
            let role = role.as_document().unwrap();
            role.get_str("role").unwrap().to_owned()
        };
        Self {
            built_in: all.map(name).collect(),
            mongo,
            relay,
            root,
            engine: Documentdb,
        }
    }

    pub fn follow_rules(&self, of_documentdb: bool) {
        let rules = [
            DocumentdbRule::IdleConnectionsHaveNoUser,
            DocumentdbRule::NoUserAdmin,
            DocumentdbRule::UsersInfoIgnoresDatabase,
        ];
        self.relay.follow(if of_documentdb { &rules } else { &[] });
    }

    pub fn target(&self, database: &str) -> Target {
        Target {
            host: "localhost".into(),
            address: None,
            port: Some(self.relay.port()),
            dbname: Some(database.into()),
            tls: Tls {
                mode: TlsMode::Disable,
                ca_file: None,
            },
        }
    }

    /// Runs a command as the superuser.
    pub async fn try_run(&self, database: &str, command: Document) -> Result<Document, String> {
        let done = run(&self.root, database, command).await;
        done.map_err(|error| error.to_string())
    }

    pub async fn run(&self, database: &str, command: Document) -> Document {
        let what = command.to_string();
        let done = self.try_run(database, command).await;
        done.unwrap_or_else(|error| panic!("{database} {what}: {error}"))
    }

    /// Runs a command as another user; the error is the server's code.
    pub async fn run_as(
        client: &Client,
        database: &str,
        command: Document,
    ) -> Result<Document, i32> {
        let done = run(client, database, command).await;
        done.map_err(|error| code(&error).unwrap_or_else(|| panic!("{error}")))
    }

    /// Signs in directly, with one mechanism.
    pub async fn sign_in(
        &self,
        who: &Credentials,
        auth_database: &str,
        mechanism: &str,
    ) -> Result<Client, String> {
        let mechanism = if mechanism == SHA_1 {
            AuthMechanism::ScramSha1
        } else {
            AuthMechanism::ScramSha256
        };
        let sign_in = SignIn {
            auth_database,
            mechanism: Some(mechanism),
            ..SignIn::new(self.mongo.port())
        };
        let client = sign_in.connect(who).await;
        client.map_err(|error| error.to_string())
    }

    /// Removes everything of a world.
    pub async fn clear(&self, world: &World) {
        self.follow_rules(false);
        for user in world.users_in_admin() {
            // It may be missing.
            let _ = self.try_run("admin", doc! { "dropUser": user }).await;
        }
        self.run("admin", doc! { "dropAllRolesFromDatabase": 1 })
            .await;
        for database in &world.databases {
            for verb in ["dropAllUsersFromDatabase", "dropAllRolesFromDatabase"] {
                self.run(database, doc! { verb: 1 }).await;
            }
            self.run(database, doc! { "dropDatabase": 1 }).await;
        }
    }
}
