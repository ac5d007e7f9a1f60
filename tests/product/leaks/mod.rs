//! No password, and no eight characters of one, leave the process by any way but the ones they must.
//!
//! Every command and every route there is, with everything logged, on every engine and both stores: what
//! the process says, logs, answers and writes, how it is called, and what its servers log.

mod commands;
mod demo;
mod scan;
mod serving;

use secrecy::ExposeSecret;
use twinkey::store::stage;

use self::scan::Scan;
use crate::support::shop::documentdb::MongoShop;
use crate::support::shop::mariadb::MariadbShop;
use crate::support::shop::{Backend, Database, FIRST, Plan, Shop, free_address};

/// Notes the passwords that there are now.
async fn note<D: Database>(shop: &Shop<D>, scan: &mut Scan) {
    for (id, labels) in shop.labels().await {
        for label in [stage::CURRENT, stage::PENDING, stage::PREVIOUS] {
            if labels.iter().any(|l| l == label) {
                let (document, _) = shop.read(label).await;
                let password = document["password"].as_str();
                scan.knows(password.unwrap_or_else(|| panic!("{label} of {id} has none")));
            }
        }
    }
}

/// Keeps how a process was called, and what it was given, as long as it is there.
fn in_proc(scan: &mut Scan, pid: u32, what: &str) {
    for file in ["cmdline", "environ"] {
        if let Ok(bytes) = std::fs::read(format!("/proc/{pid}/{file}")) {
            scan.keep(format!("{file} of {what}"), bytes);
        }
    }
}

/// A plan whose worker listens at `address`, for those with the token in `file`.
fn listening(address: &str, file: &std::path::Path) -> Plan {
    std::fs::write(file, serving::TOKEN).unwrap();
    let file = file.display();
    Plan {
        config: format!("[server]\nlisten = \"{address}\"\nadmin_token_file = \"{file}\""),
        ..Plan::default()
    }
}

/// Does everything there is to do and looks everywhere; `hashed` is what the server's log must hold, so
/// that it is known to log what changes a password.
async fn keeps_its_passwords<D: Database>(shop: &Shop<D>, address: &str, hashed: &str) -> Scan {
    let mut scan = Scan::default();
    for password in [
        FIRST,
        serving::TOKEN,
        shop.master.expose_secret(),
        shop.server.superuser().password.expose_secret(),
    ] {
        scan.knows(password);
    }
    note(shop, &mut scan).await;
    let known = scan.passwords();
    // The fixture itself sets the first passwords in clear: the server's log is looked at from here.
    let from = shop.log().len();

    commands::run_every_command(shop, &mut scan).await;
    commands::run_in_distress(shop, &mut scan).await;
    for logged in commands::LOGGED {
        serving::ask_every_route(shop, &mut scan, address, logged).await;
    }
    assert!(
        scan.passwords() >= known + 7,
        "six rotations made six new passwords, and there is a wrong one"
    );
    scan.keep_files(shop.folder.path());
    let log = &shop.log()[from..];
    assert!(log.contains(hashed), "the server logs what changes");
    scan.keep_some("the server's log", log);
    scan.assert_clean();
    scan
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_on_postgresql() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let shop = Shop::open(listening(&address, token.path())).await;
    keeps_its_passwords(&shop, &address, "SCRAM-SHA-256$").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_or_its_embedded_store_and_one_printed_is_found()
{
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let plan = listening(&address, token.path());
    let shop = Shop::open_with(plan, Backend::Local).await;
    let mut scan = keeps_its_passwords(&shop, &address, "SCRAM-SHA-256$").await;
    commands::the_scan_finds(&shop, &mut scan).await;
    scan.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_on_mariadb() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let shop = MariadbShop::on_mariadb(listening(&address, token.path())).await;
    let hashed = "IDENTIFIED VIA `mysql_native_password` USING '*";
    let mut scan = keeps_its_passwords(&shop, &address, hashed).await;
    let errors = std::fs::read(shop.server.error_log_path()).unwrap();
    scan.keep_some("the server's error log", errors);
    scan.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_process_on_documentdb() {
    let (address, token) = (free_address(), tempfile::NamedTempFile::new().unwrap());
    let shop = MongoShop::on_mongo(listening(&address, token.path())).await;
    keeps_its_passwords(&shop, &address, "updateUser").await;
}
