//! The fixture of MariaDB and MySQL.

use std::any::Any;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::mysql::MySqlDatabaseError;
use twinkey_engines::{Change, Credentials, Engine, Target, Tls, TlsMode};
use twinkey_testkit::mysql::Flavor;

use super::{MASTER, Server, account, pattern, run, try_run};
use crate::harness::Harness;

/// Name, text of the grant (before TO or FROM), and a statement that uses it.
const PRIVILEGES: [(&str, &str, &str); 5] = [
    (
        "a schema",
        "INSERT ON {pattern}.*",
        "INSERT INTO {shared}.written VALUES (1)",
    ),
    (
        "a table",
        "SELECT ON {shared}.whole",
        "SELECT * FROM {shared}.whole",
    ),
    (
        "a column",
        "SELECT (seen) ON {shared}.part",
        "SELECT seen FROM {shared}.part",
    ),
    (
        "a routine",
        "EXECUTE ON FUNCTION {shared}.answer",
        "SELECT {shared}.answer()",
    ),
    (
        "a role",
        "{shared}_readers",
        "SET ROLE {shared}_readers; SELECT * FROM {shared}.for_readers",
    ),
];

const NAMES: [&str; PRIVILEGES.len()] = {
    let mut names = [""; PRIVILEGES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = PRIVILEGES[at].0;
        at += 1;
    }
    names
};

const SHARED: &str = "CREATE DATABASE {shared}; CREATE TABLE {shared}.written (n int); \
     CREATE TABLE {shared}.whole (n int); CREATE TABLE {shared}.part (seen int, unseen int); \
     CREATE FUNCTION {shared}.answer() RETURNS int DETERMINISTIC RETURN 42; \
     CREATE TABLE {shared}.for_readers (n int); CREATE ROLE {shared}_readers; \
     GRANT SELECT ON {shared}.for_readers TO {shared}_readers; \
     GRANT {shared}_readers TO {master} WITH ADMIN OPTION";

/// "Access denied" to a schema, a table, a column and a routine; MariaDB's and MySQL's errors for a
/// role that was not granted.
const NOT_ALLOWED: [u16; 6] = [1044, 1142, 1143, 1370, 1959, 3530];

fn privilege(namespace: &str, name: &str) -> (String, String) {
    let mut all = PRIVILEGES.iter();
    let found = all.find(|(known, ..)| *known == name).unwrap();
    (
        substituted(namespace, found.1),
        substituted(namespace, found.2),
    )
}

fn substituted(namespace: &str, sql: &str) -> String {
    let shared = format!("{namespace}_shared");
    sql.replace("{shared}", &shared)
        .replace("{pattern}", &pattern(&shared))
        .replace("{master}", &account(MASTER))
}

#[async_trait]
impl Harness for Server {
    fn engine(&self) -> &dyn Engine {
        &self.engine
    }

    fn master(&self) -> &Credentials {
        &self.master
    }

    fn home(&self) -> &str {
        "mysql"
    }

