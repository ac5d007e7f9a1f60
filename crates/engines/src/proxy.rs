//! Host names of RDS Proxy, which admin connections must not use: it shares and pins sessions.

use super::EngineError;
use super::rds_host::is_proxy;

/// # Errors
/// [`EngineError::Refused`] for a host name of RDS Proxy.
pub(super) fn refuse(host: &str) -> Result<(), EngineError> {
    if !is_proxy(host) {
        return Ok(());
    }
    Err(EngineError::Refused {
        what: format!("an admin connection to {host}"),
        reason: "it is an RDS Proxy endpoint".into(),
        hint: "give the master secret the host of the cluster or instance itself; `twinkey check` says what a proxy in front of the applications needs".into(),
    })
}
