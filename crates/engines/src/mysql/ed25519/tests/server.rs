//! A MariaDB server with ed25519 and optional TLS for `localhost`.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::mysql::test_servers;
use crate::{Target, Tls, TlsMode};
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::verifier::mariadb_ed25519;
use twinkey_testkit::mysql::{Flavor, LocalMysql, Options};

pub struct Server {
    server: LocalMysql,
    dir: TempDir,
}

impl Server {
    /// `None` where MariaDB is neither installed nor required.
    pub fn start(with_tls: bool) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(test_servers::find(Flavor::Mariadb)?);
        if with_tls {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            let key = KeyPair::generate().unwrap();
            let leaf = CertificateParams::new(vec!["localhost".to_owned()])
                .unwrap()
                .signed_by(&key, &ca)
                .unwrap();
            std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
            options.tls = Some((leaf.pem(), key.serialize_pem()));
        }
        let server = LocalMysql::start(&options).unwrap();
        Some(Self { server, dir })
    }

    /// Executes statements as the superuser, on a runtime of its own.
    pub fn sql(&self, statements: &str) {
        let target = Target {
            host: self.server.host().to_owned(),
            ..self.target(TlsMode::Disable)
        };
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (connector, mut connection, _) =
                    test_servers::sign_in(&target, self.server.superuser()).await;
                connector
                    .run(&mut connection, statements, statements.to_owned(), false)
                    .await
                    .unwrap();
            });
        };
        std::thread::scope(|scope| scope.spawn(work).join().unwrap());
    }

    /// Creates a user that signs in with this password by ed25519. The name is not escaped.
    pub fn create(&self, user: &str, password: &Sensitive) {
        let key = mariadb_ed25519(password);
        let key = key.expose_secret();
        self.sql(&format!(
            "CREATE USER '{user}' IDENTIFIED VIA ed25519 USING '{key}'"
        ));
    }

    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub fn target(&self, mode: TlsMode) -> Target {
        Target {
            host: "localhost".into(),
            port: Some(self.server.port()),
            dbname: None,
            tls: Tls {
                mode,
                ca_file: self.ca_file().exists().then(|| self.ca_file()),
            },
        }
    }
}