    fn target(&self, namespace: &str) -> Target {
        Target {
            address: None,
            host: "localhost".into(),
            port: Some(self.mysql.port()),
            dbname: Some(namespace.into()),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_file: Some(self.pki.ca_file.clone()),
            },
        }
    }

    async fn prepare(&self, namespace: &str, user: &Credentials) {
        self.make_user(user).await;
        let (user, master, own) = (account(&user.username), account(MASTER), pattern(namespace));
        let grants = format!(
            "CREATE DATABASE {namespace}; GRANT ALL PRIVILEGES ON {own}.* TO {user}; \
             GRANT ALL PRIVILEGES ON {own}.* TO {master} WITH GRANT OPTION; \
             GRANT ALL PRIVILEGES ON {{pattern}}.* TO {master} WITH GRANT OPTION"
        );
        self.sql(&substituted(namespace, &format!("{SHARED}; {grants}")))
            .await;
    }

    async fn run_workload(&self, namespace: &str, who: &Credentials, round: u32) {
        let mut app = self.connect_as(namespace, who).await;
        for earlier in 0..round {
            let table = format!("by_round_{earlier}");
            let alter = format!(
                "ALTER TABLE {table} ADD COLUMN c{round} int; \
                 INSERT INTO {table} (n) VALUES ({round})"
            );
            run(&mut app, &alter).await;
            let row = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
                .fetch_one(&mut app)
                .await
                .unwrap();
            assert_eq!(row.get::<i64, _>(0), i64::from(round - earlier));
        }
        run(&mut app, &format!("CREATE TABLE by_round_{round} (n int)")).await;
    }

    async fn open_session(&self, namespace: &str, who: &Credentials) -> Box<dyn Any + Send> {
        Box::new(self.connect_as(namespace, who).await)
    }

    fn privileges(&self) -> &'static [&'static str] {
        &NAMES
    }

    async fn grant(&self, namespace: &str, user: &str, name: &str) {
        let (what, _) = privilege(namespace, name);
        self.sql(&format!("GRANT {what} TO {}", account(user)))
            .await;
    }

    async fn revoke(&self, namespace: &str, user: &str, name: &str) {
        let (what, _) = privilege(namespace, name);
        self.sql(&format!("REVOKE {what} FROM {}", account(user)))
            .await;
    }

    async fn may(&self, namespace: &str, who: &Credentials, name: &str) -> bool {
        let mut app = self.connect_as(namespace, who).await;
        let (_, sql) = privilege(namespace, name);
        match try_run(&mut app, &sql).await {
            Ok(()) => true,
            Err(sqlx::Error::Database(error))
                if NOT_ALLOWED.contains(&error.downcast_ref::<MySqlDatabaseError>().number()) =>
            {
                false
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }

    async fn revoke_from_master(&self, namespace: &str, user: &str) -> usize {
        let (user, master) = (account(user), account(MASTER));
        let beyond = pattern(&format!("{namespace}_beyond"));
        self.sql(&format!(
            "REVOKE CREATE USER ON *.* FROM {master}; CREATE DATABASE {namespace}_beyond; \
             GRANT SELECT ON {beyond}.* TO {user}"
        ))
        .await;
        2
    }

    async fn apply_fix(&self, _namespace: &str, fix: &str) {
        self.sql(fix).await;
    }

    async fn administrators(&self) -> Vec<String> {
        self.sql(
            "CREATE USER 'administrator'@'%'; GRANT ALL PRIVILEGES ON *.* TO 'administrator'@'%'",
        )
        .await;
        vec![
            "administrator".into(),
            self.mysql.superuser().username.clone(),
        ]
    }

    fn hostile_names(&self) -> Vec<String> {
        let longest = match self.flavor {
            Flavor::Mariadb => 80,
            Flavor::Mysql => 32,
        };
        vec![
            r#"a"b'; DROP TABLE x;"#.into(),
            "Upper Case".into(),
            "ünï-çødé ?".into(),
            "x".repeat(longest - "_clone".len()),
            "select".into(),
            "back`tick\\".into(),
            "per%cent@host".into(),
        ]
    }

    fn impossible_names(&self) -> Vec<String> {
        let too_long = match self.flavor {
            Flavor::Mariadb => 81,
            Flavor::Mysql => 33,
        };
        vec!["x".repeat(too_long), "a\0b".into(), String::new()]
    }

    fn log_path(&self) -> PathBuf {
        self.mysql.log_path()
    }

    fn is_logged(&self, log: &str, change: &Change) -> bool {
        let planned = change.statement.to_string();
        let mut statements = log
            .lines()
            .filter_map(|line| Some(line.split_once("Query\t")?.1));
        let about_users = planned.starts_with("CREATE USER") || planned.starts_with("ALTER USER");
        if self.flavor == Flavor::Mysql && about_users {
            // MySQL logs these statements rewritten, without a hash: only the verb can be compared.
            return statements.any(|logged| logged.starts_with(&planned[..11]));
        }
        match planned.split_once("***") {
            None => statements.any(|logged| logged == planned),
            Some((before, after)) => statements.any(|logged| {
                let rest = logged.strip_prefix(before);
                rest.and_then(|rest| rest.strip_suffix(after))
                    .is_some_and(is_hash)
            }),
        }
    }

    fn plain_server(&self) -> fn(TcpStream) -> Vec<u8> {
        |mut socket| {
            socket.write_all(&greeting_without_tls()).unwrap();
            let mut received = Vec::new();
            socket.read_to_end(&mut received).unwrap();
            received
        }
    }
}

fn is_hash(text: &str) -> bool {
    text.len() >= 40
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "*+/".contains(c))
}

/// The server's first packet: protocol 10, with capabilities that lack `CLIENT_SSL` (0x0800).
fn greeting_without_tls() -> Vec<u8> {
    // LONG_PASSWORD, CONNECT_WITH_DB, PROTOCOL_41, SECURE_CONNECTION; PLUGIN_AUTH.
    let (low, high) = (0x8209_u16.to_le_bytes(), 0x0008_u16.to_le_bytes());
    let mut payload = b"\x0a8.0.0\0\x01\0\0\0".to_vec();
    payload.extend(b"8 bytes!\0");
    payload.extend(low);
    // The character set and the status: autocommit.
    payload.extend([33, 2, 0]);
    payload.extend(high);
    payload.push(21);
    payload.extend([0; 10]);
    payload.extend(b"12 bytes and\0mysql_native_password\0");
    let mut packet = vec![u8::try_from(payload.len()).unwrap(), 0, 0, 0];
    packet.extend(payload);
    packet
}
