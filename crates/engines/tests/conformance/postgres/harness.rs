//! The fixture of PostgreSQL.

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

/// Name, text of the grant (before TO or FROM), and a statement that uses it.
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

/// Objects that the master creates in each namespace.
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

/// Roles are global: each namespace has its own.
fn with_readers(sql: &str, namespace: &str) -> String {
    sql.replace("{readers}", &format!("readers_of_{namespace}"))
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

    fn target(&self, namespace: &str) -> Target {
        Target {
            address: None,
            host: "localhost".into(),
            port: Some(self.postgres.port()),
            dbname: Some(namespace.into()),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_file: Some(self.pki.ca_file.clone()),
            },
        }
    }

    async fn prepare(&self, namespace: &str, user: &Credentials) {
        self.make_user(user, "LOGIN").await;
        let name = quoted(&user.username);
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {namespace} OWNER {name}"),
        )
        .await;
        self.sql(
            namespace,
            &format!(
                "GRANT CREATE ON DATABASE {namespace} TO {MASTER}; \
                 ALTER ROLE {name} SET search_path = {name}, public"
            ),
        )
        .await;
        let mut dba = self.connect_as(namespace, &self.master).await;
        run(&mut dba, &with_readers(SHARED, namespace)).await;
        self.let_master_rotate(&user.username).await;
    }

    async fn run_workload(&self, namespace: &str, who: &Credentials, round: u32) {
        let mut app = self.connect_as(namespace, who).await;
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

    async fn open_session(&self, namespace: &str, who: &Credentials) -> Box<dyn Any + Send> {
        Box::new(self.connect_as(namespace, who).await)
    }

    fn privileges(&self) -> &'static [&'static str] {
        &NAMES
    }

    /// The clone has the base user's privileges by membership.
    fn grantee<'a>(&self, pair: &'a Pair) -> &'a str {
        &pair.base
    }

    async fn grant(&self, namespace: &str, user: &str, name: &str) {
        let what = with_readers(privilege(name).0, namespace);
        let mut dba = self.connect_as(namespace, &self.master).await;
        run(&mut dba, &format!("GRANT {what} TO {}", quoted(user))).await;
    }

    async fn revoke(&self, namespace: &str, user: &str, name: &str) {
        let what = with_readers(privilege(name).0, namespace);
        let mut dba = self.connect_as(namespace, &self.master).await;
        run(&mut dba, &format!("REVOKE {what} FROM {}", quoted(user))).await;
    }

    async fn may(&self, namespace: &str, who: &Credentials, name: &str) -> bool {
        let mut app = self.connect_as(namespace, who).await;
        match try_run(&mut app, privilege(name).1).await {
            Ok(()) => true,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NOT_ALLOWED) => {
                false
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }

    async fn revoke_from_master(&self, namespace: &str, user: &str) -> usize {
        let name = quoted(user);
        let take = if self.version >= 16 {
            format!("REVOKE {name} FROM {MASTER}")
        } else {
            format!("ALTER ROLE {MASTER} NOCREATEROLE")
        };
        let set = format!("ALTER ROLE {name} SET log_min_messages = 'error'");
        self.sql(namespace, &format!("{take}; {set}")).await;
        2
    }

    async fn apply_fix(&self, namespace: &str, fix: &str) {
        self.sql(namespace, fix).await;
    }

    async fn administrators(&self) -> Vec<String> {
        self.sql(
            "postgres",
            "CREATE ROLE administrator LOGIN SUPERUSER; CREATE ROLE copying LOGIN REPLICATION",
        )
        .await;
        vec!["administrator".into(), "copying".into()]
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
            let mut request = [0; 8];
            socket.read_exact(&mut request).unwrap();
            // SSLRequest: length 8, code 80877103.
            assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47]);
            socket.write_all(b"N").unwrap();
            let mut received = Vec::new();
            socket.read_to_end(&mut received).unwrap();
            received
        }
    }
}
