//! MariaDB and MySQL as the sentences see them.

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

/// Name, how it is granted (TO or FROM follows), and what it is for.
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

/// "Access denied" to a schema, a table, a column, a routine; MariaDB's and MySQL's words for a
/// role that was not granted.
const NOT_ALLOWED: [u16; 6] = [1044, 1142, 1143, 1370, 1959, 3530];

fn privilege(place: &str, name: &str) -> (String, String) {
    let mut all = PRIVILEGES.iter();
    let found = all.find(|(known, ..)| *known == name).unwrap();
    (beside(place, found.1), beside(place, found.2))
}

fn beside(place: &str, sql: &str) -> String {
    let shared = format!("{place}_shared");
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

    fn target(&self, place: &str) -> Target {
        Target {
            host: "localhost".into(),
            port: Some(self.mysql.port()),
            dbname: Some(place.into()),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_file: Some(self.pki.ca_file.clone()),
            },
        }
    }

    async fn prepare(&self, place: &str, user: &Credentials) {
        self.make_user(user).await;
        let (user, master, own) = (account(&user.username), account(MASTER), pattern(place));
        let grants = format!(
            "CREATE DATABASE {place}; GRANT ALL PRIVILEGES ON {own}.* TO {user}; \
             GRANT ALL PRIVILEGES ON {own}.* TO {master} WITH GRANT OPTION; \
             GRANT ALL PRIVILEGES ON {{pattern}}.* TO {master} WITH GRANT OPTION"
        );
        self.sql(&beside(place, &format!("{SHARED}; {grants}")))
            .await;
    }

    async fn work(&self, place: &str, who: &Credentials, round: u32) {
        let mut app = self.connect_as(place, who).await;
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

    async fn open(&self, place: &str, who: &Credentials) -> Box<dyn Any + Send> {
        Box::new(self.connect_as(place, who).await)
    }

    fn privileges(&self) -> &'static [&'static str] {
        &NAMES
    }

    async fn grant(&self, place: &str, user: &str, name: &str) {
        let (what, _) = privilege(place, name);
        self.sql(&format!("GRANT {what} TO {}", account(user)))
            .await;
    }

    async fn revoke(&self, place: &str, user: &str, name: &str) {
        let (what, _) = privilege(place, name);
        self.sql(&format!("REVOKE {what} FROM {}", account(user)))
            .await;
    }

    async fn may(&self, place: &str, who: &Credentials, name: &str) -> bool {
        let mut app = self.connect_as(place, who).await;
        let (_, sql) = privilege(place, name);
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

    async fn break_master(&self, place: &str, user: &str) -> usize {
        let (user, master) = (account(user), account(MASTER));
        let beyond = pattern(&format!("{place}_beyond"));
        self.sql(&format!(
            "REVOKE CREATE USER ON *.* FROM {master}; CREATE DATABASE {place}_beyond; \
             GRANT SELECT ON {beyond}.* TO {user}"
        ))
        .await;
        2
    }

    async fn mend(&self, _place: &str, fix: &str) {
        self.sql(fix).await;
    }

    async fn mighty_users(&self) -> Vec<String> {
        self.sql("CREATE USER 'mighty'@'%'; GRANT ALL PRIVILEGES ON *.* TO 'mighty'@'%'")
            .await;
        vec!["mighty".into(), self.mysql.superuser().username.clone()]
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
            // MySQL logs these in words of its own, without any hash: the same verb is all there is.
            return statements.any(|noted| noted.starts_with(&planned[..11]));
        }
        match planned.split_once("***") {
            None => statements.any(|noted| noted == planned),
            Some((before, after)) => statements.any(|noted| {
                let rest = noted.strip_prefix(before);
                rest.and_then(|rest| rest.strip_suffix(after))
                    .is_some_and(is_hash)
            }),
        }
    }

    fn plain_server(&self) -> fn(TcpStream) -> Vec<u8> {
        |mut socket| {
            socket.write_all(&greeting_without_tls()).unwrap();
            let mut heard = Vec::new();
            socket.read_to_end(&mut heard).unwrap();
            heard
        }
    }
}

fn is_hash(text: &str) -> bool {
    text.len() >= 40
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "*+/".contains(c))
}

/// The server speaks first: protocol 10, and capabilities that lack `CLIENT_SSL` (0x0800).
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
