//! What is stuck is explained, and put right only with `--apply`.

use secrecy::SecretString;
use serde_json::{Value as Json, json};
use twinkey_stores::{SecretStore, VersionId, stage};

use twinkey_testkit::shop::{Database, Plan, SECRET, Shop};

/// What `repair` finds, which must change nothing.
async fn found<D: Database>(shop: &Shop<D>) -> Json {
    let before = shop.state().await;
    let told = shop.good(&["repair", "shop", "--json"]).await;
    assert_eq!(shop.state().await, before, "without --apply it only looks");
    serde_json::from_str(&told).unwrap()
}

async fn labelled<D: Database>(shop: &Shop<D>, label: &str) -> bool {
    let labels = shop.labels().await;
    labels.iter().any(|(_, on)| on.iter().any(|l| l == label))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_order_needs_no_repair_and_none_is_done() {
    let shop = Shop::open(Plan::default()).await;
    let new = found(&shop).await;
    assert_eq!(new["pending"], "nowhere");
    assert_eq!(new["standby"], "missing");
    shop.good(&["rotate", "shop"]).await;
    let rotated = found(&shop).await;
    assert_eq!(rotated["pending"], "on_current");
    assert_eq!(rotated["standby"], "equal");
    assert_eq!(rotated["remedy"], "nothing");
    let before = shop.state().await;
    let said = shop.good(&["repair", "shop", "--apply"]).await;
    assert!(said.contains("nothing is to be done"), "{said}");
    assert_eq!(shop.state().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_awspending_is_taken_off_so_that_runs_go_on() {
    let shop = Shop::open(Plan::default()).await;
    let theirs = VersionId("somebody-elses-version-0123456789".into());
    let value = SecretString::from(json!({"username": "other", "password": "x"}).to_string());
    let store = shop.stand_in().store();
    let put = store.put(SECRET, &theirs, &value, stage::PENDING).await;
    put.unwrap();
    shop.refuses(&["rotate", "shop"], "pending_conflict").await;
    let stuck = found(&shop).await;
    assert_eq!(stuck["pending"], "foreign");
    assert_eq!(stuck["pending_version"], theirs.0);
    assert_eq!(stuck["remedy"], "drop_pending");
    let done = shop.good(&["repair", "shop", "--apply", "--json"]).await;
    let done: Json = serde_json::from_str(&done).unwrap();
    assert_eq!(done["applied"], true);
    assert!(!labelled(&shop, stage::PENDING).await);
    shop.good(&["rotate", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cut_off_before_its_flip_is_finished_with_the_password_that_it_had_made() {
    let shop = Shop::open(Plan::default()).await;
    let faults = shop.stand_in().faults();
    faults.answer("UpdateSecretVersionStage", 1, 400, "AccessDeniedException");
    shop.fails(&["rotate", "shop"], 1, "store_denied").await;
    let (pending, _) = shop.read(stage::PENDING).await;
    let stuck = found(&shop).await;
    assert_eq!(stuck["pending"], "standbys");
    assert_eq!(stuck["remedy"], "rotate");
    let said = shop.good(&["repair", "shop", "--apply"]).await;
    assert!(said.contains("app -> app_clone"), "{said}");
    let (current, _) = shop.read(stage::CURRENT).await;
    assert_eq!(current, pending, "the same password, and no other");
    shop.signed_in(stage::CURRENT).await;
    let history = shop.good(&["history", "shop"]).await;
    assert!(history.contains("twinkey repair"), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_a_rollback_left_on_awsprevious_is_taken_off() {
    let shop = Shop::open(Plan::default()).await;
    shop.good(&["rotate", "shop"]).await;
    shop.good(&["rollback", "shop"]).await;
    let left = found(&shop).await;
    assert_eq!(left["pending"], "on_previous");
    shop.good(&["repair", "shop", "--apply"]).await;
    assert!(!labelled(&shop, stage::PENDING).await);
    shop.signed_in(stage::CURRENT).await;
    shop.signed_in(stage::PREVIOUS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_another_rotator_is_switched_on_nothing_is_repaired() {
    let shop = Shop::open(Plan::default()).await;
    let rotated = json!({"RotationEnabled": true});
    let faults = shop.stand_in().faults();
    faults.patch_description(SECRET, rotated);
    shop.refuses(&["repair", "shop", "--apply"], "managed_elsewhere")
        .await;
}
