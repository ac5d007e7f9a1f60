//! The product on Redshift: the binary, and the tests' stand-in for its Data API.

mod admins;
mod drift;
mod faults;
mod guards;
pub mod house;
mod rotations;
mod scale;
pub mod secrecy;
