//! Database servers, AWS stand-ins, relays and fixtures for tests, benchmarks and the demo.

pub mod aws;
pub mod environment;
pub mod hostile;
pub mod interruption;
pub mod leak_scan;
pub mod load;
pub mod locations;
pub mod mongo;
pub mod moto;
pub mod mysql;
pub mod pgbouncer;
pub mod pki;
pub mod ports;
pub mod postgres;
pub mod rng;
mod server;
pub mod signed;
pub mod stand_ins;

pub use server::LaunchError;
