//! DocumentDB fixture of the tests of a pair.

use std::sync::Arc;

use mongodb::bson::doc;
use serde_json::Value as Json;
use tokio::sync::Notify;

use super::{active, assert_pair_is_equal};
use crate::engines::pair::{PairFixture, StandbyState};
use twinkey_testkit::environment::documentdb::{LocalMongo, MongoEnvironment, role};
use twinkey_testkit::environment::{Backend, Environment, Setup, StandIn};
use twinkey_testkit::interruption::Interruption;
use twinkey_testkit::mongo::recording_relay::WRITES;

/// A role to revoke from the master, the role that replaces it, and its database. Without the first one
/// the master may not read which roles the server has.
const MASTER_CASES: [(&str, &str, &str); 2] = [
    ("userAdminAnyDatabase", "userAdminAnyDatabase", "admin"),
    ("readWrite", "readWrite", "twinkey"),
];

pub(super) struct DocumentdbFixture {
    env: MongoEnvironment,
}

impl PairFixture for DocumentdbFixture {
    type Database = LocalMongo;
    const MASTER_CASES: usize = MASTER_CASES.len();
    const SUPERUSER_FINDING: &'static str = "root on admin";
    const RELEASES_LOCK_BY_COMMAND: bool = true;

    async fn start(plan: Setup, backend: Backend) -> Self {
        Self {
            env: MongoEnvironment::on_mongo_with(plan, backend).await,
        }
    }

    async fn start_interruptible() -> Self {
        Self::start(Setup::default(), Backend::StandIn(StandIn::start().await)).await
    }

    fn env(&self) -> &Environment<LocalMongo> {
        &self.env
    }

    async fn report(&self, user: &str) -> String {
        self.env.reported(user).await.unwrap_or_default()
    }

    async fn assert_pair_is_equal(&self) {
        assert_pair_is_equal(&self.env).await;
    }

    async fn assert_complete(&self) {
        assert_pair_is_equal(&self.env).await;
    }

    async fn revoke_from_master(&self, case: usize) -> String {
        let (revoked, granted, database) = MASTER_CASES[case];
        self.env.take("rdsmaster", &[role(revoked, database)]).await;
        format!(
            r#"db.getSiblingDB("admin").runCommand({{"grantRolesToUser":"rdsmaster","roles":[{{"role":"{granted}","db":""#
        )
    }

    async fn grant_to_master(&self, case: usize) {
        let (_, granted, database) = MASTER_CASES[case];
        self.env.give("rdsmaster", &[role(granted, database)]).await;
    }

    async fn create_superuser(&self) -> Json {
        let create = doc! {
            "createUser": "superuser", "pwd": "Super-0123456789", "roles": [role("root", "admin")],
        };
        self.env.run("admin", create).await;
        self.env.document("superuser", "Super-0123456789")
    }

    async fn prepare_standby(&self, state: StandbyState) {
        let env = &self.env;
        let active = active(env).await;
        let standby = if active == "app" { "app_clone" } else { "app" };
        match state {
            StandbyState::Missing => {
                if env.reported(standby).await.is_some() {
                    env.run("admin", doc! { "dropUser": standby }).await;
                }
            }
            StandbyState::Different => {
                env.take(standby, &[role("reporter", "admin")]).await;
                env.give(standby, &[role("read", "other")]).await;
            }
        }
    }

    fn interrupt_at(&self, nth: usize, interruption: Interruption) -> Arc<Notify> {
        self.env.server.relay.hang_at(WRITES, nth, interruption)
    }

    async fn interrupt_before_password(&self) -> Arc<Notify> {
        let relay = &self.env.server.relay;
        relay.hang_at(&["updateUser"], 1, Interruption::BeforeExecution)
    }

    fn remove_interruption(&self) {
        self.env.server.relay.pass_all();
    }

    async fn remove_lock(&self) {
        let all = doc! { "delete": "locks", "deletes": [{ "q": {}, "limit": 0 }] };
        self.env.run("twinkey", all).await;
    }
}
