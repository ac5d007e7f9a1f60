//! `retire_after`: the user of AWSPREVIOUS is locked when its time is over, and a rollback brings it back.

use secrecy::SecretString;
use twinkey_stores::stage;

use twinkey_testkit::shop::documentdb::MongoShop;
use twinkey_testkit::shop::mariadb::MariadbShop;
use twinkey_testkit::shop::{Database, Plan, Shop, free_address, until};

fn plan(address: &str) -> Plan {
    Plan {
        config: format!("[server]\nlisten = \"{address}\"\n"),
        rotation: "retire_after = \"0s\"".into(),
        ..Plan::default()
    }
}

async fn previous_signs_in<D: Database>(shop: &Shop<D>) -> bool {
    let (document, _) = shop.read(stage::PREVIOUS).await;
    let password = SecretString::from(document["password"].as_str().unwrap());
    let user = document["username"].as_str().unwrap();
    shop.connect(user, &password, "shop").await.is_ok()
}

/// Waits until the worker says this in its log.
async fn says<D: Database>(shop: &Shop<D>, what: &str) {
    let log = shop.folder.path().join("serve.log");
    until(what, async || {
        std::fs::read_to_string(&log).unwrap().contains(what)
    })
    .await;
}

async fn is_locked_and_comes_back<D: Database>(shop: Shop<D>, address: &str) {
    shop.good(&["rotate", "shop"]).await;
    assert!(previous_signs_in(&shop).await);
    // The worker leaves whoever is signed in alone, and that was one.
    until("nobody is signed in as its user", async || {
        let check = shop.good(&["check", "shop", "--json"]).await;
        let check: serde_json::Value = serde_json::from_str(&check).unwrap();
        check[0]["standby_sessions"]
            .as_array()
            .is_none_or(Vec::is_empty)
    })
    .await;
    // Its time is over at once; then a worker comes.
    let worker = shop.serve(address).await;
    says(&shop, "user of AWSPREVIOUS locked").await;
    drop(worker);
    assert!(!previous_signs_in(&shop).await);
    shop.signed_in(stage::CURRENT).await;
    shop.good(&["rollback", "shop"]).await;
    shop.signed_in(stage::CURRENT).await;
    shop.signed_in(stage::PREVIOUS).await;
    shop.good(&["rotate", "shop"]).await;
    shop.good(&["rotate", "shop"]).await;
    shop.signed_in(stage::CURRENT).await;
    assert!(previous_signs_in(&shop).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn awsprevious_is_locked_when_its_time_is_over_and_a_rollback_unlocks_it() {
    let address = free_address();
    is_locked_and_comes_back(Shop::open(plan(&address)).await, &address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awsprevious_is_locked_when_its_time_is_over_and_a_rollback_unlocks_it_on_mariadb() {
    let address = free_address();
    let shop = MariadbShop::on_mariadb(plan(&address)).await;
    is_locked_and_comes_back(shop, &address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awsprevious_is_locked_when_its_time_is_over_and_a_rollback_unlocks_it_on_documentdb() {
    let address = free_address();
    let shop = MongoShop::on_mongo(plan(&address)).await;
    is_locked_and_comes_back(shop, &address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_unlocks_a_user_whose_worker_died_before_it_could_say_that_it_had_locked_it() {
    let shop = Shop::open(plan(&free_address())).await;
    shop.good(&["rotate", "shop"]).await;
    let mut root = shop.root("shop").await;
    let locked = sqlx::query("ALTER ROLE app NOLOGIN").execute(&mut root);
    locked.await.unwrap();
    shop.good(&["rollback", "shop"]).await;
    shop.signed_in(stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awsprevious_is_left_alone_while_somebody_is_signed_in_as_its_user() {
    let address = free_address();
    let shop = Shop::open(plan(&address)).await;
    shop.good(&["rotate", "shop"]).await;
    let consumer = shop.signed_in(stage::PREVIOUS).await;
    let _worker = shop.serve(&address).await;
    let why = "retirement postponed: sessions are open";
    says(&shop, why).await;
    assert!(previous_signs_in(&shop).await);
    drop(consumer);
}
