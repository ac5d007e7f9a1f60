//! The environment on MariaDB or MySQL, with readers of its accounts and its general log.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::mysql::{Flavor, LocalMysql, Options, find_for_test};
use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions};
use twinkey_core::secret::Credentials;

use super::{Backend, Database, Environment, FIRST, Setup, StandIn};

pub type MariadbEnvironment = Environment<LocalMysql>;

impl MariadbEnvironment {
    /// An environment with the server of [`Setup::flavor`] and the AWS stand-in.
    pub async fn on_mariadb(setup: Setup) -> Self {
        Self::on_mariadb_with(setup, Backend::StandIn(StandIn::start().await)).await
    }

    pub async fn on_mariadb_with(setup: Setup, backend: Backend) -> Self {
        Self::build(setup, backend).await
    }

    /// Executes statements as the superuser.
    pub async fn sql(&self, statements: &[&str]) {
        let mut root = self.root("mysql").await;
        for statement in statements {
            run(&mut root, statement).await;
        }
    }

    /// The current length of the log, for [`Self::changes_since`].
    pub fn log_end(&self) -> usize {
        self.log().len()
    }

    /// The master's statements since `from` that change an account, with `***` for hashes.
    pub fn changes_since(&self, from: usize) -> Vec<String> {
        changes(&self.log(), from)
    }
}

/// The privileges that RDS gives the master user of MariaDB, all WITH GRANT OPTION ("Master user account
/// privileges" in the Amazon RDS user guide). It has neither SUPER nor DELETE HISTORY.
pub const RDS_MASTER: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, \
     SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, \
     CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER";

impl Database for LocalMysql {
    const ENGINE: &'static str = "mariadb";
    type Connection = MySqlConnection;
    type Error = sqlx::Error;

    fn start(setup: &Setup) -> Self {
        let program = Self::find(setup.flavor).unwrap_or_else(|e| panic!("{e}: {}", e.hint()));
        let mut options = Options::new(program);
        options.settings.push("general_log=ON".into());
        options.settings.extend(setup.settings.iter().cloned());
        options.tls.clone_from(&setup.tls);
        Self::start(&options).unwrap()
    }

    fn port(&self) -> u16 {
        self.port()
    }

    fn superuser(&self) -> &Credentials {
        self.superuser()
    }

    fn log_path(&self) -> PathBuf {
        self.log_path()
    }

    async fn populate(&self, master: &SecretString, user: &str) {
        let mut root = root(self).await;
        let password = master.expose_secret();
        for statement in [
            "CREATE DATABASE shop",
            &format!("CREATE USER rdsmaster@'%' IDENTIFIED BY '{password}'"),
            "GRANT CREATE USER, PROCESS ON *.* TO rdsmaster@'%'",
            "GRANT SELECT ON mysql.* TO rdsmaster@'%'",
            "GRANT ALL PRIVILEGES ON shop.* TO rdsmaster@'%' WITH GRANT OPTION",
        ] {
            run(&mut root, statement).await;
        }
        let mut master = self.connect("rdsmaster", master, "shop").await.unwrap();
        for statement in [
            &format!("CREATE USER `{user}`@'%' IDENTIFIED BY '{FIRST}'"),
            &format!("GRANT SELECT, INSERT, CREATE ON shop.* TO `{user}`@'%'"),
            "CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, seen int, note int)",
        ] {
            run(&mut master, statement).await;
        }
    }

    async fn connect(
        &self,
        user: &str,
        password: &SecretString,
        database: &str,
    ) -> Result<MySqlConnection, sqlx::Error> {
        MySqlConnectOptions::new()
            .host(self.host())
            .port(self.port())
            .username(user)
            .password(password.expose_secret())
            .database(database)
            .ssl_mode(MySqlSslMode::Preferred)
            .disable_statement_logging()
            .connect()
            .await
    }

    async fn may_work(connection: &mut MySqlConnection) -> bool {
        let work = "INSERT INTO orders () VALUES (); SELECT * FROM orders LIMIT 1; \
             CREATE TABLE IF NOT EXISTS made (id int)";
        sqlx::raw_sql(work).execute(connection).await.is_ok()
    }

