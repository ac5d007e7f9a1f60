//! A real server with a master that is no superuser, and pairs on it.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection};
use std::path::PathBuf;
use std::sync::Mutex;
use twinkey::demo::postgres::{LocalPostgres, Options};
use twinkey::engine::postgres::Postgres;
use twinkey::engine::{
    Admin, Change, Credentials, Engine, InspectRequest, Inspection, PostgresOptions, Severity,
    Target, Tls, TlsMode,
};
use twinkey::secret::ExposeSecret;
use twinkey::secret::pair::{Pair, Which};
use twinkey::secret::password::PasswordPolicy;

pub struct Server {
    pub postgres: LocalPostgres,
    pub version: u32,
    pub master: Credentials,
    pub ca_file: PathBuf,
    pub engine: Postgres,
    _files: tempfile::TempDir,
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

static HANDED_OUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A new password, remembered to be looked for in logs.
pub fn new_password() -> SecretString {
    let password = PasswordPolicy::default().generate().unwrap();
    let mut all = HANDED_OUT.lock().unwrap();
    all.push(password.expose_secret().to_owned());
    password
}

/// All passwords so far.
pub fn handed_out() -> Vec<String> {
    HANDED_OUT.lock().unwrap().clone()
}

impl Server {
    pub async fn start(version: u32, bin: PathBuf) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &ca)
            .unwrap();
        let files = tempfile::tempdir().unwrap();
        let ca_file = files.path().join("ca.pem");
        std::fs::write(&ca_file, ca.pem()).unwrap();
        let mut options = Options::new(bin);
        options.settings.push("log_statement=all".into());
        options.tls = Some((leaf.pem(), key.serialize_pem()));
        let postgres = LocalPostgres::start(&options).unwrap();
        let master = Credentials {
            username: "rdsmaster".into(),
            password: new_password(),
        };
        let server = Self {
            postgres,
            version,
            master,
            ca_file,
            engine: Postgres::new(PostgresOptions::default()),
            _files: files,
        };
        server
            .quietly(
                "postgres",
                &format!(
                    "CREATE ROLE rdsmaster LOGIN CREATEROLE CREATEDB PASSWORD '{}'",
                    server.master.password.expose_secret()
                ),
            )
            .await;
        server
    }

    /// As the superuser.
    pub async fn connect(&self, database: &str) -> PgConnection {
        self.connect_as(database, self.postgres.superuser()).await
    }

    pub async fn connect_as(&self, database: &str, who: &Credentials) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.postgres.port())
            .username(&who.username)
            .password(who.password.expose_secret())
            .database(database)
            .ssl_mode(PgSslMode::Disable);
        PgConnection::connect_with(&options).await.unwrap()
    }

    pub async fn sql(&self, database: &str, sql: &str) {
        run(&mut self.connect(database).await, sql).await;
    }

    /// The log is searched for passwords: those that the fixture itself sets stay out of it.
    pub async fn quietly(&self, database: &str, sql: &str) {
        let mut connection = self.connect(database).await;
        run(&mut connection, "SET log_statement = none").await;
        run(&mut connection, sql).await;
    }

    pub fn target(&self, database: &str) -> Target {
        Target {
            host: "localhost".into(),
            port: Some(self.postgres.port()),
            dbname: Some(database.into()),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_file: Some(self.ca_file.clone()),
            },
        }
    }

    /// A pair whose base user owns a database of its own, and which the master may rotate.
    pub async fn case(&self, base: &str, database: &str) -> Case<'_> {
        let password = new_password();
        let user = quoted(base);
        self.quietly(
            "postgres",
            &format!(
                "CREATE ROLE {user} LOGIN PASSWORD '{}'",
                password.expose_secret()
            ),
        )
        .await;
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {database} OWNER {user}"),
        )
        .await;
        self.let_master_rotate(base).await;
        Case {
            server: self,
            database: database.into(),
            pair: Pair::of(base, "_clone"),
            current: Credentials {
                username: base.into(),
                password,
            },
        }
    }

    pub async fn let_master_rotate(&self, user: &str) {
        if self.version >= 16 {
            let user = quoted(user);
            self.sql(
                "postgres",
                &format!("GRANT {user} TO rdsmaster WITH ADMIN OPTION, INHERIT FALSE, SET FALSE"),
            )
            .await;
        }
    }
}

pub async fn run(connection: &mut PgConnection, sql: &str) {
    try_run(connection, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub async fn try_run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

pub struct Case<'a> {
    pub server: &'a Server,
    pub database: String,
    pub pair: Pair,
    /// AWSCURRENT.
    pub current: Credentials,
}

impl Case<'_> {
    pub async fn admin(&self) -> Box<dyn Admin> {
        let target = self.server.target(&self.database);
        self.server
            .engine
            .admin(&target, &self.server.master)
            .await
            .unwrap()
    }

    pub async fn inspect(&self) -> Inspection {
        let request = InspectRequest {
            pair: &self.pair,
            password: None,
            thorough: true,
        };
        self.admin().await.inspect(&request).await.unwrap()
    }

    /// The statements that would make the standby equal.
    pub async fn differences(&self) -> Vec<String> {
        let inspection = self.inspect().await;
        inspection
            .differences
            .iter()
            .map(|change| change.statement.to_string())
            .collect()
    }

    /// What a run does with the database, from the lock to the proof; then the pair is flipped.
    pub async fn rotate(&mut self) -> Inspection {
        let request = InspectRequest {
            pair: &self.pair,
            password: None,
            thorough: true,
        };
        let mut admin = self.admin().await;
        assert!(admin.lock(&self.pair).await.unwrap());
        let before = admin.inspect(&request).await.unwrap();
        assert_eq!(before.missing, []);
        let refused = |f: &&twinkey::engine::Finding| f.severity == Severity::Error;
        assert_eq!(before.findings.iter().find(refused), None);
        let next = Credentials {
            username: self.pair.standby_user().to_owned(),
            password: new_password(),
        };
        let mut changes = before.differences.clone();
        changes.extend(before.set_password.clone());
        admin.apply(&changes, &next.password).await.unwrap();
        self.the_log_shows_what_was_planned(&changes);
        let after = admin.inspect(&request).await.unwrap();
        assert_eq!(after.differences, [], "a second look finds nothing to do");
        assert!(after.standby_exists);
        let target = self.server.target(&self.database);
        let engine = &self.server.engine;
        let signed_in = engine.sign_in(&target, &next, &[]).await.unwrap();
        assert_eq!(signed_in.user, next.username);
        assert_eq!(
            signed_in.server_identity.as_deref(),
            admin.server_identity()
        );
        engine
            .sign_in(&target, &self.current, &[])
            .await
            .expect("the credentials just replaced go on signing in");
        self.current = next;
        self.pair.active = self.pair.active.other();
        before
    }

    fn the_log_shows_what_was_planned(&self, changes: &[Change]) {
        let log = std::fs::read_to_string(self.server.postgres.log_path()).unwrap();
        for change in changes {
            let planned = format!("LOG:  statement: {}", change.statement);
            let shown = match planned.split_once("***'") {
                None => log.contains(&format!("{planned}\n")),
                Some((before, after)) => log.lines().any(|line| {
                    after.is_empty()
                        && line.contains(&format!("{before}SCRAM-SHA-256$4096:"))
                        && line.ends_with("='")
                }),
            };
            assert!(shown, "{planned} is not in the log");
        }
    }

    /// A session of the application.
    pub async fn app(&self) -> PgConnection {
        self.server.connect_as(&self.database, &self.current).await
    }

    pub fn clone_is_active(&self) -> bool {
        self.pair.active == Which::Clone
    }
}
