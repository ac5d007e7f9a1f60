//! The product from the outside: the binary, real PostgreSQL, MariaDB and MongoDB-wire servers, a
//! stand-in for Redshift's Data API, AWS-shaped stores.

mod admin;
mod artefacts;
mod commands;
mod compose;
mod cut_table;
mod docs;
mod documentdb;
mod failures;
mod heartbeat;
mod hosts;
mod image;
mod kills;
mod leaks;
mod many_workers;
mod mariadb;
mod masters;
mod meanwhile;
mod metrics;
mod moving;
mod notify;
mod races;
mod redshift;
mod remote;
mod repair;
mod retire;
mod rotations;
mod served;
mod service;
mod serving;
mod soak;
