//! The program from the outside: real PostgreSQL, MariaDB and MongoDB-wire servers, a stand-in for
//! the Data API of Redshift, and AWS-shaped stores.

mod admin;
mod cli;
mod docs;
mod endpoints;
mod engines;
mod faults;
mod leaks;
mod masters;
mod matrix;
mod moving;
mod packaging;
mod rotations;
mod served;
mod serving;
mod trust;
