//! Users and privileges in the system catalog: reading them and comparing the two users of a pair.

pub(in crate::redshift) mod account;
pub(in crate::redshift) mod cluster;
pub(in crate::redshift) mod database;
pub(in crate::redshift) mod defaults;
pub(in crate::redshift) mod diff;
pub(in crate::redshift) mod facts;
pub(in crate::redshift) mod grants;
pub(in crate::redshift) mod queries;
pub(in crate::redshift) mod rights;
pub(in crate::redshift) mod shown;
