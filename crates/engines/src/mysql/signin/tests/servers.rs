//! Sign-ins at real servers.

use sqlx::Row;
use twinkey_testkit::mysql::{Flavor, LocalMysql, Options};

use super::{PASSWORD, target, user};
use crate::mysql::Mysql;
use crate::mysql::connect::Connector;
use crate::mysql::test_servers::find;
use crate::{Credentials, Engine, EngineError, SignInChecks, SignedIn, Target, TlsMode};
use twinkey_core::code::Diagnostic as _;
use twinkey_testkit::pki::Pki;

struct Server {
    mysql: LocalMysql,
    pki: Pki,
}

impl Server {
    /// With TLS, and without a Unix socket. `None` where the server is not installed.
    fn start(flavor: Flavor) -> Option<Self> {
        let pki = Pki::new();
        let mut options = Options::new(find(flavor)?);
        options.tls = Some(pki.server.clone());
        let mysql = LocalMysql::start(&options).unwrap();
        Some(Self { mysql, pki })
    }

    fn target(&self, mode: TlsMode) -> Target {
        target(self.mysql.port(), mode, Some(self.pki.ca_file.clone()))
    }

    async fn sql(&self, statements: &str) {
        let superuser = self.mysql.superuser();
        let target = self.target(TlsMode::VerifyFull);
        let connector = Connector::new(&target, superuser).unwrap();
        let mut connection = connector.connect().await.unwrap();
        connector
            .run(&mut connection, statements, statements.to_owned(), false)
            .await
            .unwrap();
    }

    /// Creates a user with this method and password, which is not escaped.
    async fn create(&self, name: &str, method: &str, password: &str) {
        let identified = match self.mysql.flavor() {
            Flavor::Mariadb => format!("VIA {method} USING PASSWORD('{password}')"),
            Flavor::Mysql => format!("WITH {method} BY '{password}'"),
        };
        self.sql(&format!("CREATE USER '{name}' IDENTIFIED {identified}"))
            .await;
    }

    async fn probed(&self, name: &str, probes: &[&str]) -> Result<SignedIn, EngineError> {
        let probes: Vec<String> = probes.iter().map(|probe| (*probe).to_owned()).collect();
        let checks = SignInChecks {
            probes: &probes,
            ..SignInChecks::default()
        };
        let target = self.target(TlsMode::VerifyFull);
        let who = user(name, PASSWORD);
        Mysql::of_mysql().sign_in(&target, &who, checks).await
    }
}

async fn sign_in(target: &Target, who: &Credentials) -> Result<SignedIn, EngineError> {
    let engine = Mysql::of_mysql();
    engine.sign_in(target, who, SignInChecks::default()).await
}

/// One field of the session of these credentials.
async fn field(target: &Target, who: &Credentials, expression: &str) -> Option<String> {
    let connector = Connector::new(target, who).unwrap();
    let mut connection = connector.connect().await.unwrap();
    let query = sqlx::AssertSqlSafe(format!("SELECT {expression}"));
    let row = sqlx::raw_sql(query).fetch_one(&mut connection).await;
    row.unwrap().get(0)
}

#[tokio::test]
async fn mariadb_users_sign_in_and_only_with_the_password() {
    let Some(server) = Server::start(Flavor::Mariadb) else {
        return;
    };
    let long = "x".repeat(255);
    for (method, password) in [
        ("mysql_native_password", PASSWORD),
        ("mysql_native_password", "Pässwörd ☃"),
        ("ed25519", PASSWORD),
        ("ed25519", "Pässwörd ☃"),
        ("ed25519", &long),
    ] {
        let name = format!("a@b {method} {}", password.len());
        server.create(&name, method, password).await;
        for mode in super::MODES {
            let target = server.target(mode);
            let signed_in = sign_in(&target, &user(&name, password)).await.unwrap();
            assert_eq!(signed_in.user, name);
            for wrong in [user(&name, "wrong"), user("no_such_user", password)] {
                let error = sign_in(&target, &wrong).await.unwrap_err();
                assert!(matches!(error, EngineError::SignIn { .. }), "{error}");
            }
        }
        let admin = Mysql::of_mariadb()
            .admin(&server.target(TlsMode::VerifyFull), &user(&name, password))
            .await;
        assert!(admin.is_ok(), "{name} cannot be a master");
        server
            .sql(&format!("ALTER USER '{name}' ACCOUNT LOCK"))
            .await;
        let target = server.target(TlsMode::VerifyFull);
        let error = sign_in(&target, &user(&name, password)).await.unwrap_err();
        assert!(matches!(error, EngineError::SignIn { .. }), "{error}");
    }
}

