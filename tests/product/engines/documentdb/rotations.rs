//! Consecutive rotations on DocumentDB.

use secrecy::SecretString;
use twinkey_stores::{SecretStore, stage};

use super::fixture::DocumentdbFixture;
use super::{active, assert_pair_is_equal};
use crate::engines::pair::{PairFixture, assert_three_rotations, pair_tests};
use twinkey_testkit::aws::rds::RdsDatabase;
use twinkey_testkit::environment::documentdb::MongoEnvironment;
use twinkey_testkit::environment::{Backend, Database, MASTER_SECRET, SECRET, Setup, StandIn};
use twinkey_testkit::pki::Pki;

pair_tests!(
    DocumentdbFixture:
    three_rotations_keep_the_pair_equal
    three_rotations_in_the_embedded_store_keep_the_pair_equal
);

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_over_verified_tls_keep_the_pair_equal() {
    let pki = Pki::new();
    let plan = Setup {
        rotation: format!(
            "tls = {{ mode = \"verify-full\", ca_file = \"{}\" }}",
            pki.ca_file.display()
        ),
        tls: Some(pki.server.clone()),
        ..Setup::default()
    };
    let backend = Backend::StandIn(StandIn::start().await);
    let fixture = DocumentdbFixture::start(plan, backend).await;
    let env = fixture.env();
    // The certificate contains this host name.
    for (name, user, password) in [
        (
            SECRET,
            "app",
            twinkey_testkit::environment::FIRST.to_owned(),
        ),
        (MASTER_SECRET, "rdsmaster", plain(&env.master)),
    ] {
        let mut document = env.document(user, &password);
        document["host"] = "localhost".into();
        env.put(name, &document).await;
    }
    assert_three_rotations(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_master_signs_in_at_the_cluster_that_rds_names() {
    let env = MongoEnvironment::on_mongo(Setup::default()).await;
    let managed = serde_json::json!({ "username": "rdsmaster", "password": plain(&env.master) });
    env.put(MASTER_SECRET, &managed).await;
    env.refuses(&["rotate", "shop"], "host_untrusted").await;
    let stand_in = env.stand_in();
    let master = stand_in.store().describe(MASTER_SECRET).await.unwrap();
    let cluster = RdsDatabase {
        endpoint: Some(("127.0.0.1".into(), env.server.port())),
        reader: None,
        master_secret: Some(master.arn),
        copies: Vec::new(),
    };
    stand_in.rds().add_cluster("shop", cluster);
    env.run_ok(&["rotate", "shop"]).await;
    assert_pair_is_equal(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_reverts_a_flip() {
    let env = MongoEnvironment::on_mongo(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    assert_eq!(active(&env).await, "app_clone");
    env.run_ok(&["rollback", "shop"]).await;
    assert_eq!(active(&env).await, "app");
    env.signed_in(stage::CURRENT).await;
    env.run_ok(&["rotate", "shop"]).await;
    assert_pair_is_equal(&env).await;
}

fn plain(password: &SecretString) -> String {
    secrecy::ExposeSecret::expose_secret(password).to_owned()
}
