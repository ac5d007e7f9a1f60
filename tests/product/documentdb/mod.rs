//! The product on a server of MongoDB's wire protocol. What is the same on every engine is in the files
//! beside this folder.

mod cut_off;
mod failures;
mod roles;
mod rotations;

use twinkey_stores::stage;

use twinkey_testkit::shop::Database;
use twinkey_testkit::shop::documentdb::{LocalMongo, MongoShop};

/// The pair's users are equal, and both sign in and may work.
async fn the_pair_is_equal(shop: &MongoShop) {
    let told = shop.told("app").await;
    assert!(told.is_some());
    assert_eq!(told, shop.told("app_clone").await);
    for label in [stage::CURRENT, stage::PREVIOUS] {
        let mut who = shop.signed_in(label).await;
        assert!(LocalMongo::may_work(&mut who).await, "{label}");
        // Dropped, it ends a little later, and would stand in the next run's way.
        who.shutdown().immediate(true).await;
    }
}

/// Who AWSCURRENT is.
async fn active(shop: &MongoShop) -> String {
    let (current, _) = shop.read(stage::CURRENT).await;
    current["username"].as_str().unwrap().to_owned()
}
