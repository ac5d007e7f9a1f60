//! The product from the outside: the binary, real PostgreSQL, MariaDB and MongoDB-wire servers, a
//! stand-in for Redshift's Data API, AWS-shaped stores.

mod support;

#[path = "product/admin/mod.rs"]
mod admin;
#[path = "product/artefacts.rs"]
mod artefacts;
#[path = "product/commands.rs"]
mod commands;
#[path = "product/compose.rs"]
mod compose;
#[path = "product/cut_table/mod.rs"]
mod cut_table;
#[path = "product/docs/mod.rs"]
mod docs;
#[path = "product/documentdb/mod.rs"]
mod documentdb;
#[path = "product/failures.rs"]
mod failures;
#[path = "product/heartbeat.rs"]
mod heartbeat;
#[path = "product/hosts.rs"]
mod hosts;
#[path = "product/image.rs"]
mod image;
#[path = "product/kills.rs"]
mod kills;
#[path = "product/leaks/mod.rs"]
mod leaks;
#[path = "product/many_workers/mod.rs"]
mod many_workers;
#[path = "product/mariadb/mod.rs"]
mod mariadb;
#[path = "product/masters.rs"]
mod masters;
#[path = "product/meanwhile.rs"]
mod meanwhile;
#[path = "product/metrics.rs"]
mod metrics;
#[path = "product/moving/mod.rs"]
mod moving;
#[path = "product/notify.rs"]
mod notify;
#[path = "product/races/mod.rs"]
mod races;
#[path = "product/redshift/mod.rs"]
mod redshift;
#[path = "product/remote.rs"]
mod remote;
#[path = "product/repair.rs"]
mod repair;
#[path = "product/retire.rs"]
mod retire;
#[path = "product/rotations.rs"]
mod rotations;
#[path = "product/served/mod.rs"]
mod served;
#[path = "product/service.rs"]
mod service;
#[path = "product/serving.rs"]
mod serving;
#[path = "product/soak.rs"]
mod soak;
