//! A server of MongoDB's wire protocol, and a witness that stands in front of it.
//!
//! The server is SecantusDB, for no package ships MongoDB's own: users, roles that are enforced, both
//! SCRAM mechanisms, TLS. It says nothing of what it is told, so the witness does.

pub mod client;
pub mod noted;
mod relay;
pub mod server;
pub mod wire;
pub mod witness;
