//! Real servers for this folder's own tests.

use sqlx::mysql::MySqlConnection;

use super::connect::Peer;
use super::dialect::Dialect;
use crate::{Credentials, Target, Tls, TlsMode};
use twinkey_testkit::mysql::{Flavor, LocalMysql, Options, Program};

/// `None`, said loudly, where it is not installed and need not be.
pub(super) fn find(flavor: Flavor) -> Option<Program> {
    let wanted = match flavor {
        Flavor::Mariadb => "TWINKEY_ALL_ENGINES",
        Flavor::Mysql => "TWINKEY_MYSQL",
    };
    LocalMysql::find(flavor)
        .map_err(|error| {
            let needed = std::env::var_os(wanted).is_some();
            assert!(!needed, "{error}: {}", error.hint());
            eprintln!("{error}: nothing was tested on it");
        })
        .ok()
}

/// As [`find`], and running.
pub(super) fn start(flavor: Flavor) -> Option<LocalMysql> {
    let options = Options::new(find(flavor)?);
    Some(LocalMysql::start(&options).unwrap())
}

/// How the master's connection is made; MySQL's passwords need TLS.
pub(super) fn target(server: &LocalMysql) -> Target {
    Target {
        host: server.host().to_owned(),
        port: Some(server.port()),
        dbname: None,
        tls: Tls {
            mode: match server.flavor() {
                Flavor::Mariadb => TlsMode::Disable,
                Flavor::Mysql => TlsMode::Require,
            },
            ca_file: None,
        },
    }
}

/// A session as the master's are.
pub(super) async fn sign_in(
    target: &Target,
    who: &Credentials,
) -> (Peer, MySqlConnection, Dialect) {
    let peer = Peer::new(target, who).unwrap();
    let mut connection = peer.connect().await.unwrap();
    let version: String = sqlx::query_scalar("SELECT VERSION()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let dialect = Dialect::of(&version).unwrap();
    peer.settle(&mut connection, &dialect).await.unwrap();
    (peer, connection, dialect)
}

/// As the superuser, who may grant PROXY too.
pub(super) async fn root(server: &LocalMysql) -> (Peer, MySqlConnection, Dialect) {
    let root = server.superuser();
    let (peer, mut connection, dialect) = sign_in(&target(server), root).await;
    let proxy = format!(
        "INSERT IGNORE INTO mysql.proxies_priv VALUES ('%', '{}', '', '', 1, '', NOW())",
        root.username
    );
    for text in [proxy.as_str(), "FLUSH PRIVILEGES"] {
        peer.run(&mut connection, text, text.to_owned(), false)
            .await
            .unwrap();
    }
    (peer, connection, dialect)
}
