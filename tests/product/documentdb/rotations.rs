//! Rotations in a row: whatever the active user is made of, its twin is made of.

use secrecy::SecretString;
use serde_json::Value as Json;
use twinkey_stores::stage;

use super::{active, the_pair_is_equal};
use twinkey_testkit::pki::Pki;
use twinkey_testkit::shop::documentdb::MongoShop;
use twinkey_testkit::shop::{Backend, MASTER_SECRET, Plan, SECRET};

fn without_credentials(document: &Json) -> String {
    let mut fields = document.as_object().unwrap().clone();
    fields.remove("username");
    fields.remove("password");
    serde_json::to_string(&fields).unwrap()
}

async fn three_rotations(shop: &MongoShop) {
    let wanted = shop.told("app").await;
    for _ in 0..3 {
        let (before, replaced) = shop.read(stage::CURRENT).await;
        shop.good(&["rotate", "shop"]).await;
        assert_eq!(shop.read(stage::PREVIOUS).await.1, replaced);
        let (after, _) = shop.read(stage::CURRENT).await;
        assert_eq!(without_credentials(&after), without_credentials(&before));
        assert_ne!(after["username"], before["username"]);
        assert_ne!(after["password"], before["password"]);
        the_pair_is_equal(shop).await;
        assert_eq!(shop.told("app_clone").await, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_in_a_row_keep_the_pair_equal() {
    three_rotations(&MongoShop::on_mongo(Plan::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_in_a_row_keep_the_pair_equal_on_the_embedded_store() {
    three_rotations(&MongoShop::on_mongo_with(Plan::default(), Backend::Local).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_in_a_row_keep_the_pair_equal_over_tls_that_is_verified_in_full() {
    let pki = Pki::new();
    let shop = MongoShop::on_mongo(Plan {
        rotation: format!(
            "tls = {{ mode = \"verify-full\", ca_file = \"{}\" }}",
            pki.ca_file.display()
        ),
        tls: Some(pki.server.clone()),
        ..Plan::default()
    })
    .await;
    // As the certificate calls it.
    for (name, user, password) in [
        (SECRET, "app", twinkey_testkit::shop::FIRST.to_owned()),
        (MASTER_SECRET, "rdsmaster", plain(&shop.master)),
    ] {
        let mut document = shop.document(user, &password);
        document["host"] = "localhost".into();
        shop.put(name, &document).await;
    }
    three_rotations(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_master_with_a_name_and_a_password_only_takes_its_host_from_the_secret() {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    let managed = serde_json::json!({ "username": "rdsmaster", "password": plain(&shop.master) });
    shop.put(MASTER_SECRET, &managed).await;
    shop.good(&["rotate", "shop"]).await;
    the_pair_is_equal(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flip_is_taken_back_by_a_rollback() {
    let shop = MongoShop::on_mongo(Plan::default()).await;
    shop.good(&["rotate", "shop"]).await;
    assert_eq!(active(&shop).await, "app_clone");
    shop.good(&["rollback", "shop"]).await;
    assert_eq!(active(&shop).await, "app");
    shop.signed_in(stage::CURRENT).await;
    shop.good(&["rotate", "shop"]).await;
    the_pair_is_equal(&shop).await;
}

fn plain(password: &SecretString) -> String {
    secrecy::ExposeSecret::expose_secret(password).to_owned()
}
