//! The product on Redshift: the binary, and the tests' stand-in for its Data API.

mod admins;
mod drift;
pub mod faults;
mod guards;
pub mod house;
pub mod rotations;
mod scale;
pub mod secrecy;