#[tokio::test]
async fn mysql_users_sign_in_with_and_without_the_cache() {
    let Some(server) = Server::start(Flavor::Mysql) else {
        return;
    };
    for method in ["caching_sha2_password", "sha256_password"] {
        let who = user(method, PASSWORD);
        server.create(method, method, PASSWORD).await;
        // Without verified TLS, a first sign-in is impossible.
        for mode in [TlsMode::Disable, TlsMode::Require] {
            let error = sign_in(&server.target(mode), &who).await.unwrap_err();
            assert!(matches!(error, EngineError::TlsRequired { .. }), "{error}");
        }
        for mode in [TlsMode::VerifyFull, TlsMode::VerifyCa, TlsMode::VerifyFull] {
            let signed_in = sign_in(&server.target(mode), &who).await.unwrap();
            assert_eq!(signed_in.user, method);
        }
        let target = server.target(TlsMode::VerifyFull);
        let error = sign_in(&target, &user(method, "wrong")).await.unwrap_err();
        assert!(matches!(error, EngineError::SignIn { .. }), "{error}");
        let error = sign_in(&target, &user("no_such_user", PASSWORD)).await;
        assert!(matches!(error, Err(EngineError::SignIn { .. })));
        let cached = sign_in(&server.target(TlsMode::Require), &who).await;
        assert_eq!(cached.is_ok(), method == "caching_sha2_password");
        let admin = Mysql::of_mysql().admin(&target, &who).await;
        assert!(admin.is_ok(), "{method} cannot be a master's");
    }
}

#[tokio::test]
async fn a_user_without_a_password_proves_nothing() {
    let Some(server) = Server::start(Flavor::Mariadb) else {
        return;
    };
    server
        .sql("CREATE USER open; CREATE USER socket IDENTIFIED VIA unix_socket")
        .await;
    for name in ["open", "socket"] {
        let target = server.target(TlsMode::VerifyFull);
        let error = sign_in(&target, &user(name, PASSWORD)).await.unwrap_err();
        assert!(!error.retryable(), "{name}: {error}");
    }
    let error = sign_in(&server.target(TlsMode::Disable), &user("open\0", PASSWORD)).await;
    assert!(matches!(error, Err(EngineError::Refused { .. })));
}

