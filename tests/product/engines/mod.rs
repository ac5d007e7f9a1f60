//! Tests of one engine, and tests that MariaDB and DocumentDB share.

mod documentdb;
mod mariadb;
mod pair;
pub mod redshift;
