//! A certificate authority of a test, and a server certificate that it signs.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Writes a private key with mode 0600. An existing file keeps its mode.
pub fn write_key(path: &Path, pem: &str) {
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).unwrap();
    file.write_all(pem.as_bytes()).unwrap();
}

/// The root certificate and one server certificate.
pub struct Pki {
    /// PEM file with the root certificate.
    pub ca_file: PathBuf,
    /// Certificate and key as PEM, for the name `localhost` and not for `127.0.0.1`.
    pub server: (String, String),
    _files: tempfile::TempDir,
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

impl Pki {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // OpenSSL takes a certificate whose issuer has its own name for a self-signed one.
        let name = DnType::CommonName;
        params.distinguished_name.push(name, "root of a test");
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
        Self {
            ca_file,
            server: (leaf.pem(), key.serialize_pem()),
            _files: files,
        }
    }
}
