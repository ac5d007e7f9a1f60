//! Whom nobody rotates, who waits for whom, and what a crash has left.

use secrecy::SecretString;
use twinkey_stores::stage;

use super::house::{FIRST, House, MASTER_SECRET, On, text};
use super::rotations::{furnish, may_work};
use twinkey_testkit::aws::redshift::HOME;

async fn a_house() -> House {
    let master = format!("master_secret = \"{MASTER_SECRET}\"");
    let house = House::open(On::Cluster, "", &master).await;
    furnish(&house).await;
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_is_not_rotated() {
    let house = a_house().await;
    house.dba(HOME, &["ALTER USER app CREATEUSER"]).await;
    let output = house.twinkey(&["rotate", "house"]).await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is a superuser"), "{said}");
    assert!(!house.has(stage::PENDING).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_another_worker_works_on_is_left_alone_until_its_lease_runs_out() {
    let house = a_house().await;
    house.good(&["rotate", "house"]).await;
    let taken =
        "INSERT INTO twinkey.locks VALUES ('app', 'another', getdate() + interval '1 hour')";
    house.dba(HOME, &[taken]).await;
    let output = house.twinkey(&["rotate", "house"]).await;
    let said = text(&output.stderr);
    assert!(said.contains("error[already_running]"), "{said}");
    let pending = house.read(stage::PENDING).await;
    assert_eq!(
        pending,
        house.read(stage::CURRENT).await,
        "nothing was begun"
    );
    // It runs out.
    let past = "UPDATE twinkey.locks SET expires = getdate() - interval '1 second'";
    house.dba(HOME, &[past]).await;
    house.good(&["rotate", "house"]).await;
    may_work(&house, stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_secret_that_a_crash_left_is_written_over_and_deleted() {
    let house = a_house().await;
    let faults = house.stand_in.faults();
    faults.answer("DeleteSecret", 1, 400, "AccessDeniedException");
    let output = house.twinkey(&["rotate", "house"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let left = house.probe_secrets().await;
    assert_eq!(left.len(), 1, "{left:?}");
    house.good(&["rotate", "house"]).await;
    assert_eq!(house.probe_secrets().await, [""; 0]);
    may_work(&house, stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_secret_has_the_tag_that_the_managed_policy_asks_for() {
    let house = a_house().await;
    let faults = house.stand_in.faults();
    faults.deny("DeleteSecret");
    house.twinkey(&["check", "house"]).await;
    let left = house.probe_secrets().await;
    let config = twinkey_testkit::aws::sdk_config(&house.stand_in.url());
    let client = aws_sdk_secretsmanager::Client::new(&config);
    let described = client.describe_secret().secret_id(&left[0]).send().await;
    let tags = described.unwrap().tags.unwrap();
    assert!(
        tags.iter()
            .any(|tag| tag.key() == Some("RedshiftDataFullAccess"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_nobody_names_and_one_that_is_not_there_are_told() {
    let house = a_house().await;
    let master = format!("master_secret = \"{MASTER_SECRET}\"");
    house.configure("cluster = \"elsewhere\"", &master);
    let output = house.twinkey(&["rotate", "house"]).await;
    let said = text(&output.stderr);
    assert!(
        said.contains("error[db_refused]") && said.contains("cluster elsewhere"),
        "{said}"
    );
    let mut document = house.read(stage::CURRENT).await;
    document
        .as_object_mut()
        .unwrap()
        .remove("dbClusterIdentifier");
    let document = SecretString::from(document.to_string());
    let store = house.stand_in.store();
    store
        .create_or_put(super::house::SECRET, &document)
        .await
        .unwrap();
    house.configure("", &master);
    let output = house.twinkey(&["rotate", "house"]).await;
    let said = text(&output.stderr);
    assert!(
        said.contains("neither the config nor the secret names it"),
        "{said}"
    );
    assert!(said.contains("dbClusterIdentifier"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_more_than_a_name_elsewhere_is_only_a_name() {
    let house = a_house().await;
    let name = "x\"'; DROP TABLE shop.orders; --\\";
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    house
        .dba(
            HOME,
            &[
                &format!("CREATE USER {quoted} PASSWORD '{FIRST}'"),
                &format!("GRANT USAGE ON SCHEMA shop TO {quoted}"),
                &format!("GRANT SELECT ON TABLE shop.orders TO {quoted}"),
            ],
        )
        .await;
    let mut document = house.read(stage::CURRENT).await;
    document["username"] = name.into();
    let document = SecretString::from(document.to_string());
    let store = house.stand_in.store();
    store
        .create_or_put(super::house::SECRET, &document)
        .await
        .unwrap();
    for _ in 0..3 {
        house.good(&["rotate", "house"]).await;
        let select = ["SELECT id FROM shop.orders"];
        house.as_user(stage::CURRENT, HOME, &select).await.unwrap();
    }
}
