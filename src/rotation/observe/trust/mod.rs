//! Host that receives a master's password, and the TLS of that connection: pure rules.
//!
//! The host comes from the master secret, the config or the RDS API, and the TLS settings from the
//! config and the master secret. The rotated secret and the servers have no influence on them: who
//! edits a secret must not obtain its master's password.

use std::net::IpAddr;

use twinkey_core::secret::document::Fields;
use wildmatch::WildMatch;

use crate::config::settings::{HostPort, TlsSettings};
use twinkey_core::aws::arn;
use twinkey_engines::{Tls, TlsMode};

#[cfg(test)]
mod tests;

/// The trusted sources of a master's host, and the port of the rotated secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MasterHostSources<'a> {
    /// The fields of the master secret.
    pub master: &'a Fields,
    /// `master_host` in the config.
    pub configured: Option<&'a HostPort>,
    /// The endpoint that the RDS API reports for the master secret.
    pub rds: Option<&'a HostPort>,
    /// A port is no permission: it counts at a trusted host, where nothing else names one.
    pub secret_port: Option<u16>,
}

/// The host and port at which a master signs in; `None` if no trusted source names a host.
///
/// The order is the master secret, the config, the RDS API.
pub(crate) fn master_address(sources: MasterHostSources<'_>) -> Option<HostPort> {
    let MasterHostSources {
        master,
        configured,
        rds,
        secret_port,
    } = sources;
    let (host, port) = match (&master.host, configured, rds) {
        (Some(host), _, _) => (host, None),
        (None, Some(address), _) | (None, None, Some(address)) => (&address.host, address.port),
        (None, None, None) => return None,
    };
    Some(HostPort {
        host: host.clone(),
        port: port.or(master.port).or(secret_port),
    })
}

/// TLS settings of a master's connection: the stricter of the config and `ssl` of the master secret.
///
/// `ssl = true` demands TLS, which every mode but `disable` is. `ssl = false` counts only under
/// `mode = "secret"`.
pub(crate) fn master_tls(configured: &TlsSettings, ssl: Option<bool>) -> Tls {
    let mode = match (configured.mode, ssl) {
        (None, Some(false)) => TlsMode::Disable,
        (None, _) | (Some(TlsMode::Disable), Some(true)) => TlsMode::VerifyFull,
        (Some(mode), _) => mode,
    };
    Tls {
        mode,
        ca_file: configured.ca_file.clone(),
    }
}

/// Whether two host names are the same text for DNS: case and a trailing dot have no meaning.
pub(crate) fn same_host(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|host| host.strip_suffix('.').unwrap_or(host));
    let addresses = (one.parse::<IpAddr>(), other.parse::<IpAddr>());
    one.eq_ignore_ascii_case(other) || matches!(addresses, (Ok(one), Ok(other)) if one == other)
}

/// Whether `masters` in the config permits a master secret that a rotated secret names.
///
/// `name` is a name, an ARN or an ARN without AWS's suffix; a pattern applies to the whole text and,
/// of an ARN, to the name in it.
pub(crate) fn permits(masters: Option<&[String]>, name: &str) -> bool {
    let Some(masters) = masters else {
        return true;
    };
    let names = [
        Some(name),
        secret_name(name),
        secret_name(name).and_then(without_suffix),
    ];
    masters.iter().any(|pattern| {
        let pattern = WildMatch::new(pattern);
        names.iter().flatten().any(|name| pattern.matches(name))
    })
}

/// The name of a secret in its ARN, with AWS's suffix if the ARN is complete.
fn secret_name(text: &str) -> Option<&str> {
    arn::region(text)?;
    text.splitn(7, ':').nth(6)
}

fn without_suffix(name: &str) -> Option<&str> {
    let (name, suffix) = name.rsplit_once('-')?;
    let complete = suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    complete.then_some(name)
}