#[tokio::test]
async fn a_user_of_two_methods_signs_in_by_either() {
    let Some(server) = Server::start(Flavor::Mariadb) else {
        return;
    };
    server
        .sql("CREATE USER app IDENTIFIED VIA ed25519 USING PASSWORD('one') OR mysql_native_password USING PASSWORD('two')")
        .await;
    let target = server.target(TlsMode::VerifyFull);
    for password in ["one", "two"] {
        sign_in(&target, &user("app", password)).await.unwrap();
    }
    let error = sign_in(&target, &user("app", "three")).await.unwrap_err();
    assert!(matches!(error, EngineError::SignIn { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_is_verified_as_the_mode_demands() {
    let Some(server) = Server::start(Flavor::Mariadb) else {
        return;
    };
    server.create("app", "ed25519", PASSWORD).await;
    let who = user("app", PASSWORD);
    let other_name = |mode| Target {
        host: "127.0.0.1".into(),
        ..server.target(mode)
    };
    let unknown_root = |mode| target(server.mysql.port(), mode, None);
    for refused in [
        other_name(TlsMode::VerifyFull),
        unknown_root(TlsMode::VerifyFull),
        unknown_root(TlsMode::VerifyCa),
    ] {
        let error = sign_in(&refused, &who).await.unwrap_err();
        assert!(matches!(error, EngineError::Tls { .. }), "{error}");
    }
    let cipher = "(SELECT VARIABLE_VALUE FROM information_schema.session_status \
         WHERE VARIABLE_NAME = 'Ssl_cipher')";
    for accepted in [
        server.target(TlsMode::VerifyFull),
        other_name(TlsMode::VerifyCa),
        unknown_root(TlsMode::Require),
    ] {
        assert_ne!(field(&accepted, &who, cipher).await.unwrap(), "");
    }
    let plain = server.target(TlsMode::Disable);
    assert_eq!(field(&plain, &who, cipher).await.unwrap(), "");
}

#[tokio::test]
async fn a_unix_socket_is_a_host() {
    let Some(program) = find(Flavor::Mariadb) else {
        return;
    };
    // The server's user may not write into a folder of the test.
    let path = format!("/tmp/twinkey-test-{}.sock", std::process::id());
    let mut options = Options::new(program);
    options.settings.push(format!("socket={path}"));
    let mysql = LocalMysql::start(&options).unwrap();
    let target = Target {
        host: path,
        ..target(mysql.port(), TlsMode::Disable, None)
    };
    let protocol = "(SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID())";
    let host = field(&target, mysql.superuser(), protocol).await;
    assert_eq!(host.as_deref(), Some("localhost"));
}

#[tokio::test]
async fn probes_run_to_their_end_and_an_error_names_its_probe() {
    let Some(server) = Server::start(Flavor::Mariadb) else {
        return;
    };
    server.create("app", "ed25519", PASSWORD).await;
    let probes = [
        "SELECT 1; SELECT 'two' UNION SELECT NULL; DO 3",
        "SELECT NULL, 1 UNION ALL SELECT NULL, 2",
        "SELECT REPEAT('x', 15000000), 1",
        "SELECT * FROM information_schema.columns",
        "SET @x = 1",
    ];
    let signed_in = server.probed("app", &probes).await.unwrap();
    assert_eq!(signed_in.user, "app");
    server
        .sql("SET GLOBAL max_allowed_packet = 64 * 1024 * 1024")
        .await;
    for (probe, reason) in [
        ("SELECT * FROM mysql.global_priv", "denied"),
        ("SELECT 1; SELECT nothing", "nothing"),
        ("LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE t", ""),
        ("SELECT REPEAT('x', 16777215)", "a packet of 16777215 bytes"),
    ] {
        let error = server.probed("app", &["DO 1", probe]).await.unwrap_err();
        assert!(matches!(error, EngineError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(probe), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let columns = "information_schema.columns";
    let slow = format!(
        "SET STATEMENT max_statement_time=0.01 FOR SELECT COUNT(*) FROM {columns} a, {columns} b"
    );
    let busy = server.probed("app", &[&slow]).await.unwrap_err();
    assert!(busy.retryable(), "{busy}");
}

#[tokio::test]
async fn the_session_uses_the_secrets_database() {
    let Some(server) = Server::start(Flavor::Mariadb) else {
        return;
    };
    server.create("app", "ed25519", PASSWORD).await;
    server
        .sql("CREATE DATABASE shop; GRANT SELECT ON *.* TO app")
        .await;
    let mut target = server.target(TlsMode::VerifyFull);
    target.dbname = Some("shop".into());
    let who = user("app", PASSWORD);
    let database = field(&target, &who, "DATABASE()").await;
    assert_eq!(database.as_deref(), Some("shop"));
    target.dbname = Some("shops".into());
    let error = sign_in(&target, &who).await.unwrap_err();
    assert!(error.hint().contains("dbname"), "{error}");
}

#[tokio::test]
async fn a_failing_init_connect_is_named() {
    for flavor in [Flavor::Mariadb, Flavor::Mysql] {
        let Some(server) = Server::start(flavor) else {
            continue;
        };
        let method = match flavor {
            Flavor::Mariadb => "mysql_native_password",
            Flavor::Mysql => "caching_sha2_password",
        };
        server.create("rdsmaster", method, PASSWORD).await;
        server
            .sql("SET GLOBAL init_connect = 'SELECT nothing'")
            .await;
        let target = server.target(TlsMode::VerifyFull);
        let master = user("rdsmaster", PASSWORD);
        let error = Mysql::of_mysql().admin(&target, &master).await.err();
        let error = error.unwrap();
        assert!(error.to_string().contains("init_connect"), "{error}");
        assert!(error.hint().contains("CONNECTION ADMIN"), "{error}");
        let of_pair = sign_in(&target, &master).await.unwrap_err();
        assert!(of_pair.hint().contains("CONNECTION ADMIN"), "{of_pair}");
    }
}
