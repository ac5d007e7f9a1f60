//! A run that is killed at any of its statements: AWSCURRENT signs in with all its privileges, and the
//! next run completes what was begun.
//!
//! Accounts are not changed in transactions here, so every beginning of the list of statements is a
//! state that a server can be left in. The pair has accounts at three hosts, and the standby is made anew
//! each time, which is when there is most to leave undone.

use serde_json::json;
use twinkey_stores::stage;
use twinkey_testkit::mysql::LocalMysql;

use super::relay::{Fate, Relay};
use super::{one_password_is_on_every_account, the_pair_is_equal, with_three_accounts};
use crate::failures::with;
use twinkey_testkit::shop::mariadb::{MariadbShop, accounts, pairs};
use twinkey_testkit::shop::{Database, MASTER_SECRET, Plan, SECRET, until};

/// More than any run here makes.
const MOST_STATEMENTS: usize = 30;
const HOSTS: [&str; 3] = ["%", "10.%", "localhost"];

/// Both secrets lead through the relay.
async fn relayed() -> (MariadbShop, Relay) {
    let shop = with_three_accounts(Plan::default()).await;
    let relay = Relay::start(shop.server.port()).await;
    let (current, _) = shop.read(stage::CURRENT).await;
    let master = shop.document("rdsmaster", "Master-0123456789-abcdef-XYZ");
    for (name, document) in [(SECRET, current), (MASTER_SECRET, master)] {
        shop.put(name, &with(document, "port", json!(relay.port())))
            .await;
    }
    (shop, relay)
}

/// Runs `rotate` and kills it at its `nth` change. `false`: it made fewer, and has ended well.
async fn killed_at(shop: &MariadbShop, relay: &Relay, nth: usize, fate: Fate) -> bool {
    let reached = relay.cut(nth, fate);
    let program = env!("CARGO_BIN_EXE_twinkey");
    let mut run = shop
        .command(program)
        .args(["rotate", "shop"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let killed = tokio::select! {
        () = reached.notified() => {
            run.kill().await.unwrap();
            true
        }
        status = run.wait() => {
            assert!(status.unwrap().success(), "change {nth}, {fate:?}");
            false
        }
    };
    relay.let_through();
    let mut root = shop.root("mysql").await;
    until("the server has let go of the killed run", async || {
        let sql = "SELECT USER, HOST FROM information_schema.PROCESSLIST WHERE USER = 'rdsmaster'";
        pairs(&mut root, sql).await.is_empty()
    })
    .await;
    killed
}

async fn current_is_whole(shop: &MariadbShop) {
    let mut current = shop.signed_in(stage::CURRENT).await;
    assert!(
        LocalMysql::may_work(&mut current).await,
        "AWSCURRENT has its privileges"
    );
}

async fn drop_the_standby(shop: &MariadbShop) {
    let (current, _) = shop.read(stage::CURRENT).await;
    let standby = if current["username"] == "app" {
        "app_clone"
    } else {
        "app"
    };
    for host in HOSTS {
        shop.sql(&[&format!("DROP USER IF EXISTS `{standby}`@`{host}`")])
            .await;
    }
}

/// The journal of a worker that is not there any more: the next one comes with its own, and nothing
/// that it decides may hang on the lost one.
fn lose_the_journal(shop: &MariadbShop) {
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        // The last two are there only while somebody has the journal open, or was killed.
        let _ = std::fs::remove_file(shop.folder.path().join(file));
    }
}

async fn is_killed_at_every_change(fate: Fate) {
    let (shop, relay) = relayed().await;
    let wanted = accounts(&shop, "app").await;
    let mut kills = 0;
    for nth in 1..=MOST_STATEMENTS {
        drop_the_standby(&shop).await;
        let before = shop.read(stage::CURRENT).await;
        if !killed_at(&shop, &relay, nth, fate).await {
            break;
        }
        kills += 1;
        assert_eq!(
            shop.read(stage::CURRENT).await,
            before,
            "AWSCURRENT has not moved"
        );
        current_is_whole(&shop).await;

        lose_the_journal(&shop);
        shop.good(&["rotate", "shop"]).await;
        current_is_whole(&shop).await;
        one_password_is_on_every_account(&shop, HOSTS.len()).await;
        for user in ["app", "app_clone"] {
            assert_eq!(accounts(&shop, user).await, wanted, "{user}, change {nth}");
        }
        assert_ne!(shop.read(stage::CURRENT).await.1, before.1);
    }
    // Three accounts made, their grants, three passwords.
    assert!(kills >= 9, "{kills}");
    println!("{kills} kills, each at another statement ({fate:?}): 0 violations");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_before_any_of_its_statements_harms_nobody_and_is_completed() {
    is_killed_at_every_change(Fate::Lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_after_any_of_its_statements_harms_nobody_and_is_completed() {
    is_killed_at_every_change(Fate::CarriedOut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_between_the_passwords_of_two_accounts_is_carried_on_with_the_same_password() {
    let (shop, relay) = relayed().await;
    shop.good(&["rotate", "shop"]).await;
    shop.good(&["rotate", "shop"]).await;
    // The pair is equal: three statements, the three passwords.
    assert!(killed_at(&shop, &relay, 2, Fate::Lost).await);
    let (pending, _) = shop.read(stage::PENDING).await;
    assert_eq!(pending["username"], "app_clone");
    current_is_whole(&shop).await;
    // With the same journal, in which the dead run's lease has to run out first.
    until("the next run may begin", async || {
        let output = shop.twinkey(&["rotate", "shop"]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() || said.contains("error[already_running]"),
            "{said}"
        );
        output.status.success()
    })
    .await;
    let (current, _) = shop.read(stage::CURRENT).await;
    assert!(current == pending, "the pending password is the one");
    one_password_is_on_every_account(&shop, HOSTS.len()).await;
    the_pair_is_equal(&shop).await;
}
