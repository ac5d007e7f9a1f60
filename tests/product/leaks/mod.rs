//! No password, and no eight characters of one, leave the process by any way but the ones they must.
//!
//! Every command and every route there is, with everything logged, on every engine and both stores: what
//! the process says, logs, answers and writes, how it is called, and what its servers log.

mod commands;
mod place;
mod served;
mod serving;

use secrecy::ExposeSecret;

use self::place::Place;
use crate::redshift::fixture::{self, RedshiftFixture, Deployment};
use crate::served::serve_store;
use twinkey_testkit::leak_scan::Scan;
use twinkey_testkit::environment::documentdb::MongoEnvironment;
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{Backend, Database, FIRST, Plan, Environment, free_address};

/// Notes the passwords that there are now.
async fn note<P: Place>(place: &P, scan: &mut Scan) {
    for document in place.documents().await {
        scan.knows(document["password"].as_str().expect("a password"));
    }
}

/// A plan whose worker listens at `address`, for those with the token in `file`.
fn listening(address: &str, file: &std::path::Path) -> Plan {
    std::fs::write(file, serving::TOKEN).unwrap();
    let file = file.display();
    Plan {
        // What a hook's program is given, it tells the log.
        config: format!(
            "[server]\nlisten = \"{address}\"\nadmin_token_file = \"{file}\"\n[[hook]]\nkind = \"exec\"\ncommand = [\"/usr/bin/env\"]"
        ),
        ..Plan::default()
    }
}

/// Does everything there is to do and looks everywhere. `known` are passwords of the beginning; `hashed`
/// is what the server's log must hold, so that it is known to log what changes a password.
async fn keeps_its_passwords<P: Place>(
    place: &P,
    known: &[&str],
    address: &str,
    hashed: &str,
) -> Scan {
    let mut scan = Scan::default();
    known.iter().for_each(|password| scan.knows(password));
    scan.knows(serving::TOKEN);
    scan.knows(place.master()["password"].as_str().unwrap());
    note(place, &mut scan).await;
    let known = scan.passwords();
    // The fixture itself sets the first passwords in clear: the server's log is looked at from here.
    let from = place.log().await.len();

    commands::run_every_command(place, &mut scan).await;
    commands::run_in_distress(place, &mut scan).await;
    for logged in commands::LOGGED {
        serving::ask_every_route(place, &mut scan, address, logged).await;
    }
    assert!(
        scan.passwords() >= known + 7,
        "six rotations made six new passwords, and there is a wrong one"
    );
    scan.keep_files(place.folder());
    let log = &place.log().await[from..];
    assert!(log.contains(hashed), "the server logs what changes");
    scan.keep_some("the server's log", log);
    scan.assert_clean();
    scan
}

/// The same in a shop, whose superuser twinkey never hears of.
async fn of_shop<D: Database>(env: &Environment<D>, address: &str, hashed: &str) -> Scan {
    let root = env.server.superuser().password.expose_secret();
    keeps_its_passwords(env, &[FIRST, root], address, hashed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_on_postgresql() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let env = Environment::open(listening(&address, token.path())).await;
    of_shop(&env, &address, "SCRAM-SHA-256$").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_or_its_embedded_store_and_one_printed_is_found()
{
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let plan = listening(&address, token.path());
    let env = Environment::open_with(plan, Backend::Local).await;
    serve_store(&env, &free_address(), "");
    let mut scan = of_shop(&env, &address, "SCRAM-SHA-256$").await;
    commands::the_scan_finds(&env, &mut scan).await;
    scan.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_on_mariadb() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let env = MariadbEnvironment::on_mariadb(listening(&address, token.path())).await;
    let hashed = "IDENTIFIED VIA `mysql_native_password` USING '*";
    let mut scan = of_shop(&env, &address, hashed).await;
    let errors = std::fs::read(env.server.error_log_path()).unwrap();
    scan.keep_some("the server's error log", errors);
    scan.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_on_documentdb() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let env = MongoEnvironment::on_mongo(listening(&address, token.path())).await;
    of_shop(&env, &address, "updateUser").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_on_redshift() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let server = listening(&address, token.path()).config;
    let more = format!("master_secret = \"{}\"\n{server}", fixture::MASTER_SECRET);
    let house = RedshiftFixture::open(Deployment::Cluster, "", &more).await;
    keeps_its_passwords(&house, &[fixture::FIRST], &address, " PASSWORD 'md5").await;
}
