//! A MariaDB of our own, with ed25519 and, if asked for, TLS for `localhost`.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::engine::{Target, Tls, TlsMode};
use crate::secret::Sensitive;
use crate::secret::verifier::mariadb_ed25519;

pub struct Server {
    process: Child,
    port: u16,
    dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn run(program: &str, arguments: &[String]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    output.status.success().then_some(()).ok_or(told)
}

impl Server {
    pub fn start(with_tls: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        // Where we are root the server refuses to be; elsewhere this changes nothing.
        let user = "--user=mysql".to_owned();
        let data = format!("--datadir={}", path("data"));
        // A server that starts removes the temporary tables in its tmpdir, another server's too.
        let temporary = format!("--tmpdir={}", dir.path().display());
        let install = [
            "--no-defaults".into(),
            user.clone(),
            data.clone(),
            temporary.clone(),
            "--auth-root-authentication-method=normal".into(),
            "--skip-test-db".into(),
        ];
        run("mariadb-install-db", &install).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut options = vec![
            "--no-defaults".to_owned(),
            user,
            data,
            temporary,
            format!("--port={port}"),
            "--bind-address=127.0.0.1".into(),
            format!("--socket={}", path("s.sock")),
            format!("--pid-file={}", path("pid")),
            "--innodb-buffer-pool-size=32M".into(),
            "--skip-log-bin".into(),
            "--plugin-load-add=auth_ed25519".into(),
        ];
        if with_tls {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            let key = KeyPair::generate().unwrap();
            let leaf = CertificateParams::new(vec!["localhost".to_owned()])
                .unwrap()
                .signed_by(&key, &ca)
                .unwrap();
            std::fs::write(path("ca.pem"), ca.pem()).unwrap();
            std::fs::write(path("cert.pem"), leaf.pem()).unwrap();
            std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
            options.push(format!("--ssl-cert={}", path("cert.pem")));
            options.push(format!("--ssl-key={}", path("key.pem")));
        }
        let mut process = Command::new("mariadbd")
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ping = [format!("--socket={}", path("s.sock")), "ping".into()];
        while run("mariadb-admin", &ping).is_err() {
            assert!(process.try_wait().unwrap().is_none(), "it gave up");
        }
        Self { process, port, dir }
    }

    pub fn sql(&self, statements: &str) {
        let arguments = [
            format!("--socket={}", self.dir.path().join("s.sock").display()),
            "--default-character-set=utf8mb4".into(),
            format!("--execute={statements}"),
        ];
        run("mariadb", &arguments).expect(statements);
    }

    /// Makes a user that signs in with this password by ed25519. The name must need no escape.
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
            port: Some(self.port),
            dbname: None,
            tls: Tls {
                mode,
                ca_file: self.ca_file().exists().then(|| self.ca_file()),
            },
        }
    }
}
