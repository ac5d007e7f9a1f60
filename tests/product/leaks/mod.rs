//! A scan for passwords: no eight characters of one leave the process unintentionally.
//!
//! The scan runs every command and route with full logging, on every engine and both stores. It
//! reads output, logs, responses, files, process arguments and the logs of servers.

mod commands;
mod fixture;
mod served;
mod serving;

use secrecy::ExposeSecret;

use self::fixture::LeakFixture;
use crate::engines::redshift::fixture::{Deployment, RedshiftFixture};
use crate::served::serve_store;
use twinkey_testkit::environment::documentdb::MongoEnvironment;
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{Backend, Database, Environment, FIRST, Setup, free_address};
use twinkey_testkit::leak_scan::LeakScan;

/// Adds the current passwords to the scan.
async fn record_passwords<P: LeakFixture>(fixture: &P, scan: &mut LeakScan) {
    for document in fixture.documents().await {
        scan.add_password(document["password"].as_str().expect("a password"));
    }
}

/// Options of a worker that listens at `address` with the token in `file`.
fn listening(address: &str, file: &std::path::Path) -> Setup {
    std::fs::write(file, serving::TOKEN).unwrap();
    let file = file.display();
    Setup {
        // The hook logs its environment.
        config: format!(
            "[server]\nlisten = \"{address}\"\nadmin_token_file = \"{file}\"\n[[hook]]\nkind = \"exec\"\ncommand = [\"/usr/bin/env\"]"
        ),
        ..Setup::default()
    }
}

/// Runs every command and route, and scans everything. `known` are the first passwords. `hashed` is
/// a text that the log of the server must contain.
async fn scan_everything<P: LeakFixture>(
    fixture: &P,
    known: &[&str],
    address: &str,
    hashed: &str,
) -> LeakScan {
    let mut scan = LeakScan::default();
    known
        .iter()
        .for_each(|password| scan.add_password(password));
    scan.add_password(serving::TOKEN);
    scan.add_password(fixture.master()["password"].as_str().unwrap());
    record_passwords(fixture, &mut scan).await;
    let known = scan.passwords();
    // The fixture sets the first passwords in clear before this position of the log.
    let from = fixture.log().await.len();

    commands::run_every_command(fixture, &mut scan).await;
    commands::run_with_broken_secrets(fixture, &mut scan).await;
    for logged in commands::LOGGED {
        serving::ask_every_route(fixture, &mut scan, address, logged).await;
    }
    assert!(
        scan.passwords() >= known + 7,
        "six rotations and a wrong password add seven"
    );
    scan.add_files(fixture.folder());
    let log = &fixture.log().await[from..];
    assert!(log.contains(hashed), "the server logs changes");
    scan.add_nonempty("the server's log", log);
    scan.assert_clean();
    scan
}

/// The scan of an environment, including the superuser's password.
async fn scan_environment<D: Database>(
    env: &Environment<D>,
    address: &str,
    hashed: &str,
) -> LeakScan {
    let root = env.server.superuser().password.expose_secret();
    scan_everything(env, &[FIRST, root], address, hashed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_on_postgresql() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let env = Environment::open(listening(&address, token.path())).await;
    scan_environment(&env, &address, "SCRAM-SHA-256$").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_embedded_store() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let plan = listening(&address, token.path());
    let env = Environment::open_with(plan, Backend::Local).await;
    serve_store(&env, &free_address(), "");
    let mut scan = scan_environment(&env, &address, "SCRAM-SHA-256$").await;
    commands::finds_printed_passwords(&env, &mut scan).await;
    scan.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_on_mariadb() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let env = MariadbEnvironment::on_mariadb(listening(&address, token.path())).await;
    let hashed = "IDENTIFIED VIA `mysql_native_password` USING '*";
    let mut scan = scan_environment(&env, &address, hashed).await;
    let errors = std::fs::read(env.server.error_log_path()).unwrap();
    scan.add_nonempty("the server's error log", errors);
    scan.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_on_documentdb() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let env = MongoEnvironment::on_mongo(listening(&address, token.path())).await;
    scan_environment(&env, &address, "updateUser").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_on_redshift() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let server = listening(&address, token.path()).config;
    let more = format!(
        "master_secret = \"{}\"\n{server}",
        crate::engines::redshift::fixture::MASTER_SECRET
    );
    let house = RedshiftFixture::open(Deployment::Cluster, "", &more).await;
    scan_everything(
        &house,
        &[crate::engines::redshift::fixture::FIRST],
        &address,
        " PASSWORD 'md5",
    )
    .await;
}
