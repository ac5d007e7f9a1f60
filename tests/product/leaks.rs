//! No password, and no eight characters of one, leave the process by any way but the ones they must.

use std::collections::BTreeSet;

use twinkey::store::stage;

use crate::support::shop::documentdb::MongoShop;
use crate::support::shop::mariadb::MariadbShop;
use crate::support::shop::{Database, Plan, Shop, free_address, until};

/// Every run of eight characters of every password.
fn pieces(passwords: &BTreeSet<String>) -> BTreeSet<String> {
    passwords
        .iter()
        .flat_map(|p| {
            p.as_bytes()
                .windows(8)
                .map(|w| String::from_utf8_lossy(w).into_owned())
        })
        .collect()
}

fn assert_clean(what: &str, text: &str, pieces: &BTreeSet<String>) {
    assert!(!text.is_empty(), "{what} is empty: nothing was looked at");
    for piece in pieces {
        assert!(
            !text.contains(piece.as_str()),
            "a piece of a password is in {what}"
        );
    }
}

/// A plan whose worker listens at `address`.
fn listening(address: &str) -> Plan {
    Plan {
        config: format!("[server]\nlisten = \"{address}\""),
        ..Plan::default()
    }
}

/// Rotates in every way there is and looks everywhere; `hashed` is what the server's log must hold, so
/// that it is known to log the statement with the password. Gives the pieces that must be nowhere.
async fn keeps_its_passwords<D: Database>(
    shop: &Shop<D>,
    address: &str,
    hashed: &str,
) -> BTreeSet<String> {
    let mut passwords = BTreeSet::new();
    let note = async |passwords: &mut BTreeSet<String>| {
        let (document, _) = shop.read(stage::CURRENT).await;
        passwords.insert(document["password"].as_str().unwrap().to_owned());
    };
    note(&mut passwords).await;
    // The fixture itself sets the first passwords in clear: the server's log is looked at from here.
    let from = shop.log().len();

    let mut said = String::new();
    for args in [
        &["-v", "rotate", "shop"][..],
        &["-vv", "--log-format", "json", "rotate", "shop"],
        &["-vv", "rotate", "shop", "--json"],
        &["-vv", "plan", "shop"],
        &["-vv", "check"],
        &["-vv", "rollback", "shop"],
        &["-vv", "status", "--json"],
        &["-vv", "history", "--json"],
    ] {
        let output = shop.twinkey(args).await;
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        note(&mut passwords).await;
    }
    assert!(
        passwords.len() >= 4,
        "three rotations made three new passwords"
    );

    let mut serve = shop.serve(address).await;
    let pid = serve.id().unwrap();
    let url = format!("http://{address}/v1/rotations/shop/rotate");
    let answer = reqwest::Client::new().post(url).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    said.push_str(&answer.text().await.unwrap());
    until("the run is over", async || {
        shop.good(&["history", "--json", "--limit", "1"])
            .await
            .contains("\"succeeded\"")
    })
    .await;
    note(&mut passwords).await;
    let cmdline = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    serve.kill().await.unwrap();

    let pieces = pieces(&passwords);
    assert_clean("what the commands printed and logged", &said, &pieces);
    let serve_log = std::fs::read_to_string(shop.folder.path().join("serve.log")).unwrap();
    assert_clean("the worker's log", &serve_log, &pieces);
    assert_clean("the command line", &cmdline, &pieces);
    assert_clean(
        "the environment",
        &String::from_utf8_lossy(&environ),
        &pieces,
    );
    for file in ["journal.db", "journal.db-wal"] {
        if let Ok(bytes) = std::fs::read(shop.folder.path().join(file))
            && !bytes.is_empty()
        {
            assert_clean(file, &String::from_utf8_lossy(&bytes), &pieces);
        }
    }
    let log = shop.log();
    assert!(log[from..].contains(hashed), "the server logs statements");
    assert_clean("the server's log", &log[from..], &pieces);
    pieces
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_is_in_any_log_the_journal_or_the_command_line() {
    let address = free_address();
    let shop = Shop::open(listening(&address)).await;
    keeps_its_passwords(&shop, &address, "SCRAM-SHA-256$").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_is_in_any_log_the_journal_or_the_command_line_on_mariadb() {
    let address = free_address();
    let shop = MariadbShop::on_mariadb(listening(&address)).await;
    let hashed = "IDENTIFIED VIA `mysql_native_password` USING '*";
    let pieces = keeps_its_passwords(&shop, &address, hashed).await;
    let errors = std::fs::read_to_string(shop.server.error_log_path()).unwrap();
    assert_clean("the server's error log", &errors, &pieces);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_is_in_any_log_the_journal_or_the_command_line_on_documentdb() {
    let address = free_address();
    let shop = MongoShop::on_mongo(listening(&address)).await;
    keeps_its_passwords(&shop, &address, "\"pwd\":\"***\"").await;
}
