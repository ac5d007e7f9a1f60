//! Certificate and key of a server, read again on request.
//!
//! # Failure modes
//! - The certificate is renewed while the worker runs. [`Identity::reload`] reads it again; a pair of
//!   files that do not match leaves the previous one active.
//! - Another user of the machine reads or replaces the key. Such a file is refused.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use twinkey_core::file_access::{FileKind, assess_open};

/// `server.tls`: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate, and the chain of its issuers.
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Certificate and key of a server, as last read.
pub struct Identity {
    files: ServerTls,
    config: ArcSwap<ServerConfig>,
}

/// Why a certificate and its key cannot be used. Never quotes the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} {reason}")]
pub struct IdentityError {
    file: String,
    reason: String,
}

impl Identity {
    /// Reads the two files.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub fn read(files: ServerTls) -> Result<Self, IdentityError> {
        let config = ArcSwap::new(load(&files)?);
        Ok(Self { files, config })
    }

    /// Reads the two files again. Unusable files leave the previous certificate active.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub fn reload(&self) -> Result<(), IdentityError> {
        let new = load(&self.files)?;
        self.config.store(new);
        Ok(())
    }

    /// The files of the certificate and of the key.
    #[must_use]
    pub fn files(&self) -> [&Path; 2] {
        [&self.files.cert, &self.files.key]
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn load(files: &ServerTls) -> Result<Arc<ServerConfig>, IdentityError> {
    let failed = |file: &Path, reason: String| IdentityError {
        file: file.display().to_string(),
        reason,
    };
    let chain = std::fs::read(&files.cert)
        .map_err(|error| failed(&files.cert, format!("cannot be read: {error}")))?;
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(&files.cert, format!("is no PEM file: {error}")))?;
    if chain.is_empty() {
        return Err(failed(&files.cert, "holds no certificate".into()));
    }
    let unreadable = |error: io::Error| failed(&files.key, format!("cannot be read: {error}"));
    let mut file = File::open(&files.key).map_err(unreadable)?;
    assess_open(&file, FileKind::Key)
        .map_err(unreadable)?
        .map_err(|error| failed(&files.key, format!("{error}: {}", error.fix())))?;
    let mut key = zeroize::Zeroizing::new(Vec::new());
    file.read_to_end(&mut key).map_err(unreadable)?;
    // The message of the parser might quote the key.
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| failed(&files.key, "holds no private key in PEM".into()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map(Arc::new)
        .map_err(|error| failed(&files.cert, format!("and its key cannot be used: {error}")))
}
