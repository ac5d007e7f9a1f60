//! The product on Redshift: the binary, and the tests' stand-in for its Data API.

mod admins;
mod drift;
mod faults;
mod guards;
mod house;
mod rotations;
mod scale;
mod secrecy;
