//! Implementation of the conformance harness for Redshift.

use std::any::Any;
use std::net::TcpStream;
use std::path::PathBuf;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Row};
use twinkey_engines::{Change, Credentials, Engine, Target, Tls, TlsMode};

use super::{MASTER, OTHER, Server, digest, quoted, run, try_run};
use crate::harness::Harness;
use twinkey_testkit::aws::redshift::HOME;

/// A privilege with its statements. `{p}` is the place and `{u}` the user.
struct Privilege {
    name: &'static str,
    database: &'static str,
    grant: &'static str,
    revoke: &'static str,
    use_it: &'static str,
}

const PRIVILEGES: [Privilege; 8] = [
    Privilege {
        name: "a table",
        database: HOME,
        grant: "GRANT SELECT ON {p}.whole TO {u}",
        revoke: "REVOKE SELECT ON {p}.whole FROM {u}",
        use_it: "SELECT * FROM {p}.whole",
    },
    Privilege {
        name: "a column",
        database: HOME,
        grant: "GRANT SELECT (seen) ON {p}.part TO {u}",
        revoke: "REVOKE SELECT (seen) ON {p}.part FROM {u}",
        use_it: "SELECT seen FROM {p}.part",
    },
    Privilege {
        name: "a function",
        database: HOME,
        grant: "GRANT EXECUTE ON FUNCTION {p}.answer(int, varchar) TO {u}",
        revoke: "REVOKE EXECUTE ON FUNCTION {p}.answer(int, varchar) FROM {u}",
        use_it: "SELECT {p}.answer(1, 'a')",
    },
    Privilege {
        name: "a procedure",
        database: HOME,
        grant: "GRANT EXECUTE ON PROCEDURE {p}.act() TO {u}",
        revoke: "REVOKE EXECUTE ON PROCEDURE {p}.act() FROM {u}",
        use_it: "CALL {p}.act()",
    },
    Privilege {
        name: "a schema",
        database: HOME,
        grant: "GRANT USAGE, CREATE ON SCHEMA {p}_more TO {u}",
        revoke: "REVOKE USAGE, CREATE ON SCHEMA {p}_more FROM {u}",
        use_it: "BEGIN; CREATE TABLE {p}_more.mine (n int); ROLLBACK",
    },
    Privilege {
        name: "a group",
        database: HOME,
        grant: "ALTER GROUP {p}_group ADD USER {u}",
        revoke: "ALTER GROUP {p}_group DROP USER {u}",
        use_it: "SELECT * FROM {p}.for_group",
    },
    Privilege {
        name: "a role",
        database: HOME,
        grant: "GRANT ROLE {p}_role TO {u}",
        revoke: "REVOKE ROLE {p}_role FROM {u}",
        use_it: "SELECT * FROM {p}.for_role",
    },
    Privilege {
        name: "another database",
        database: OTHER,
        grant: "GRANT UPDATE ON {p}.there TO {u}",
        revoke: "REVOKE UPDATE ON {p}.there FROM {u}",
        use_it: "UPDATE {p}.there SET n = 1",
    },
];

const NAMES: [&str; PRIVILEGES.len()] = {
    let mut names = [""; PRIVILEGES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = PRIVILEGES[at].name;
        at += 1;
    }
    names
};

/// Statements of the superuser for each place.
const SHARED: [&str; 17] = [
    "CREATE SCHEMA {p}",
    "GRANT USAGE ON SCHEMA {p} TO PUBLIC",
    "GRANT CREATE ON SCHEMA {p} TO {u}",
    "CREATE SCHEMA {p}_more",
    "CREATE TABLE {p}.whole (n int)",
    "CREATE TABLE {p}.part (seen int, unseen int)",
    "CREATE FUNCTION {p}.answer(int, varchar) RETURNS int STABLE AS $$ SELECT 42 $$ LANGUAGE sql",
    "REVOKE EXECUTE ON FUNCTION {p}.answer(int, varchar) FROM PUBLIC",
    "CREATE PROCEDURE {p}.act() AS $$ BEGIN END $$ LANGUAGE plpgsql",
    "REVOKE EXECUTE ON PROCEDURE {p}.act() FROM PUBLIC",
    "CREATE GROUP {p}_group",
    "CREATE TABLE {p}.for_group (n int)",
    "GRANT SELECT ON {p}.for_group TO GROUP {p}_group",
    "CREATE ROLE {p}_role",
    "CREATE TABLE {p}.for_role (n int)",
    "GRANT SELECT ON {p}.for_role TO ROLE {p}_role",
    // Settings in Redshift apply to a user in all databases.
    "ALTER USER {u} SET search_path TO {p}, public",
];

const SHARED_THERE: [&str; 3] = [
    "CREATE SCHEMA {p}",
    "GRANT USAGE ON SCHEMA {p} TO PUBLIC",
    "CREATE TABLE {p}.there (n int)",
];

/// SQLSTATE `insufficient_privilege`.
const NOT_ALLOWED: &str = "42501";

fn privilege(name: &str) -> &'static Privilege {
    PRIVILEGES.iter().find(|known| known.name == name).unwrap()
}

