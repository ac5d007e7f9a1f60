//! What the integration tests share: real servers, the AWS stand-ins, and small helpers.
#![allow(
    dead_code,
    reason = "each test binary uses its own part of the support code"
)]

pub mod aws;
pub mod chance;
pub mod mongo;
pub mod moto;
pub mod pki;
pub mod shop;
pub mod signed;
pub mod volley;
