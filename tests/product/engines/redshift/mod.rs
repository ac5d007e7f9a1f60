//! The program with the stand-in of the Redshift Data API.

mod admins;
mod drift;
pub mod fixture;
mod guards;
pub mod interruptions;
mod leftovers;
pub mod rotations;
mod scale;
pub mod secrecy;
mod trust;
