//! The product on Redshift: the binary, and the tests' stand-in for its Data API.

mod house;
mod rotations;
