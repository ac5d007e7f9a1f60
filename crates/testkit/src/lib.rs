//! What the integration tests share: real servers, the AWS stand-ins, and small helpers.
pub mod aws;
pub mod rng;
pub mod interruption;
pub mod leak_scan;
pub mod locations;
pub mod mongo;
pub mod moto;
pub mod mysql;
pub mod pki;
pub mod postgres;
mod server;
pub use server::LaunchError;
pub mod environment;
pub mod signed;
pub mod load;
