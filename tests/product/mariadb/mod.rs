//! The product on MariaDB. What is the same on every engine is in the files beside this folder.

mod accounts;
mod cut_off;
mod failures;
mod grants;
mod relay;
mod rotations;

use twinkey_stores::stage;

use twinkey_testkit::shop::mariadb::{MariadbShop, accounts, hashes};
use twinkey_testkit::shop::{FIRST, Plan};

/// A shop whose user has an account for every host, for 10.*, and for the host that the tests come
/// from, each with grants of its own.
async fn with_three_accounts(plan: Plan) -> MariadbShop {
    let shop = MariadbShop::on_mariadb(plan).await;
    for (host, grants) in [
        ("10.%", "UPDATE ON shop.orders"),
        (
            "localhost",
            "SELECT, INSERT, CREATE, DELETE ON shop.* TO app@localhost; GRANT SELECT (note) ON shop.orders",
        ),
    ] {
        let as_first = format!("CREATE USER app@`{host}` IDENTIFIED BY '{FIRST}'");
        shop.sql(&[&as_first, &format!("GRANT {grants} TO app@`{host}`")])
            .await;
    }
    shop
}

/// The pair's users are equal, account by account, and both sign in.
async fn the_pair_is_equal(shop: &MariadbShop) {
    assert_eq!(
        accounts(shop, "app").await,
        accounts(shop, "app_clone").await
    );
    shop.signed_in(stage::CURRENT).await;
    shop.signed_in(stage::PREVIOUS).await;
}

/// All accounts of the current user hold one password.
async fn one_password_is_on_every_account(shop: &MariadbShop, count: usize) {
    let (current, _) = shop.read(stage::CURRENT).await;
    let hashes = hashes(shop, current["username"].as_str().unwrap()).await;
    assert_eq!(hashes.len(), count, "{:?}", hashes.keys());
    let wanted = hash_of(shop, current["password"].as_str().unwrap()).await;
    for (host, hash) in &hashes {
        assert!(
            *hash == wanted,
            "the account at {host} holds another password"
        );
    }
}

/// A password as `mysql_native_password` stores it, made by the server.
async fn hash_of(shop: &MariadbShop, password: &str) -> String {
    sqlx::query_scalar("SELECT PASSWORD(?)")
        .bind(password)
        .fetch_one(&mut shop.root("mysql").await)
        .await
        .unwrap()
}
