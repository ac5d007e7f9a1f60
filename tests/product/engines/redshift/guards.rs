//! Refused users, locked pairs, probe secrets after a crash, and unknown clusters.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use twinkey_stores::{SecretStore, Selector, stage};

use super::fixture::{Deployment, FIRST, MASTER_SECRET, RedshiftFixture, text};
use super::rotations::{furnish, may_work};
use twinkey_testkit::aws::redshift::HOME;

async fn furnished_fixture() -> RedshiftFixture {
    let master = format!("master_secret = \"{MASTER_SECRET}\"");
    let fixture = RedshiftFixture::open(Deployment::Cluster, "", &master).await;
    furnish(&fixture).await;
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_is_not_rotated() {
    let fixture = furnished_fixture().await;
    fixture.dba(HOME, &["ALTER USER app CREATEUSER"]).await;
    let output = fixture.twinkey(&["rotate", "house"]).await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is a superuser"), "{said}");
    assert!(!fixture.has(stage::PENDING).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_locked_by_another_worker_waits_for_the_lease() {
    let fixture = furnished_fixture().await;
    fixture.good(&["rotate", "house"]).await;
    let taken =
        "INSERT INTO twinkey.locks VALUES ('app', 'another', getdate() + interval '1 minute')";
    fixture.dba(HOME, &[taken]).await;
    let output = fixture.twinkey(&["rotate", "house"]).await;
    let said = text(&output.stderr);
    assert!(said.contains("error[already_running]"), "{said}");
    let pending = fixture.read(stage::PENDING).await;
    assert_eq!(
        pending,
        fixture.read(stage::CURRENT).await,
        "nothing was begun"
    );
    // The lease expires.
    let past = "UPDATE twinkey.locks SET expires = getdate() - interval '1 second'";
    fixture.dba(HOME, &[past]).await;
    fixture.good(&["rotate", "house"]).await;
    may_work(&fixture, stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_secret_after_a_crash_is_replaced_and_deleted() {
    let fixture = furnished_fixture().await;
    let faults = fixture.stand_in.faults();
    faults.answer("DeleteSecret", 1, 400, "AccessDeniedException");
    let output = fixture.twinkey(&["rotate", "house"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let left = fixture.probe_secrets().await;
    assert_eq!(left.len(), 1, "{left:?}");
    fixture.good(&["rotate", "house"]).await;
    assert_eq!(fixture.probe_secrets().await, [""; 0]);
    may_work(&fixture, stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_secret_has_the_tag_of_the_managed_policy() {
    let fixture = furnished_fixture().await;
    let faults = fixture.stand_in.faults();
    faults.deny("DeleteSecret");
    fixture.twinkey(&["check", "house"]).await;
    let left = fixture.probe_secrets().await;
    let config = twinkey_testkit::aws::sdk_config(&fixture.stand_in.url());
    let client = aws_sdk_secretsmanager::Client::new(&config);
    let described = client.describe_secret().secret_id(&left[0]).send().await;
    let tags = described.unwrap().tags.unwrap();
    assert!(
        tags.iter()
            .any(|tag| tag.key() == Some("RedshiftDataFullAccess"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_unnamed_clusters_are_reported() {
    let fixture = furnished_fixture().await;
    let master = format!("master_secret = \"{MASTER_SECRET}\"");
    fixture.configure("cluster = \"elsewhere\"", &master);
    let output = fixture.twinkey(&["rotate", "house"]).await;
    let said = text(&output.stderr);
    assert!(
        said.contains("error[db_refused]") && said.contains("cluster elsewhere"),
        "{said}"
    );
    let store = fixture.stand_in.store();
    for secret in [super::fixture::SECRET, MASTER_SECRET] {
        let version = store.get(secret, Selector::Stage(stage::CURRENT)).await;
        let document = version.unwrap().value;
        let mut document: Json = serde_json::from_str(document.expose_secret()).unwrap();
        document
            .as_object_mut()
            .unwrap()
            .remove("dbClusterIdentifier");
        let document = SecretString::from(document.to_string());
        store.create_or_put(secret, &document).await.unwrap();
    }
    fixture.configure("", &master);
    let output = fixture.twinkey(&["rotate", "house"]).await;
    let said = text(&output.stderr);
    assert!(
        said.contains("neither the config nor the secret names it"),
        "{said}"
    );
    assert!(said.contains("dbClusterIdentifier"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn special_characters_in_names_are_quoted() {
    let fixture = furnished_fixture().await;
    let name = "x\"'; DROP TABLE shop.orders; --\\";
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    fixture
        .dba(
            HOME,
            &[
                &format!("CREATE USER {quoted} PASSWORD '{FIRST}'"),
                &format!("GRANT USAGE ON SCHEMA shop TO {quoted}"),
                &format!("GRANT SELECT ON TABLE shop.orders TO {quoted}"),
            ],
        )
        .await;
    let mut document = fixture.read(stage::CURRENT).await;
    document["username"] = name.into();
    let document = SecretString::from(document.to_string());
    let store = fixture.stand_in.store();
    store
        .create_or_put(super::fixture::SECRET, &document)
        .await
        .unwrap();
    for _ in 0..3 {
        fixture.good(&["rotate", "house"]).await;
        let select = ["SELECT id FROM shop.orders"];
        fixture
            .as_user(stage::CURRENT, HOME, &select)
            .await
            .unwrap();
    }
}
