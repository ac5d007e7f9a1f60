use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{ConnectOptions, Connection, Row};

use super::super::server::tests::{moves_to_another_port, releases_everything};
use super::*;
use rcgen::{CertificateParams, KeyPair};

/// `None`: the server is not installed and not required.
fn installed(flavor: Flavor) -> Option<Options> {
    find_for_test(flavor).map(Options::new)
}

fn sign_in(server: &LocalMysql, user: &str, password: &str) -> MySqlConnectOptions {
    MySqlConnectOptions::new()
        .host(server.host())
        .port(server.port())
        .username(user)
        .password(password)
        .ssl_mode(match server.flavor() {
            Flavor::Mariadb => MySqlSslMode::Disabled,
            Flavor::Mysql => MySqlSslMode::Required,
        })
}

async fn superuser(server: &LocalMysql) -> MySqlConnection {
    let root = server.superuser();
    let password = root.password.expose_secret();
    sign_in(server, &root.username, password)
        .connect()
        .await
        .unwrap()
}

async fn texts(connection: &mut MySqlConnection, sql: &'static str) -> Vec<String> {
    let rows = sqlx::query(sql).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn has_one_superuser(mut options: Options, own: &[&str]) {
    options.settings.push("general_log=ON".into());
    let server = LocalMysql::start(&options).unwrap();
    let mut root = superuser(&server).await;
    let version = texts(&mut root, "SELECT version()").await;
    assert!(version[0].starts_with(server.version()), "{version:?}");
    let who = texts(&mut root, "SELECT CONCAT(current_user(), ' ', user())").await;
    assert_eq!(who, ["root_admin@% root_admin@localhost"]);
    let names = "SELECT CONVERT(user USING utf8mb4) FROM mysql.user ORDER BY user";
    let mut expected = [own, &["root_admin"]].concat();
    expected.sort_unstable();
    assert_eq!(texts(&mut root, names).await, expected);
    let granted = texts(
        &mut root,
        "SELECT CAST(COUNT(*) AS CHAR) FROM information_schema.user_privileges \
         WHERE grantee = '''root_admin''@''%''' AND is_grantable = 'YES' AND privilege_type = 'CREATE USER'",
    );
    assert_eq!(granted.await, ["1"]);
    root.close().await.unwrap();
    for user in ["root_admin", "root", ""] {
        assert!(
            sign_in(&server, user, "").connect().await.is_err(),
            "{user:?} needs no password"
        );
    }

    let general = std::fs::read_to_string(server.log_path()).unwrap();
    assert!(general.contains("SELECT version()"), "{general}");
    let errors = std::fs::read_to_string(server.error_log_path()).unwrap();
    assert!(errors.contains("ready for connections"), "{errors}");
    let password = server.superuser().password.expose_secret();
    assert!(!general.contains(password) && !errors.contains(password));
    assert!(!server.server.dir.join("first.sql").exists());
    releases_everything(server.server);
}

#[tokio::test]
async fn mariadb_has_one_superuser_and_its_files_are_removed() {
    if let Some(options) = installed(Flavor::Mariadb) {
        has_one_superuser(options, &["mariadb.sys"]).await;
    }
}

#[tokio::test]
async fn mysql_has_one_superuser_and_its_files_are_removed() {
    if let Some(options) = installed(Flavor::Mysql) {
        let own = ["mysql.infoschema", "mysql.session", "mysql.sys"];
        has_one_superuser(options, &own).await;
    }
}

#[test]
fn mariadb_starts_on_another_port_if_its_port_is_taken() {
    if let Some(options) = installed(Flavor::Mariadb) {
        moves_to_another_port(&options);
    }
}

#[test]
fn mysql_starts_on_another_port_if_its_port_is_taken() {
    if let Some(options) = installed(Flavor::Mysql) {
        moves_to_another_port(&options);
    }
}

async fn uses_its_certificate(mut options: Options) {
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    options.tls = Some((certificate.pem(), key.serialize_pem()));
    let server = LocalMysql::start(&options).unwrap();
    let root = server.superuser();
    let verified = sign_in(&server, &root.username, root.password.expose_secret())
        .ssl_mode(MySqlSslMode::VerifyCa)
        .ssl_ca_from_pem(certificate.pem().into_bytes());
    // VerifyCa rejects any other certificate.
    verified.connect().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn mariadb_uses_the_given_certificate() {
    if let Some(options) = installed(Flavor::Mariadb) {
        uses_its_certificate(options).await;
    }
}

#[tokio::test]
async fn mysql_uses_the_given_certificate() {
    if let Some(options) = installed(Flavor::Mysql) {
        uses_its_certificate(options).await;
    }
}

#[tokio::test]
async fn mariadb_loads_the_ed25519_plugin() {
    if let Some(options) = installed(Flavor::Mariadb) {
        let server = LocalMysql::start(&options).unwrap();
        let mut root = superuser(&server).await;
        let plugins =
            "SELECT plugin_name FROM information_schema.plugins WHERE plugin_name = 'ed25519'";
        assert_eq!(texts(&mut root, plugins).await, ["ed25519"]);
    }
}
