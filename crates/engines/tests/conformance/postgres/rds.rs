//! Rules of RDS for PostgreSQL on a real server: roles of the service, `pg_hba.conf` rules for their
//! members, TLS for everybody, logical slots, and a reader.

use std::path::PathBuf;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use twinkey_core::code::{Code, Diagnostic as _};
use twinkey_core::secret::ExposeSecret;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::postgres::Postgres;
use twinkey_engines::{
    Credentials, Engine, EngineError, Finding, InspectRequest, Inspection, PostgresOptions,
    Severity, SignInChecks, Target, Tls, TlsMode,
};
use twinkey_testkit::pki::Pki;
use twinkey_testkit::postgres::{LocalPostgres, Options};
use twinkey_testkit::stand_ins::{rds_hba, rds_roles};

use super::{MASTER, quoted, run};
use crate::passwords::new_password;

/// A server that follows these rules.
struct Rds {
    postgres: LocalPostgres,
    version: u32,
    master: Credentials,
    engine: Postgres,
    pki: Pki,
}

pub async fn all(version: u32, bin: PathBuf) {
    let server = Rds::start(version, bin.clone()).await;
    a_master_of_rds_needs_no_admin_option(&server).await;
    a_nested_token_role_ends_password_sign_ins(&server).await;
    administrators_and_replication_are_refused(&server).await;
    a_server_with_tls_only_says_so(&server).await;
    a_blue_green_deployment_stops_runs(&server).await;
    drop(server);
    a_reader_is_no_masters_host(bin).await;
}

impl Rds {
    async fn start(version: u32, bin: PathBuf) -> Self {
        let pki = Pki::new();
        let mut options = Options::new(bin);
        options.tls = Some(pki.server.clone());
        options.settings.push("wal_level=logical".into());
        // Debian's build has PAM, as that of RDS.
        let method = if version == 15 { "pam" } else { "reject" };
        options.hba = rds_hba(method);
        let server = Self {
            postgres: LocalPostgres::start(&options).unwrap(),
            version,
            master: Credentials {
                username: MASTER.into(),
                password: new_password(),
            },
            engine: Postgres::new(PostgresOptions::default()),
            pki,
        };
        server.sql(&rds_roles(&server.master)).await;
        server
    }

    async fn connect(&self, who: &Credentials) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.postgres.port())
            .username(&who.username)
            .password(who.password.expose_secret())
            .database("postgres")
            .ssl_mode(PgSslMode::Require);
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// As the superuser, which RDS does not give to anybody.
    async fn sql(&self, sql: &str) {
        run(&mut self.connect(self.postgres.superuser()).await, sql).await;
    }

    fn target(&self) -> Target {
        Target {
            address: None,
            host: "localhost".into(),
            port: Some(self.postgres.port()),
            dbname: Some("postgres".into()),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_file: Some(self.pki.ca_file.clone()),
            },
        }
    }

    /// A user that `creator` creates.
    async fn user(&self, creator: &Credentials, name: &str) -> Credentials {
        let user = Credentials {
            username: name.into(),
            password: new_password(),
        };
        let create = format!(
            "CREATE ROLE {} LOGIN PASSWORD '{}'",
            quoted(name),
            user.password.expose_secret()
        );
        run(&mut self.connect(creator).await, &create).await;
        user
    }

    async fn sign_in(&self, who: &Credentials) -> Result<(), EngineError> {
        let checks = SignInChecks::default();
        let signed_in = self.engine.sign_in(&self.target(), who, checks).await;
        signed_in.map(drop)
    }

    async fn inspect(&self, base: &str) -> Inspection {
        let admin = self.engine.admin(&self.target(), &self.master).await;
        let mut admin = admin.unwrap();
        let request = InspectRequest {
            pair: &Pair::of(base, "_clone"),
            password: None,
            current: None,
            tls: TlsMode::VerifyFull,
            thorough: true,
        };
        admin.inspect(&request).await.unwrap()
    }

    async fn refusals(&self, base: &str) -> Vec<Finding> {
        let mut all = self.inspect(base).await.findings;
        all.retain(|finding| finding.severity == Severity::Error);
        all
    }
}

async fn a_master_of_rds_needs_no_admin_option(server: &Rds) {
    server.user(server.postgres.superuser(), "foreign").await;
    let inspection = server.inspect("foreign").await;
    assert_eq!(inspection.missing, [], "{}", server.version);
}

