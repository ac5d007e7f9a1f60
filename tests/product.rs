//! The product from the outside: the binary, real PostgreSQL and MariaDB servers, a
//! stand-in for Redshift's Data API, AWS-shaped stores.

mod support;

#[path = "product/commands.rs"]
mod commands;
#[path = "product/cuts.rs"]
mod cuts;
#[path = "product/failures.rs"]
mod failures;
#[path = "product/leaks.rs"]
mod leaks;
#[path = "product/mariadb/mod.rs"]
mod mariadb;
#[path = "product/redshift/mod.rs"]
mod redshift;
#[path = "product/rotations.rs"]
mod rotations;
#[path = "product/serving.rs"]
mod serving;