    async fn users(&self) -> String {
        let mut root = root(self).await;
        let sql = "SELECT User, Host FROM mysql.user ORDER BY 1, 2";
        let mut all = String::new();
        for (user, host) in pairs(&mut root, sql).await {
            // An account of the server, which is not allowed in `SHOW GRANTS`.
            if user != "mariadb.sys" {
                let account = format!("`{user}`@`{host}`");
                all.push_str(&described(&mut root, &account).await.join("\n"));
                all.push('\n');
            }
        }
        all
    }
}

/// Whether MySQL is installed. It has to be if `TWINKEY_MYSQL` is set.
pub fn mysql_is_installed() -> bool {
    find_for_test(Flavor::Mysql).is_some()
}

async fn root(server: &LocalMysql) -> MySqlConnection {
    let root = server.superuser();
    server
        .connect(&root.username, &root.password, "mysql")
        .await
        .unwrap()
}

/// Executes SQL.
pub async fn run(connection: &mut MySqlConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// Rows of two texts.
pub async fn pairs(connection: &mut MySqlConnection, sql: &str) -> Vec<(String, String)> {
    sqlx::query_as(AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// `SHOW CREATE USER` and `SHOW GRANTS` of an account or a role.
async fn described(connection: &mut MySqlConnection, account: &str) -> Vec<String> {
    let mut all = Vec::new();
    for what in ["CREATE USER", "GRANTS FOR"] {
        let sql = format!("SHOW {what} {account}");
        let lines: Result<Vec<String>, _> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut *connection)
            .await;
        // A role has no `CREATE USER` statement.
        all.extend(lines.unwrap_or_default());
    }
    all
}

/// Every account of a user by host: its definition and grants without its name and hash.
pub async fn accounts(env: &MariadbEnvironment, user: &str) -> BTreeMap<String, Vec<String>> {
    let mut root = env.root("mysql").await;
    let sql = format!("SELECT User, Host FROM mysql.global_priv WHERE User = '{user}'");
    let mut all = BTreeMap::new();
    for (_, host) in pairs(&mut root, &sql).await {
        let mut lines = described(&mut root, &format!("`{user}`@`{host}`")).await;
        assert!(lines.len() >= 2, "{user}@{host}: {lines:?}");
        for line in &mut lines {
            *line = masked(&line.replace(&format!("`{user}`@"), "`USER`@"));
        }
        lines.sort();
        all.insert(host, lines);
    }
    all
}

/// The password hashes of a user, by host.
pub async fn hashes(env: &MariadbEnvironment, user: &str) -> BTreeMap<String, String> {
    let sql = format!(
        "SELECT Host, JSON_VALUE(Priv, '$.authentication_string') FROM mysql.global_priv WHERE User = '{user}'"
    );
    let mut root = env.root("mysql").await;
    pairs(&mut root, &sql).await.into_iter().collect()
}

/// A statement with `***` for its hash, as in the output of `plan`.
fn masked(statement: &str) -> String {
    let mut parts = statement.splitn(2, "'*");
    let (before, rest) = (parts.next().unwrap(), parts.next());
    match rest.and_then(|rest| rest.split_once('\'')) {
        Some((hash, after)) if hash.len() == 40 => format!("{before}'***'{after}"),
        _ => statement.to_owned(),
    }
}

const CHANGES: [&str; 6] = [
    "CREATE USER ",
    "ALTER USER ",
    "DROP USER ",
    "GRANT ",
    "REVOKE ",
    "SET DEFAULT ROLE ",
];

/// Whether a statement changes an account.
pub fn changes_anything(statement: &str) -> bool {
    CHANGES.iter().any(|verb| statement.starts_with(verb))
}

/// The master's changes in the general log after `from`.
fn changes(log: &str, from: usize) -> Vec<String> {
    let mut masters = Vec::new();
    let mut found = Vec::new();
    let mut at = 0;
    for line in log.split_inclusive('\n') {
        at += line.len();
        let Some((head, rest)) = line
            .trim_end()
            .split_once(" Connect\t")
            .or_else(|| line.trim_end().split_once(" Query\t"))
        else {
            continue;
        };
        let id = head.split_whitespace().last().unwrap_or_default();
        if line.contains(" Connect\t") {
            if rest.starts_with("rdsmaster@") {
                masters.push(id.to_owned());
            }
        } else if at > from && changes_anything(rest) && masters.iter().any(|m| m == id) {
            found.push(masked(rest));
        }
    }
    found
}