async fn a_nested_token_role_ends_password_sign_ins(server: &Rds) {
    let app = server.user(&server.master, "token").await;
    server.sign_in(&app).await.unwrap();
    let notes = server.inspect("token").await.findings;
    let warned = notes.iter().any(|note| note.what.contains("rds_iam"));
    // From 16 on the creator of a role is a member of it.
    assert_eq!(warned, server.version >= 16, "{notes:?}");
    assert_eq!(server.refusals("token").await, []);

    server
        .sql("CREATE ROLE people; GRANT people TO token; GRANT rds_iam TO people")
        .await;
    let error = server.sign_in(&app).await.unwrap_err();
    let shown = format!("{error} {}", error.hint());
    assert!(shown.contains("rds_iam"), "{shown}");
    let is_master_out = server
        .engine
        .admin(&server.target(), &server.master)
        .await
        .is_err();
    assert_eq!(is_master_out, server.version >= 16, "the lockout");
    if is_master_out {
        server.sql(&format!("REVOKE token FROM {MASTER}")).await;
    }
    let refused = server.refusals("token").await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    let fix = refused[0].fix.clone().unwrap();
    assert_eq!(fix, "REVOKE rds_iam FROM \"people\"");
    let causes = server.inspect("token").await.obstacles;
    assert!(
        causes.iter().any(|one| one.what.contains("people")),
        "{causes:?}"
    );
    server.sql(&fix).await;
    assert_eq!(server.refusals("token").await, []);
    server.sign_in(&app).await.unwrap();
}

async fn administrators_and_replication_are_refused(server: &Rds) {
    server.user(&server.master, "mighty").await;
    server
        .sql("CREATE ROLE admins; GRANT rds_superuser TO admins")
        .await;
    for (grant, revoke, what) in [
        ("admins", "admins", "rds_superuser, through \"admins\""),
        ("rds_superuser", "rds_superuser", "rds_superuser"),
        ("rds_replication", "rds_replication", "rds_replication"),
    ] {
        server.sql(&format!("GRANT {grant} TO mighty")).await;
        let refused = server.refusals("mighty").await;
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].what.contains(what), "{refused:?}");
        server.sql(&format!("REVOKE {revoke} FROM mighty")).await;
    }
    assert_eq!(server.refusals("mighty").await, []);
}

async fn a_server_with_tls_only_says_so(server: &Rds) {
    let app = server.user(&server.master, "plain").await;
    let mut target = server.target();
    target.tls.mode = TlsMode::Disable;
    let checks = SignInChecks::default();
    let error = server.engine.sign_in(&target, &app, checks).await;
    let error = error.unwrap_err();
    // A missing line of pg_hba.conf has the same message, so that the hint names both.
    assert_eq!(error.code(), Code::DbRefused, "{error}");
    assert!(error.hint().contains("verify-full"), "{}", error.hint());
}

async fn a_blue_green_deployment_stops_runs(server: &Rds) {
    server.user(&server.master, "green").await;
    let slot = "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')";
    server.sql(&slot.replace("{}", "ours")).await;
    assert_eq!(server.refusals("green").await, [], "an application's slot");
    server.sql(&slot.replace("{}", "rds_green_1")).await;
    let refused = server.refusals("green").await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].what.contains("blue/green"), "{refused:?}");
}

async fn a_reader_is_no_masters_host(bin: PathBuf) {
    let pki = Pki::new();
    let mut options = Options::new(bin);
    options.tls = Some(pki.server.clone());
    options.is_replica = true;
    let postgres = LocalPostgres::start(&options).unwrap();
    let target = Target {
        address: None,
        host: "localhost".into(),
        port: Some(postgres.port()),
        dbname: Some("postgres".into()),
        tls: Tls {
            mode: TlsMode::VerifyFull,
            ca_file: Some(pki.ca_file.clone()),
        },
    };
    let engine = Postgres::new(PostgresOptions::default());
    let mut admin = engine.admin(&target, postgres.superuser()).await.unwrap();
    let request = InspectRequest {
        pair: &Pair::of("app", "_clone"),
        password: None,
        current: None,
        tls: TlsMode::VerifyFull,
        thorough: true,
    };
    let inspection = admin.inspect(&request).await.unwrap();
    let is_reader = |finding: &&Finding| finding.what.contains("recovery");
    let refused = inspection.findings.iter().find(is_reader);
    let refused = refused.expect("a reader accepts no changes");
    assert_eq!(refused.severity, Severity::Error);
    // An application may use a reader.
    let checks = SignInChecks::default();
    let signed_in = engine.sign_in(&target, postgres.superuser(), checks).await;
    signed_in.unwrap();
}