fn filled(sql: &str, place: &str, user: &str) -> String {
    sql.replace("{p}", place).replace("{u}", &quoted(user))
}

/// `md5…` or `sha256|…|…`.
fn is_digest(text: &str) -> bool {
    let hex =
        |part: &str, length| part.len() == length && part.chars().all(|c| c.is_ascii_hexdigit());
    let mut parts = text.split('|');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("sha256"), Some(digest), Some(salt)) => hex(digest, 64) && hex(salt, 64),
        (Some(md5), None, None) => md5
            .strip_prefix("md5")
            .is_some_and(|digest| hex(digest, 32)),
        _ => false,
    }
}

#[async_trait]
impl Harness for Server {
    fn reuses_connections(&self) -> bool {
        false
    }

    fn engine(&self) -> &dyn Engine {
        &self.engine
    }

    fn master(&self) -> &Credentials {
        &self.master
    }

    fn home(&self) -> &str {
        HOME
    }

    /// The host appears in messages only.
    fn target(&self, _place: &str) -> Target {
        Target {
            address: None,
            host: "stand-in".into(),
            port: None,
            dbname: Some(HOME.into()),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_file: None,
            },
        }
    }

    fn connects(&self) -> bool {
        false
    }

    async fn prepare(&self, place: &str, user: &Credentials) {
        let name = quoted(&user.username);
        let create = format!("CREATE USER {name} PASSWORD '{}'", digest(user));
        self.dba(HOME, &[&create]).await;
        for (database, statements) in [(HOME, &SHARED[..]), (OTHER, &SHARED_THERE)] {
            for sql in statements {
                self.dba(database, &[&filled(sql, place, &user.username)])
                    .await;
            }
        }
    }

    async fn run_workload(&self, place: &str, who: &Credentials, round: u32) {
        let mut app = self.connect_as(HOME, who).await;
        for earlier in 0..round {
            let table = format!("{place}.by_round_{earlier}");
            run(&mut app, &format!("INSERT INTO {table} VALUES ({round})")).await;
            let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            let row = sqlx::query(count).fetch_one(&mut app).await.unwrap();
            assert_eq!(row.get::<i64, _>(0), i64::from(round - earlier));
        }
        run(
            &mut app,
            &format!("CREATE TABLE {place}.by_round_{round} (n int)"),
        )
        .await;
    }

    async fn open_session(&self, _place: &str, who: &Credentials) -> Box<dyn Any + Send> {
        Box::new(self.connect_as(HOME, who).await)
    }

    fn privileges(&self) -> &'static [&'static str] {
        &NAMES
    }

    async fn grant(&self, place: &str, user: &str, name: &str) {
        let privilege = privilege(name);
        let sql = filled(privilege.grant, place, user);
        self.dba(privilege.database, &[&sql]).await;
    }

    async fn revoke(&self, place: &str, user: &str, name: &str) {
        let privilege = privilege(name);
        let sql = filled(privilege.revoke, place, user);
        self.dba(privilege.database, &[&sql]).await;
    }

    async fn may(&self, place: &str, who: &Credentials, name: &str) -> bool {
        let privilege = privilege(name);
        let mut app = self.connect_as(privilege.database, who).await;
        let use_it = filled(privilege.use_it, place, &who.username);
        match try_run(&mut app, &use_it).await {
            Ok(()) => true,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NOT_ALLOWED) => {
                false
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }

    async fn revoke_from_master(&self, _place: &str, _user: &str) -> usize {
        self.dba(HOME, &[&format!("ALTER USER {MASTER} NOCREATEUSER")])
            .await;
        1
    }

    async fn apply_fix(&self, _place: &str, fix: &str) {
        self.dba(HOME, &[fix]).await;
    }

    async fn administrators(&self) -> Vec<String> {
        let create = "CREATE USER superuser CREATEUSER PASSWORD 'Some0Password'";
        self.dba(HOME, &[create]).await;
        vec!["superuser".into()]
    }

    fn hostile_names(&self) -> Vec<String> {
        vec![
            r#"a"b'; DROP TABLE x; --"#.into(),
            "Upper Case".into(),
            "ünï-çødé $1 \\".into(),
            // The limit of the server behind the stand-in; Redshift accepts 127 bytes.
            "x".repeat(57),
            "select".into(),
            "a=b, {c}".into(),
        ]
    }

    fn impossible_names(&self) -> Vec<String> {
        vec![
            "x".repeat(128),
            "a\0b".into(),
            "public".into(),
            String::new(),
        ]
    }

    fn log_path(&self) -> PathBuf {
        self.stand_in.redshift().log_path()
    }

    fn is_logged(&self, log: &str, change: &Change) -> bool {
        let planned = format!("statement: {}", change.statement);
        match planned.split_once("***'") {
            None => log.contains(&format!("{planned}\n")),
            Some((before, after)) => log.lines().any(|line| {
                let digest = line.strip_prefix(before);
                let digest = digest.and_then(|rest| rest.strip_suffix(&format!("'{after}")));
                digest.is_some_and(is_digest)
            }),
        }
    }

    fn plain_server(&self) -> fn(TcpStream) -> Vec<u8> {
        |_| unreachable!("nothing connects to the server")
    }
}
