//! The product from the outside: the binary, real PostgreSQL and MariaDB servers, AWS-shaped stores.

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
#[path = "product/meanwhile.rs"]
mod meanwhile;
#[path = "product/repair.rs"]
mod repair;
#[path = "product/rotations.rs"]
mod rotations;
#[path = "product/serving.rs"]
mod serving;
