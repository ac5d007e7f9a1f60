//! Whom a connection trusts.
//!
//! What can go wrong, and what prevents it:
//! - RDS's roots are in no system's bundle: they are built in (`rds-roots.md` says where they are
//!   from), and come before the system's own and those of `tls.ca_file`;
//! - a `ca_file` that is missing or empty goes unnoticed, and an unknown root is what is reported:
//!   it is an error of its own;
//! - one odd certificate in the system's bundle fails every connection: those that the verifier
//!   cannot use are left out, as every TLS library does. One in `ca_file` is an error: somebody
//!   meant it.
//!
//! sqlx trusts Mozilla's roots besides (`webpki-roots`), which it has no option to leave out.

pub(super) mod connector;

pub use connector::client_config;

use std::path::Path;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::EngineError;

const RDS_ROOTS: &str = include_str!("rds-roots.pem");

/// All roots that are trusted, those of `ca_file` among them, as PEM. Blocks for the time of reading files.
///
/// # Errors
/// [`EngineError::Roots`] if `ca_file` is not a readable PEM file with at least one certificate.
pub fn roots_pem(ca_file: Option<&Path>) -> Result<Vec<u8>, EngineError> {
    let mut pem = RDS_ROOTS.as_bytes().to_vec();
    pem.extend_from_slice(system_roots().as_bytes());
    if let Some(file) = ca_file {
        pem.extend_from_slice(read_roots(file)?.as_bytes());
    }
    Ok(pem)
}

/// The system's roots, read once: they are hundreds of files on some systems.
fn system_roots() -> &'static str {
    static ROOTS: OnceLock<String> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a part of the system's TLS roots cannot be read");
        }
        found
            .certs
            .iter()
            .filter(|root| usable(root))
            .map(to_pem)
            .collect()
    })
}

fn read_roots(file: &Path) -> Result<String, EngineError> {
    let failed = |reason: String| EngineError::Roots {
        file: file.to_owned(),
        reason,
    };
    let text = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    let roots = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if roots.is_empty() {
        return Err(failed("it holds no certificate".into()));
    }
    if !roots.iter().all(usable) {
        return Err(failed(
            "it holds a certificate that cannot be a root".into(),
        ));
    }
    Ok(roots.iter().map(to_pem).collect())
}

fn usable(root: &CertificateDer<'_>) -> bool {
    RootCertStore::empty()
        .add(root.clone().into_owned())
        .is_ok()
}

fn to_pem(root: &CertificateDer<'_>) -> String {
    let text = BASE64_STANDARD.encode(root);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rds_roots() -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(RDS_ROOTS.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap()
    }

    /// `notAfter`'s year: the second time of the first two times in a row (RFC 5280, section 4.1).
    fn last_year(der: &[u8]) -> u32 {
        let time = |at: usize| match der.get(at..at + 2) {
            Some([0x17, 0x0d]) => Some((at + 15, 2000 + digits(&der[at + 2..at + 4]))),
            Some([0x18, 0x0f]) => Some((at + 17, digits(&der[at + 2..at + 6]))),
            _ => None,
        };
        (0..der.len())
            .find_map(|at| time(time(at)?.0))
            .map(|(_, year)| year)
            .unwrap()
    }

    fn digits(text: &[u8]) -> u32 {
        std::str::from_utf8(text).unwrap().parse().unwrap()
    }

    #[test]
    fn every_rds_root_is_usable_and_outlives_any_release_by_decades() {
        let roots = rds_roots();
        assert!(roots.len() > 70, "{}", roots.len());
        for root in &roots {
            assert!(usable(root));
            assert!(last_year(root) > 2060, "{}", last_year(root));
        }
    }

    #[test]
    fn the_driver_can_read_what_it_is_given() {
        let pem = roots_pem(None).unwrap();
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&pem) {
            store.add(root.unwrap()).unwrap();
        }
        assert!(store.len() >= rds_roots().len());
    }

    #[test]
    fn a_ca_file_that_is_missing_or_holds_no_certificate_is_an_error_that_names_it() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        for file in [Path::new("/nonexistent/ca.pem"), empty.path()] {
            let error = roots_pem(Some(file)).unwrap_err();
            assert!(
                error.to_string().contains(file.to_str().unwrap()),
                "{error}"
            );
        }
    }
}
