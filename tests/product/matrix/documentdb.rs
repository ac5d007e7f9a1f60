//! DocumentDB in the fault matrix, on a server of MongoDB's wire protocol.

use std::path::Path;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use secrecy::SecretString;
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::documentdb::{LocalMongo, MECHANISMS, MongoEnvironment, role};
use twinkey_testkit::environment::{Database, FIRST, Setup};
use twinkey_testkit::hostile::{HostileServer, MongodbDemand};
use twinkey_testkit::mongo::client;
use twinkey_testkit::pki::Pki;

use super::cell::{Cell, MASTER_PASSWORD, Names};
use super::{Fixture, MatrixEngine, driver};

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_documentdb_is_named_first_and_mended() {
    let pki = Pki::new();
    let env = MongoEnvironment::on_mongo(Setup::default()).await;
    driver::run_rows(&Fixture { env, pki }).await;
}

impl MatrixEngine for Fixture<LocalMongo> {
    const SERVER_DATABASE: &'static str = "admin";
    type Session = Client;

    fn name(&self) -> &'static str {
        "documentdb"
    }

    fn secret_engine(&self) -> &'static str {
        LocalMongo::ENGINE
    }

    fn stand_in(&self) -> &StandIn {
        self.env.stand_in()
    }

    fn port(&self) -> u16 {
        self.env.server.port()
    }

    fn ca_file(&self) -> Option<&Path> {
        Some(&self.pki.ca_file)
    }

    async fn create(&self, names: &Names) {
        let make = |user: &str, password: &str, roles: Vec<Document>| {
            doc! { "createUser": user, "pwd": password, "roles": roles, "mechanisms": &MECHANISMS[..] }
        };
        let powers = vec![
            role("userAdminAnyDatabase", "admin"),
            role("clusterMonitor", "admin"),
            role("readWrite", "twinkey"),
        ];
        let master = make(&names.master, MASTER_PASSWORD, powers);
        self.env.run("admin", master).await;
        let works = vec![role("readWrite", &names.database)];
        self.env.run("admin", make(&names.user, FIRST, works)).await;
    }

    /// The statement has the syntax of the shell: `db.getSiblingDB(NAME).runCommand(JSON)`.
    async fn execute(&self, _: &str, statement: &str) -> Result<(), String> {
        let wrong = || format!("not understood: {statement}");
        let rest = statement
            .strip_prefix("db.getSiblingDB(")
            .ok_or_else(wrong)?;
        let (database, command) = rest.split_once(").runCommand(").ok_or_else(wrong)?;
        let command = command.strip_suffix(')').ok_or_else(wrong)?;
        let database: String = serde_json::from_str(database).map_err(|e| e.to_string())?;
        let command: Document = serde_json::from_str(command).map_err(|e| e.to_string())?;
        self.env.run(&database, command).await;
        Ok(())
    }

    async fn sign_in(
        &self,
        user: &str,
        password: &SecretString,
        database: &str,
    ) -> Result<Client, String> {
        let connected = self.env.connect(user, password, database).await;
        connected.map_err(|error| error.to_string())
    }

    async fn execute_in(session: &mut Client, statement: &str) {
        let command: Document = serde_json::from_str(statement).unwrap();
        client::run(session, "admin", command).await.unwrap();
    }

    async fn close(session: Client) {
        session.shutdown().immediate(true).await;
    }

    async fn stored(&self, user: &str) -> String {
        let who = doc! { "usersInfo": { "user": user, "db": "admin" }, "showCredentials": true };
        let answer = self.env.run("admin", who).await;
        answer
            .get_array("users")
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    async fn act(cell: &mut Cell<'_, Self>, name: &str) {
        match name {
            "a server without tls" => {
                let other = HostileServer::mongodb(MongodbDemand::NoSignature, None).await;
                cell.redirect_both(other).await;
            }
            "a run of another worker" => {
                let now = mongodb::bson::DateTime::now();
                let lock = doc! {
                    "_id": &cell.names.user, "holder": "another", "renewed": now, "user": "boss",
                };
                let insert = doc! { "insert": "locks", "documents": [lock] };
                cell.engine.env.run("twinkey", insert).await;
            }
            _ => panic!("no step {name:?}"),
        }
    }
}
