//! A run that is killed at any of its commands: AWSCURRENT signs in with all its roles, and the next run
//! completes what was begun.
//!
//! Commands about users are not transactional, so every beginning of the list is a state that a server
//! can be left in. The standby is made anew, or has come apart in both directions, which is when there is
//! most to leave undone. The commands of the pair's lock are counted too.

use mongodb::bson::doc;
use twinkey_stores::stage;

use super::{active, the_pair_is_equal};
use twinkey_testkit::mongo::witness::{Fate, WRITES};
use twinkey_testkit::shop::documentdb::{LocalMongo, MongoShop, role};
use twinkey_testkit::shop::{Database, Plan, until};

/// More than any run here makes.
const MOST_COMMANDS: usize = 30;

/// Runs `rotate` and kills it at its `nth` writing command. `false`: it made fewer, and has ended well.
async fn killed_at(shop: &MongoShop, nth: usize, fate: Fate) -> bool {
    let witness = &shop.server.witness;
    let reached = witness.hold(WRITES, nth, fate);
    let mut run = shop
        .command(env!("CARGO_BIN_EXE_twinkey"))
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
            assert!(status.unwrap().success(), "command {nth}, {fate:?}");
            false
        }
    };
    witness.let_through();
    killed
}

async fn current_is_whole(shop: &MongoShop) {
    let mut current = shop.signed_in(stage::CURRENT).await;
    assert!(
        LocalMongo::may_work(&mut current).await,
        "AWSCURRENT has its roles"
    );
}

/// What a run finds.
#[derive(Clone, Copy)]
enum Standby {
    Missing,
    /// It lacks a role and has another one too many.
    Apart,
}

async fn begin(shop: &MongoShop, standby: Standby) {
    let active = active(shop).await;
    let other = if active == "app" { "app_clone" } else { "app" };
    match standby {
        Standby::Missing => {
            if shop.told(other).await.is_some() {
                shop.run("admin", doc! { "dropUser": other }).await;
            }
        }
        Standby::Apart => {
            shop.take(other, &[role("reporter", "admin")]).await;
            shop.give(other, &[role("read", "other")]).await;
        }
    }
}

/// The journal of a worker that is not there any more, and its lock: the next one comes with its own, and
/// nothing that it decides may hang on the lost ones. That a dead holder's lock runs out is proved elsewhere.
async fn lose_journal_and_lock(shop: &MongoShop) {
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        // The last two are there only while somebody has the journal open, or was killed.
        let _ = std::fs::remove_file(shop.folder.path().join(file));
    }
    let all = doc! { "delete": "locks", "deletes": [{ "q": {}, "limit": 0 }] };
    shop.run("twinkey", all).await;
}

async fn is_equal(shop: &MongoShop) -> bool {
    shop.told("app").await == shop.told("app_clone").await
}

async fn is_killed_at_every_command(standby: Standby, fate: Fate, least: usize) {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    let wanted = shop.told("app").await;
    shop.good(&["rotate", "shop"]).await;
    let mut kills = 0;
    for nth in 1..=MOST_COMMANDS {
        begin(&shop, standby).await;
        let before = shop.read(stage::CURRENT).await;
        if !killed_at(&shop, nth, fate).await {
            break;
        }
        kills += 1;
        // The last of the commands frees the lock, when all is done.
        let has_moved = shop.read(stage::CURRENT).await != before;
        assert!(!has_moved || is_equal(&shop).await, "command {nth}");
        current_is_whole(&shop).await;

        lose_journal_and_lock(&shop).await;
        shop.good(&["rotate", "shop"]).await;
        current_is_whole(&shop).await;
        the_pair_is_equal(&shop).await;
        assert_eq!(shop.told("app").await, wanted, "command {nth}");
        assert_ne!(shop.read(stage::CURRENT).await.1, before.1);
    }
    assert!(kills >= least, "{kills}");
    println!("{kills} kills, each at another command ({fate:?}): 0 violations");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_makes_the_standby_and_is_killed_before_any_of_its_commands_is_completed() {
    // The lock; the user, its password, each after a renewal; the lock's end.
    is_killed_at_every_command(Standby::Missing, Fate::Lost, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_makes_the_standby_and_is_killed_after_any_of_its_commands_is_completed() {
    is_killed_at_every_command(Standby::Missing, Fate::CarriedOut, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_gives_and_takes_roles_and_is_killed_before_any_of_its_commands_is_completed() {
    is_killed_at_every_command(Standby::Apart, Fate::Lost, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_gives_and_takes_roles_and_is_killed_after_any_of_its_commands_is_completed() {
    is_killed_at_every_command(Standby::Apart, Fate::CarriedOut, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_before_the_password_is_carried_on_with_the_same_one_when_its_lock_has_run_out()
 {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    let witness = &shop.server.witness;
    let reached = witness.hold(&["updateUser"], 1, Fate::Lost);
    let mut run = shop
        .command(env!("CARGO_BIN_EXE_twinkey"))
        .args(["rotate", "shop"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    reached.notified().await;
    run.kill().await.unwrap();
    witness.let_through();
    let (pending, _) = shop.read(stage::PENDING).await;
    assert_eq!(pending["username"], "app_clone");
    current_is_whole(&shop).await;
    // With the same journal and the same server: the dead run's lease and its lock run out first.
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
    the_pair_is_equal(&shop).await;
}
