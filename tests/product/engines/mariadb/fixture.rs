//! MariaDB fixture of the tests of a pair.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tokio::sync::Notify;
use twinkey_stores::stage;
use twinkey_testkit::mysql::LocalMysql;

use super::relay::StatementRelay;
use super::{assert_one_password, assert_pair_is_equal, with_three_accounts};
use crate::engines::pair::{PairFixture, StandbyState};
use crate::faults::failures::with;
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, accounts, pairs, run};
use twinkey_testkit::environment::{
    Backend, Database, Environment, MASTER_SECRET, SECRET, Setup, until,
};
use twinkey_testkit::interruption::Interruption;

/// Hosts of the accounts in [`with_three_accounts`].
const HOSTS: [&str; 3] = ["%", "10.%", "localhost"];

/// One grant of every kind, and what the master needs to grant it too.
///
/// A superuser may grant PROXY only with a row in the server's own table.
const EVERY_KIND: [&str; 13] = [
    "CREATE ROLE reader",
    "GRANT SELECT ON mysql.help_topic TO reader",
    "GRANT reader TO app@'%'",
    "SET DEFAULT ROLE reader FOR app@'%'",
    "GRANT UPDATE (seen) ON shop.orders TO app@'%'",
    "CREATE FUNCTION shop.answer() RETURNS int DETERMINISTIC RETURN 42",
    "GRANT EXECUTE ON FUNCTION shop.answer TO app@'%'",
    "INSERT INTO mysql.proxies_priv VALUES ('%', 'root_admin', '', '', 1, '', NOW())",
    "FLUSH PRIVILEGES",
    "CREATE USER impersonated@'%'",
    "ALTER USER app@'%' WITH MAX_USER_CONNECTIONS 7",
    "GRANT reader TO rdsmaster@'%' WITH ADMIN OPTION",
    "GRANT UPDATE ON mysql.* TO rdsmaster@'%'",
];

/// Statements that cause a missing privilege of the master, each with the expected fix.
const MASTER_CASES: [(&str, &str); 3] = [
    (
        "REVOKE CREATE USER ON *.* FROM rdsmaster@'%'",
        "GRANT CREATE USER ON *.* TO `rdsmaster`@`%`",
    ),
    (
        "REVOKE SELECT ON mysql.* FROM rdsmaster@'%'",
        "GRANT SELECT ON `mysql`.* TO `rdsmaster`@`%`",
    ),
    (
        "GRANT DELETE ON mysql.help_topic TO app@'%'",
        "GRANT DELETE ON `mysql`.`help_topic` TO `rdsmaster`@`%` WITH GRANT OPTION",
    ),
];

pub(super) struct MariadbFixture {
    env: MariadbEnvironment,
    /// Between the worker and the server, in interruptible fixtures.
    relay: Option<StatementRelay>,
    /// Number of accounts of each user.
    accounts: usize,
}

impl MariadbFixture {
    fn relay(&self) -> &StatementRelay {
        self.relay.as_ref().expect("an interruptible fixture")
    }
}

impl PairFixture for MariadbFixture {
    type Database = LocalMysql;
    const MASTER_CASES: usize = MASTER_CASES.len();
    const SUPERUSER_FINDING: &'static str = "ALL PRIVILEGES on everything";
    const RELEASES_LOCK_BY_COMMAND: bool = false;

    async fn start(plan: Setup, backend: Backend) -> Self {
        Self {
            env: MariadbEnvironment::on_mariadb_with(plan, backend).await,
            relay: None,
            accounts: 1,
        }
    }

    async fn start_interruptible() -> Self {
        let env = with_three_accounts(Setup::default()).await;
        let relay = StatementRelay::start(env.server.port()).await;
        let (current, _) = env.read(stage::CURRENT).await;
        let master = env.document("rdsmaster", "Master-0123456789-abcdef-XYZ");
        for (name, document) in [(SECRET, current), (MASTER_SECRET, master)] {
            env.put(name, &with(document, "port", json!(relay.port())))
                .await;
        }
        Self {
            env,
            relay: Some(relay),
            accounts: HOSTS.len(),
        }
    }

    fn env(&self) -> &Environment<LocalMysql> {
        &self.env
    }

    async fn report(&self, user: &str) -> String {
        format!("{:#?}", accounts(&self.env, user).await)
    }

    async fn assert_pair_is_equal(&self) {
        assert_pair_is_equal(&self.env).await;
    }

    async fn assert_complete(&self) {
        assert_one_password(&self.env, self.accounts).await;
    }

    async fn grant_every_kind(&self) {
        self.env.sql(&EVERY_KIND).await;
        let mut root = self.env.root("mysql").await;
        for grant in [
            "GRANT PROXY ON impersonated@'%' TO rdsmaster@'%' WITH GRANT OPTION",
            "GRANT PROXY ON impersonated@'%' TO app@'%'",
        ] {
            run(&mut root, grant).await;
        }
        let shown = accounts(&self.env, "app").await["%"].join("\n");
        for part in [
            "PROXY",
            "MAX_USER_CONNECTIONS 7",
            "UPDATE (`seen`)",
            "EXECUTE ON FUNCTION",
            "SET DEFAULT ROLE",
        ] {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
    }

    async fn assert_every_kind_is_usable(&self, label: &str) {
        let mut user = self.env.signed_in(label).await;
        assert!(LocalMysql::may_work(&mut user).await, "{label}");
        let sql = "SELECT CURRENT_ROLE(), CAST(shop.answer() AS CHAR)";
        assert_eq!(pairs(&mut user, sql).await[0].0, "reader", "{label}");
    }

    async fn revoke_from_master(&self, case: usize) -> String {
        let (statement, fix) = MASTER_CASES[case];
        self.env.sql(&[statement]).await;
        fix.to_owned()
    }

    async fn grant_to_master(&self, case: usize) {
        self.env.sql(&[MASTER_CASES[case].1]).await;
    }

    async fn create_superuser(&self) -> Json {
        self.env
            .sql(&[
                "CREATE USER superuser@'%' IDENTIFIED BY 'Super-0123456789'",
                "GRANT ALL PRIVILEGES ON *.* TO superuser@'%'",
            ])
            .await;
        self.env.document("superuser", "Super-0123456789")
    }

    async fn prepare_standby(&self, state: StandbyState) {
        assert_eq!(state, StandbyState::Missing, "no test needs another state");
        let (current, _) = self.env.read(stage::CURRENT).await;
        let standby = if current["username"] == "app" {
            "app_clone"
        } else {
            "app"
        };
        for host in HOSTS {
            self.env
                .sql(&[&format!("DROP USER IF EXISTS `{standby}`@`{host}`")])
                .await;
        }
    }

    fn interrupt_at(&self, nth: usize, interruption: Interruption) -> Arc<Notify> {
        self.relay().hang_at(nth, interruption)
    }

    async fn interrupt_before_password(&self) -> Arc<Notify> {
        self.env.run_ok(&["rotate", "shop"]).await;
        self.env.run_ok(&["rotate", "shop"]).await;
        // The pair is equal, so that a run has three statements, one password for each account.
        self.interrupt_at(2, Interruption::BeforeExecution)
    }

    fn remove_interruption(&self) {
        self.relay().relay_all();
    }

    async fn wait_for_disconnect(&self) {
        let mut root = self.env.root("mysql").await;
        until("the server closes the killed run's connections", async || {
            let sql =
                "SELECT USER, HOST FROM information_schema.PROCESSLIST WHERE USER = 'rdsmaster'";
            pairs(&mut root, sql).await.is_empty()
        })
        .await;
    }
}
