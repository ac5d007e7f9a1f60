//! Poolers, which admin connections must not use: they share sessions between clients.
//!
//! # Failure modes
//! - A pooler keeps the pair's lock, or settings of the master, on a session that it gives to other
//!   clients. It is recognised before the first statement that changes a session: by the host name
//!   of RDS Proxy, by the name in its greeting, by errors that no database writes, and by the number
//!   of the session, which a pooler assigns itself.
//! - A pooler passes the number of the database's session on, and writes errors as the database does.
//!   It is not recognised. PgBouncer, RDS Proxy, ProxySQL and MaxScale do neither.

use super::EngineError;
use super::rds_host::is_proxy;

/// # Errors
/// [`EngineError::Pooler`] for a host name of RDS Proxy.
pub(super) fn refuse(host: &str, port: u16) -> Result<(), EngineError> {
    if !is_proxy(host) {
        return Ok(());
    }
    Err(EngineError::Pooler {
        host: host.to_owned(),
        port,
        reason: "it is an RDS Proxy endpoint".into(),
    })
}

/// The reason why a session is one of a pooler: the number that the server announced at the sign-in
/// differs from the number that it reports now.
pub(super) const OTHER_SESSION: &str =
    "the number of the session at the sign-in is not that of the database's session";
