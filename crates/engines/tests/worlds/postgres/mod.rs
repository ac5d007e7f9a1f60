//! Worlds on PostgreSQL.
//!
//! The rotation's master is no superuser. After each rotation, these properties must hold:
//!
//! - The new active user can do what the previous one could, by the server's functions and by doing.
//! - The catalogue differs in nothing but the standby's password and what the clone is given.
//! - No other role gains or loses anything, and the base user loses nothing.
//! - When both users have been the standby, a rotation changes passwords only.
//! - Findings name a refusal before anything changes, and their fix repairs it.

mod catalog;
mod effective;
mod kinds;
mod property;
mod report;
mod rotation;
mod rules;
mod server;
mod statements;
mod transcript;
mod world;

use std::collections::BTreeMap;

use twinkey_testkit::postgres::LocalPostgres;

use self::report::Report;
use self::server::Server;
use crate::seeds::{MANY, seeds};

fn on_postgres(version: u32) {
    let Ok(bin) = LocalPostgres::find(Some(version)) else {
        let needed = std::env::var_os("TWINKEY_ALL_ENGINES").is_some();
        assert!(
            !needed,
            "PostgreSQL {version} is not installed: run `make setup`"
        );
        eprintln!("PostgreSQL {version} is not installed: nothing was tested on it");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = Server::start(version, bin).await;
        kinds_are_complete(&server).await;
        let mut total = Report::default();
        let seeds = seeds();
        let many = seeds.end - seeds.start >= MANY;
        for seed in seeds.clone() {
            total.add(property::check(&server, seed).await);
        }
        eprintln!(
            "PostgreSQL {version}, worlds {seeds:?}: {}",
            total.summary()
        );
        assert!(total.failed.is_empty(), "worlds failed: {:?}", total.failed);
        if many {
            assert_eq!(
                total.never(),
                Vec::<&str>::new(),
                "no statement of this kind succeeded"
            );
        }
    });
}

#[test]
fn postgres_15_rotates_in_any_world() {
    on_postgres(15);
}

#[test]
fn postgres_18_rotates_in_any_world() {
    on_postgres(18);
}

/// The generator has every kind of owner and of privileges that the server has.
async fn kinds_are_complete(server: &Server) {
    let mut superuser = server.connect("postgres", None).await.unwrap();
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in &kinds::KINDS {
        let what: &[&str] = if kind.grant.is_some() {
            &["owner", "privileges"]
        } else {
            &["owner"]
        };
        kinds.entry(kind.catalog).or_default().extend(what);
    }
    for (catalog, _) in kinds::OTHER_ROLE_COLUMNS {
        kinds.entry(catalog).or_default().push("owner");
    }
    for (catalog, _) in kinds::OTHER_PRIVILEGES {
        kinds.entry(catalog).or_default().push("privileges");
    }
    for catalog in catalog::catalogs(&mut superuser).await {
        let known = |what| {
            kinds
                .get(catalog.name.as_str())
                .is_some_and(|all| all.contains(&what))
        };
        let name = &catalog.name;
        assert!(
            catalog.roles.is_empty() || known("owner"),
            "no world has a role in {name}"
        );
        assert!(
            catalog.privileges.is_empty() || known("privileges"),
            "no world has privileges in {name}"
        );
    }
}
