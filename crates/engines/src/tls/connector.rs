//! TLS for connections without a driver, as the config defines it.
//!
//! Mozilla's roots are trusted too, because sqlx trusts them: all engines and sign-in methods must
//! trust the same roots.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_rustls::TlsConnector;

use super::roots_pem;
use crate::{EngineError, Tls, TlsMode};

/// The TLS connector of a connection; `None` for plain text. Blocks while it reads files.
pub(crate) fn connector(tls: &Tls) -> Result<Option<TlsConnector>, EngineError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match tls.mode {
        TlsMode::Disable => return Ok(None),
        TlsMode::VerifyFull => chain(tls.ca_file.as_deref(), &provider)?,
        TlsMode::VerifyCa => Arc::new(PartialVerifier {
            chain: Some(chain(tls.ca_file.as_deref(), &provider)?),
            algorithms: provider.signature_verification_algorithms,
        }),
        TlsMode::Require => Arc::new(PartialVerifier {
            chain: None,
            algorithms: provider.signature_verification_algorithms,
        }),
    };
    let config = config(provider, verifier)?;
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

/// TLS settings of an HTTP client, which verifies chain and name as `verify-full` does. Blocks
/// while it reads files.
///
/// # Errors
/// [`EngineError::Roots`]
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, EngineError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = chain(ca_file, &provider)?;
    config(provider, verifier)
}

fn config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, EngineError> {
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn chain(
    ca_file: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, EngineError> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for root in CertificateDer::pem_slice_iter(&roots_pem(ca_file)?) {
        roots.add(root.map_err(unusable)?).map_err(unusable)?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(unusable)
}

fn unusable(error: impl std::fmt::Display) -> EngineError {
    EngineError::Refused {
        what: "preparing TLS".into(),
        reason: error.to_string(),
        hint: "report this: it is a defect of twinkey".into(),
    }
}

/// Verifier of modes weaker than `verify-full`. It always verifies that the server has the key.
#[derive(Debug)]
struct PartialVerifier {
    /// `None`: any certificate is accepted. Otherwise one of this chain, with any name.
    chain: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PartialVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        // The verifier checks the name last: with this error the chain is valid.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
