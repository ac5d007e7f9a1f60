//! The root certificates that connections trust, and TLS without a driver.
//!
//! # Failure modes
//! - No system's bundle has the roots of RDS: they are built in (`rds-roots.md` names their
//!   source), and stand before the system's roots and those of `tls.ca_file`.
//! - A region of AWS is newer than the built-in roots, or in another partition. The hint of the error
//!   names the region and its bundle ([`missing_bundle`]); `rds-regions.txt` lists such regions.
//! - A missing or empty `ca_file` is reported as an unknown root only: it is an error of its own.
//! - One unusable certificate in the system's bundle fails every connection: such certificates are
//!   skipped, as every TLS library does. In `ca_file` one is an error, because an operator chose
//!   it.
//!
//! sqlx also trusts Mozilla's roots (`webpki-roots`), and has no option that excludes them.

#[cfg_attr(
    not(any(feature = "documentdb", feature = "mysql", feature = "postgres")),
    expect(dead_code, reason = "no engine of this build connects to a host")
)]
pub(super) mod connector;

pub use connector::client_config;

use std::path::Path;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{EngineError, rds_host};

const RDS_ROOTS: &str = include_str!("rds-roots.pem");

/// The address of AWS's bundle for the host of a region without a built-in root; `None` for other
/// hosts. Returns the region too.
pub(super) fn missing_bundle(host: &str) -> Option<(String, String)> {
    let region = rds_host::region(host)?;
    let title = format!("# Amazon RDS {region} Root CA ");
    if RDS_ROOTS.lines().any(|line| line.starts_with(&title)) {
        return None;
    }
    // "Using SSL/TLS to encrypt a connection" in the user guides of the partitions.
    let server = if region.starts_with("cn-") {
        "rds-truststore.s3.cn-north-1.amazonaws.com.cn"
    } else if region.starts_with("us-gov-") {
        "truststore.pki.us-gov-west-1.rds.amazonaws.com"
    } else {
        "truststore.pki.rds.amazonaws.com"
    };
    let address = format!("https://{server}/{region}/{region}-bundle.pem");
    Some((region, address))
}

/// All trusted roots as PEM, those of `ca_file` included. Blocks while it reads files.
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

/// The system's roots, read once: some systems have hundreds of files.
fn system_roots() -> &'static str {
    static ROOTS: OnceLock<String> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "system TLS roots unreadable");
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

    /// The year of `notAfter`: the second of the first two adjacent times (RFC 5280, section 4.1).
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
    fn every_rds_root_is_usable_for_decades() {
        let roots = rds_roots();
        assert!(roots.len() > 70, "{}", roots.len());
        for root in &roots {
            assert!(usable(root));
            assert!(last_year(root) > 2060, "{}", last_year(root));
        }
    }

    #[test]
    fn the_list_of_regions_agrees_with_the_roots() {
        let list = include_str!("rds-regions.txt");
        let mut count = 0;
        for line in list.lines().filter(|line| !line.starts_with('#')) {
            let (region, state) = line.split_once(' ').unwrap();
            let host = format!("db.c0ffee.{region}.rds.amazonaws.com");
            let is_missing = missing_bundle(&host).is_some();
            assert_eq!(
                is_missing,
                state == "missing",
                "{region}: run scripts/rds-roots"
            );
            count += 1;
        }
        assert!(count > 35, "{count} regions");
    }

    #[test]
    fn the_hint_for_a_region_without_root_names_its_bundle() {
        use twinkey_core::code::Diagnostic as _;
        let hint = |host: &str| {
            let error = EngineError::Tls {
                host: host.into(),
                port: 5432,
                reason: "unknown issuer".into(),
                remedy: crate::error::TlsRemedy::Verify,
            };
            error.hint()
        };
        for (host, address) in [
            (
                "db.x.us-gov-east-1.rds.amazonaws.com",
                "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/us-gov-east-1/us-gov-east-1-bundle.pem",
            ),
            (
                "db.x.rds.cn-north-1.amazonaws.com.cn",
                "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/cn-north-1/cn-north-1-bundle.pem",
            ),
            (
                "c.cluster-x.zz-new-1.docdb.amazonaws.com",
                "https://truststore.pki.rds.amazonaws.com/zz-new-1/zz-new-1-bundle.pem",
            ),
        ] {
            let hint = hint(host);
            assert!(
                hint.contains(address) && hint.contains("tls.ca_file"),
                "{hint}"
            );
        }
        let known = hint("db.x.eu-west-1.rds.amazonaws.com");
        assert!(!known.contains("truststore"), "{known}");
    }

    #[test]
    fn the_driver_can_read_the_roots() {
        let pem = roots_pem(None).unwrap();
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&pem) {
            store.add(root.unwrap()).unwrap();
        }
        assert!(store.len() >= rds_roots().len());
    }

    #[test]
    fn a_missing_or_empty_ca_file_is_an_error_with_its_name() {
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
