//! No password, and no eight characters of one, leave the process by any way but the ones they must.
//!
//! Every command and every route there is, with everything logged, on every engine and both stores: what
//! the process says, logs, answers and writes, how it is called, and what its servers log.

mod commands;
mod fixture;
mod served;
mod serving;

use secrecy::ExposeSecret;

use self::fixture::LeakFixture;
use crate::redshift::fixture::{Deployment, RedshiftFixture};
use crate::served::serve_store;
use twinkey_testkit::leak_scan::LeakScan;
use twinkey_testkit::environment::documentdb::MongoEnvironment;
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{Backend, Database, FIRST, Setup, Environment, free_address};

/// Notes the passwords that there are now.
async fn record_passwords<P: LeakFixture>(fixture: &P, scan: &mut LeakScan) {
    for document in fixture.documents().await {
        scan.add_password(document["password"].as_str().expect("a password"));
    }
}

/// A plan whose worker listens at `address`, for those with the token in `file`.
fn listening(address: &str, file: &std::path::Path) -> Setup {
    std::fs::write(file, serving::TOKEN).unwrap();
    let file = file.display();
    Setup {
        // What a hook's program is given, it tells the log.
        config: format!(
            "[server]\nlisten = \"{address}\"\nadmin_token_file = \"{file}\"\n[[hook]]\nkind = \"exec\"\ncommand = [\"/usr/bin/env\"]"
        ),
        ..Setup::default()
    }
}

/// Does everything there is to do and looks everywhere. `known` are passwords of the beginning; `hashed`
/// is what the server's log must hold, so that it is known to log what changes a password.
async fn scan_everything<P: LeakFixture>(
    fixture: &P,
    known: &[&str],
    address: &str,
    hashed: &str,
) -> LeakScan {
    let mut scan = LeakScan::default();
    known.iter().for_each(|password| scan.add_password(password));
    scan.add_password(serving::TOKEN);
    scan.add_password(fixture.master()["password"].as_str().unwrap());
    record_passwords(fixture, &mut scan).await;
    let known = scan.passwords();
    // The fixture itself sets the first passwords in clear: the server's log is looked at from here.
    let from = fixture.log().await.len();

    commands::run_every_command(fixture, &mut scan).await;
    commands::run_with_broken_secrets(fixture, &mut scan).await;
    for logged in commands::LOGGED {
        serving::ask_every_route(fixture, &mut scan, address, logged).await;
    }
    assert!(
        scan.passwords() >= known + 7,
        "six rotations made six new passwords, and there is a wrong one"
    );
    scan.add_files(fixture.folder());
    let log = &fixture.log().await[from..];
    assert!(log.contains(hashed), "the server logs what changes");
    scan.add_nonempty("the server's log", log);
    scan.assert_clean();
    scan
}

/// The same in a shop, whose superuser twinkey never hears of.
async fn scan_environment<D: Database>(env: &Environment<D>, address: &str, hashed: &str) -> LeakScan {
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
    let more = format!("master_secret = \"{}\"\n{server}", crate::redshift::fixture::MASTER_SECRET);
    let house = RedshiftFixture::open(Deployment::Cluster, "", &more).await;
    scan_everything(&house, &[crate::redshift::fixture::FIRST], &address, " PASSWORD 'md5").await;
}
