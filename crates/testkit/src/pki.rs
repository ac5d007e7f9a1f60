//! A certificate authority of a test, and a server certificate that it signs.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// The root certificate and one server certificate.
pub struct Pki {
    /// PEM file with the root certificate.
    pub ca_file: PathBuf,
    /// Certificate and key as PEM, for the name `localhost` and not for `127.0.0.1`.
    pub server: (String, String),
    _files: tempfile::TempDir,
}

impl Pki {
    pub fn new() -> Self {
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
        Self {
            ca_file,
            server: (leaf.pem(), key.serialize_pem()),
            _files: files,
        }
    }
}
