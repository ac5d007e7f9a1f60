//! A server of the MongoDB wire protocol, and a relay that records its commands.
//!
//! The server is SecantusDB, because no package contains MongoDB itself. It has users, enforced
//! roles, both SCRAM mechanisms and TLS. It logs no commands, so that the relay records them.

pub mod client;
mod connection;
pub mod documentdb_rules;
pub mod recorded_command;
pub mod recording_relay;
pub mod server;
mod user_fields;
pub mod wire;
