//! PostgreSQL as the sentences see it.

use std::any::Any;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use async_trait::async_trait;
use sqlx::Row;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{Change, Credentials, Engine, Target, Tls, TlsMode};

use super::{MASTER, Server, quoted, run, try_run};
use crate::harness::Harness;

/// Name, how it is granted (`{to}` or `{from}` follows), and what it is for.
const PRIVILEGES: [(&str, &str, &str); 5] = [
    (
        "a table",
        "SELECT ON shared.whole",
        "SELECT * FROM shared.whole",
    ),
    (
        "a column",
        "SELECT (seen) ON shared.part",
        "SELECT seen FROM shared.part",
    ),
    (
        "a routine",
        "EXECUTE ON FUNCTION shared.answer()",
        "SELECT shared.answer()",
    ),
    (
        "a schema",
        "CREATE ON SCHEMA shared",
        "BEGIN; CREATE TABLE shared.mine (); ROLLBACK",
    ),
    ("a role", "{readers}", "SELECT * FROM shared.for_readers"),
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

/// Made by the master, in each place.
const SHARED: &str = "CREATE SCHEMA shared; GRANT USAGE ON SCHEMA shared TO PUBLIC; \
     CREATE TABLE shared.whole (n int); CREATE TABLE shared.part (seen int, unseen int); \
     CREATE FUNCTION shared.answer() RETURNS int LANGUAGE sql RETURN 42; \
     REVOKE EXECUTE ON FUNCTION shared.answer() FROM PUBLIC; \
     CREATE TABLE shared.for_readers (n int); \
     CREATE ROLE {readers}; GRANT SELECT ON shared.for_readers TO {readers}";

/// SQLSTATE `insufficient_privilege`.
const NOT_ALLOWED: &str = "42501";

fn privilege(name: &str) -> (&'static str, &'static str) {
    let mut all = PRIVILEGES.iter();
    let found = all.find(|(known, ..)| *known == name).unwrap();
    (found.1, found.2)
}

/// A role is the cluster's: one for each place.
fn with_readers(sql: &str, place: &str) -> String {
    sql.replace("{readers}", &format!("readers_of_{place}"))
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
        "postgres"
    }

    fn target(&self, place: &str) -> Target {
        Target {
            host: "localhost".into(),
            port: Some(self.postgres.port()),
            dbname: Some(place.into()),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_file: Some(self.pki.ca_file.clone()),
            },
        }
    }

    async fn prepare(&self, place: &str, user: &Credentials) {
        self.make_user(user, "LOGIN").await;
        let name = quoted(&user.username);
        self.sql("postgres", &format!("CREATE DATABASE {place} OWNER {name}"))
            .await;
        self.sql(
            place,
            &format!(
                "GRANT CREATE ON DATABASE {place} TO {MASTER}; \
                 ALTER ROLE {name} SET search_path = {name}, public"
            ),
        )
        .await;
        let mut dba = self.connect_as(place, &self.master).await;
        run(&mut dba, &with_readers(SHARED, place)).await;
        self.let_master_rotate(&user.username).await;
    }

    async fn work(&self, place: &str, who: &Credentials, round: u32) {
        let mut app = self.connect_as(place, who).await;
        for earlier in 0..round {
            let table = format!("public.by_round_{earlier}");
            let alter = format!(
                "ALTER TABLE {table} ADD COLUMN c{round} int; INSERT INTO {table} VALUES ({round})"
            );
            run(&mut app, &alter).await;
            let row = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
                .fetch_one(&mut app)
                .await
                .unwrap();
            assert_eq!(row.get::<i64, _>(0), i64::from(round - earlier));
        }
        let create = format!("CREATE TABLE public.by_round_{round} (n int)");
        run(&mut app, &create).await;
    }

    async fn open(&self, place: &str, who: &Credentials) -> Box<dyn Any + Send> {
        Box::new(self.connect_as(place, who).await)
    }

    fn privileges(&self) -> &'static [&'static str] {
        &NAMES
    }

    /// The clone borrows what the base user has.
    fn bearer<'a>(&self, pair: &'a Pair) -> &'a str {
        &pair.base
    }

    async fn grant(&self, place: &str, user: &str, name: &str) {
        let what = with_readers(privilege(name).0, place);
        let mut dba = self.connect_as(place, &self.master).await;
        run(&mut dba, &format!("GRANT {what} TO {}", quoted(user))).await;
    }

    async fn revoke(&self, place: &str, user: &str, name: &str) {
        let what = with_readers(privilege(name).0, place);
        let mut dba = self.connect_as(place, &self.master).await;
        run(&mut dba, &format!("REVOKE {what} FROM {}", quoted(user))).await;
    }

    async fn may(&self, place: &str, who: &Credentials, name: &str) -> bool {
        let mut app = self.connect_as(place, who).await;
        match try_run(&mut app, privilege(name).1).await {
            Ok(()) => true,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NOT_ALLOWED) => {
                false
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }

    async fn break_master(&self, place: &str, user: &str) -> usize {
        let name = quoted(user);
        let take = if self.version >= 16 {
            format!("REVOKE {name} FROM {MASTER}")
        } else {
            format!("ALTER ROLE {MASTER} NOCREATEROLE")
        };
        let set = format!("ALTER ROLE {name} SET log_min_messages = 'error'");
        self.sql(place, &format!("{take}; {set}")).await;
        2
    }

    async fn mend(&self, place: &str, fix: &str) {
        self.sql(place, fix).await;
    }

    async fn mighty_users(&self) -> Vec<String> {
        self.sql(
            "postgres",
            "CREATE ROLE mighty LOGIN SUPERUSER; CREATE ROLE copying LOGIN REPLICATION",
        )
        .await;
        vec!["mighty".into(), "copying".into()]
    }

    fn hostile_names(&self) -> Vec<String> {
        vec![
            r#"a"b'; DROP TABLE x; --"#.into(),
            "Upper Case".into(),
            "ünï-çødé $1 \\".into(),
            // 63 bytes with the suffix.
            "x".repeat(57),
            "select".into(),
            "a=b".into(),
        ]
    }

    fn impossible_names(&self) -> Vec<String> {
        vec!["x".repeat(64), "a\0b".into(), "a,b".into(), String::new()]
    }

    fn log_path(&self) -> PathBuf {
        self.postgres.log_path()
    }

    fn is_logged(&self, log: &str, change: &Change) -> bool {
        let planned = format!("LOG:  statement: {}", change.statement);
        match planned.split_once("***'") {
            None => log.contains(&format!("{planned}\n")),
            Some((before, after)) => log.lines().any(|line| {
                after.is_empty()
                    && line.contains(&format!("{before}SCRAM-SHA-256$4096:"))
                    && line.ends_with("='")
            }),
        }
    }

    fn plain_server(&self) -> fn(TcpStream) -> Vec<u8> {
        |mut socket| {
            let mut question = [0; 8];
            socket.read_exact(&mut question).unwrap();
            // SSLRequest: length 8, code 80877103.
            assert_eq!(question, [0, 0, 0, 8, 4, 210, 22, 47]);
            socket.write_all(b"N").unwrap();
            let mut heard = Vec::new();
            socket.read_to_end(&mut heard).unwrap();
            heard
        }
    }
}
