//! Real servers for the unit tests of this folder.

use sqlx::mysql::MySqlConnection;

use super::connect::Connector;
use super::dialect::Dialect;
use crate::{Credentials, Target, Tls, TlsMode};
use twinkey_testkit::mysql::{Flavor, LocalMysql, Options};

pub(super) use twinkey_testkit::mysql::find_for_test as find;

/// The server of a flavor, started; `None` where it is neither installed nor required.
pub(super) fn start(flavor: Flavor) -> Option<LocalMysql> {
    let options = Options::new(find(flavor)?);
    Some(LocalMysql::start(&options).unwrap())
}

/// The target of an admin connection; MySQL's passwords need verified TLS.
pub(super) fn target(server: &LocalMysql) -> Target {
    let (mode, ca_file) = match server.flavor() {
        Flavor::Mariadb => (TlsMode::Disable, None),
        Flavor::Mysql => (TlsMode::VerifyCa, Some(server.own_root())),
    };
    Target {
        address: None,
        host: server.host().to_owned(),
        port: Some(server.port()),
        dbname: None,
        tls: Tls { mode, ca_file },
    }
}

/// An admin session.
pub(super) async fn sign_in(
    target: &Target,
    who: &Credentials,
) -> (Connector, MySqlConnection, Dialect) {
    let connector = Connector::admin(target, who).unwrap();
    let mut connection = connector.connect().await.unwrap();
    let version: String = sqlx::query_scalar("SELECT VERSION()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let dialect = Dialect::of(&version).unwrap();
    (connector, connection, dialect)
}

/// A session of the superuser, which may also grant PROXY.
pub(super) async fn root(server: &LocalMysql) -> (Connector, MySqlConnection, Dialect) {
    let root = server.superuser();
    let (connector, mut connection, dialect) = sign_in(&target(server), root).await;
    let proxy = format!(
        "INSERT IGNORE INTO mysql.proxies_priv VALUES ('%', '{}', '', '', 1, '', NOW())",
        root.username
    );
    for text in [proxy.as_str(), "FLUSH PRIVILEGES"] {
        connector
            .run(&mut connection, text, text.to_owned(), false)
            .await
            .unwrap();
    }
    (connector, connection, dialect)
}
