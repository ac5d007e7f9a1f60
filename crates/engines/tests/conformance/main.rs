//! The conformance suite, which every engine passes on a real server: PostgreSQL in every installed
//! version, MariaDB, and MySQL on request. A strict stand-in replaces Redshift, which has no local
//! server. `harness.rs` is the interface of an engine's fixture, `sentences/` has the tests of all
//! engines, and an engine's folder its own.

#![cfg(all(
    feature = "documentdb",
    feature = "mysql",
    feature = "postgres",
    feature = "redshift"
))]

mod case;
mod contention;
mod documentdb;
mod harness;
mod mysql;
mod passwords;
mod postgres;
mod redshift;
mod sentences;

use twinkey_testkit::mysql::{Flavor, find_for_test};
use twinkey_testkit::postgres::LocalPostgres;

fn on_postgres(version: u32) {
    let Ok(bin) = LocalPostgres::find(Some(version)) else {
        assert!(
            std::env::var_os("TWINKEY_ALL_ENGINES").is_none(),
            "PostgreSQL {version} is not installed: run `make setup`"
        );
        eprintln!("PostgreSQL {version} is not installed: nothing was tested on it");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = postgres::Server::start(version, bin).await;
        sentences::all(&server).await;
        sentences::one_user::all(&server).await;
        sentences::one_user::a_user_changes_its_own_password(&server).await;
        postgres::sentences::all(&server).await;
        postgres::adopted::all(&server).await;
        postgres::owned::all(&server).await;
        postgres::roles::all(&server).await;
        postgres::found_first::all(&server).await;
        postgres::members::all(&server).await;
        postgres::masters::all(&server).await;
        postgres::cycles::all(&server).await;
        postgres::locks::all(&server).await;
        sentences::the_log_holds_no_password(&server);
    });
}

#[test]
fn postgres_15_passes_every_sentence() {
    on_postgres(15);
}

#[test]
fn postgres_16_passes_every_sentence() {
    on_postgres(16);
}

#[test]
fn postgres_17_passes_every_sentence() {
    on_postgres(17);
}

#[test]
fn postgres_18_passes_every_sentence() {
    on_postgres(18);
}

#[test]
fn postgres_follows_the_rules_of_rds() {
    for version in [15, 18] {
        let Ok(bin) = LocalPostgres::find(Some(version)) else {
            eprintln!("PostgreSQL {version} is not installed: nothing was tested on it");
            continue;
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(postgres::rds::all(version, bin));
    }
}

fn on_mysql(flavor: Flavor) {
    let Some(program) = find_for_test(flavor) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = mysql::Server::start(program).await;
        sentences::all(&server).await;
        sentences::one_user::all(&server).await;
        mysql::sentences::all(&server).await;
        mysql::locks::all(&server).await;
        sentences::the_log_holds_no_password(&server);
    });
}

#[test]
fn mariadb_passes_every_sentence() {
    on_mysql(Flavor::Mariadb);
}

#[test]
fn mysql_passes_every_sentence() {
    on_mysql(Flavor::Mysql);
}

/// `mechanisms`: those of the users. DocumentDB before 5.0.1 has SCRAM-SHA-1 only.
fn on_documentdb(mechanisms: &'static [&'static str]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = documentdb::Server::start(mechanisms).await;
        sentences::all(&server).await;
        documentdb::sentences::all(&server).await;
        sentences::the_log_holds_no_password(&server);
    });
}

#[test]
fn documentdb_with_scram_sha_1_passes_every_sentence() {
    on_documentdb(&[documentdb::SHA_1]);
}

#[test]
fn documentdb_with_scram_sha_256_passes_every_sentence() {
    on_documentdb(&[documentdb::SHA_256]);
}

#[test]
fn documentdb_with_both_mechanisms_passes_every_sentence() {
    on_documentdb(&[documentdb::SHA_1, documentdb::SHA_256]);
}

fn on_redshift(deployment: redshift::Deployment) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = redshift::Server::start(deployment).await;
        sentences::all(&server).await;
        redshift::sentences::all(&server).await;
        sentences::the_log_holds_no_password(&server);
    });
}

#[test]
fn redshift_follows_the_rules_of_its_manual() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = redshift::Server::start(redshift::Deployment::Provisioned).await;
        redshift::manual::all(&server).await;
    });
}

#[test]
fn redshift_provisioned_passes_every_sentence() {
    on_redshift(redshift::Deployment::Provisioned);
}

#[test]
fn redshift_serverless_passes_every_sentence() {
    on_redshift(redshift::Deployment::Serverless);
}
