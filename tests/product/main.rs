//! The program from the outside: real PostgreSQL, MariaDB and MongoDB-wire servers, a stand-in for
//! the Data API of Redshift, and AWS-shaped stores.

mod admin;
mod cli;
mod docs;
mod documentdb;
mod faults;
mod leaks;
mod mariadb;
mod moving;
mod packaging;
mod pair;
mod redshift;
mod rotations;
mod served;
mod serving;
mod trust;
