//! Sign-in checks of a password: over the PostgreSQL protocol, or through the Data API.

pub(in crate::redshift) mod leftovers;
pub(in crate::redshift) mod pg_probe;
pub(in crate::redshift) mod secret_probe;
