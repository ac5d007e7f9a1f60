//! Labels that another program edits in the embedded store's file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use secrecy::ExposeSecret;
use sqlx::migrate::Migrator;
use sqlx::{Connection, SqliteConnection};
use twinkey_core::code::{Code, Diagnostic};
use twinkey_stores::local::LocalStore;
use twinkey_stores::stage::{CURRENT, PREVIOUS};
use twinkey_stores::{SecretStore, Selector, StoreError, VersionId};

use crate::subject::secret;

async fn open(folder: &Path) -> Result<LocalStore, StoreError> {
    LocalStore::open(&folder.join("secrets.db"), &folder.join("secrets.key")).await
}

async fn connect(folder: &Path) -> SqliteConnection {
    let url = format!("sqlite://{}?mode=rwc", folder.join("secrets.db").display());
    SqliteConnection::connect(&url).await.unwrap()
}

async fn execute(folder: &Path, sql: &'static str) {
    let mut db = connect(folder).await;
    let changed = sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
    assert!(changed.rows_affected() > 0, "{sql}");
    db.close().await.unwrap();
}

async fn read(store: &LocalStore, name: &str, label: &str) -> Result<String, StoreError> {
    let version = store.get(name, Selector::Stage(label)).await?;
    Ok(version.value.expose_secret().to_owned())
}

/// Two secrets with two versions each.
async fn filled(folder: &Path) -> LocalStore {
    let store = open(folder).await.unwrap();
    for name in ["a", "b"] {
        for value in ["old", "new"] {
            let value = secret(&format!("{value} {name}"));
            store.create_or_put(name, &value).await.unwrap();
        }
    }
    store
}

#[track_caller]
fn assert_damaged(error: &StoreError) {
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(error.code(), Code::StoreUnavailable);
    assert!(!error.retryable());
    assert!(error.hint().contains("twinkey secret put"));
}

#[tokio::test]
async fn refuses_every_edit_of_the_labels() {
    for edit in [
        "UPDATE labels SET version = (SELECT l.version FROM labels l WHERE l.label = 'AWSPREVIOUS' \
          AND l.secret = labels.secret) WHERE secret LIKE '%:a-%' AND label = 'AWSCURRENT'",
        "DELETE FROM labels WHERE secret LIKE '%:a-%' AND label = 'AWSPREVIOUS'",
        "INSERT INTO labels SELECT secret, 'blue', version FROM labels \
          WHERE secret LIKE '%:a-%' AND label = 'AWSCURRENT'",
        "UPDATE secrets SET name = 'tmp' WHERE name = 'a'; UPDATE secrets SET name = 'a' \
          WHERE name = 'b'",
        "UPDATE secrets SET label_seal = NULL WHERE name = 'a'",
        "UPDATE secrets SET label_seal = (SELECT label_seal FROM secrets WHERE name = 'b') \
          WHERE name = 'a'",
        "DELETE FROM labels WHERE secret LIKE '%:a-%'; \
          DELETE FROM versions WHERE secret LIKE '%:a-%'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path()).await;
        execute(folder.path(), edit).await;
        for store in [&store, &open(folder.path()).await.unwrap()] {
            assert_damaged(&read(store, "a", CURRENT).await.unwrap_err());
            assert_damaged(&store.describe("a").await.unwrap_err());
            assert_damaged(&store.versions("a").await.unwrap_err());
            let id = VersionId("0".repeat(32));
            let value = secret("x");
            assert_damaged(&store.put("a", &id, &value, CURRENT).await.unwrap_err());
            let to = Some(&id);
            assert_damaged(&store.move_stage("a", CURRENT, None, to).await.unwrap_err());
            assert!(store.names().await.unwrap().contains(&"a".to_owned()));
        }
    }
}

#[tokio::test]
async fn other_secrets_stay_readable_beside_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    execute(
        folder.path(),
        "UPDATE secrets SET label_seal = NULL WHERE name = 'a'",
    )
    .await;
    assert_eq!(read(&store, "b", CURRENT).await.unwrap(), "new b");
}

#[tokio::test]
async fn a_new_value_by_hand_discards_edited_labels() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    execute(
        folder.path(),
        "INSERT INTO labels SELECT secret, 'blue', version FROM labels WHERE label = 'AWSPREVIOUS'",
    )
    .await;
    assert_damaged(&read(&store, "a", CURRENT).await.unwrap_err());
    let id = store.create_or_put("a", &secret("third")).await.unwrap();
    assert_eq!(read(&store, "a", CURRENT).await.unwrap(), "third");
    let labels = store.describe("a").await.unwrap().versions;
    assert_eq!(labels.len(), 1);
    assert_eq!(labels[&id], [CURRENT]);
    assert_damaged(&read(&store, "b", CURRENT).await.unwrap_err());
}

#[tokio::test]
async fn seals_stay_valid_through_pruning() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    for n in 0..30 {
        let value = secret(&n.to_string());
        store.create_or_put("a", &value).await.unwrap();
        assert_eq!(read(&store, "a", CURRENT).await.unwrap(), n.to_string());
    }
}

/// A file as version 0.1 wrote it: without the third migration, and with its sealed text.
async fn write_file_of_0_1(folder: &Path) {
    let migrations = folder.join("migrations");
    fs::create_dir(&migrations).unwrap();
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/store");
    for name in ["0001_secrets.sql", "0002_kms_key_id.sql"] {
        fs::copy(all.join(name), migrations.join(name)).unwrap();
    }
    let key = folder.join("secrets.key");
    fs::write(&key, "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let mut db = connect(folder).await;
    let migrator = Migrator::new(&*migrations).await.unwrap();
    migrator.run(&mut db).await.unwrap();

    sqlx::query("INSERT INTO key_check (id, sealed) VALUES (1, ?1)")
        .bind(sealed_by_0_1("twinkey", "key check", "twinkey"))
        .execute(&mut db)
        .await
        .unwrap();
    let arn = "arn:aws:secretsmanager:local:000000000000:secret:a-a1B2c3";
    sqlx::query("INSERT INTO secrets (arn, name, created, changed) VALUES (?1, 'a', 1, 1)")
        .bind(arn)
        .execute(&mut db)
        .await
        .unwrap();
    for (n, label) in [(1, PREVIOUS), (2, CURRENT)] {
        let id = format!("{n:032}");
        sqlx::query(
            "INSERT INTO versions (secret, id, is_text, sealed, created) VALUES (?, ?, 1, ?, 1)",
        )
        .bind(arn)
        .bind(&id)
        .bind(sealed_by_0_1(arn, &id, &format!("value {n}")))
        .execute(&mut db)
        .await
        .unwrap();
        sqlx::query("INSERT INTO labels (secret, label, version) VALUES (?, ?, ?)")
            .bind(arn)
            .bind(label)
            .bind(&id)
            .execute(&mut db)
            .await
            .unwrap();
    }
    db.close().await.unwrap();
}

fn sealed_by_0_1(arn: &str, version: &str, value: &str) -> Vec<u8> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, &[b'A'; 32]).unwrap();
    let aad = Aad::from(format!("{}:{arn}{version}", arn.len()));
    let mut text = value.as_bytes().to_vec();
    let nonce = key.seal_in_place_append_tag(aad, &mut text).unwrap();
    [&[1], &nonce.as_ref()[..], &text].concat()
}

#[tokio::test]
async fn a_file_of_0_1_is_sealed_once() {
    let folder = tempfile::tempdir().unwrap();
    write_file_of_0_1(folder.path()).await;
    for _ in 0..2 {
        let store = open(folder.path()).await.unwrap();
        assert_eq!(read(&store, "a", CURRENT).await.unwrap(), "value 2");
        assert_eq!(read(&store, "a", PREVIOUS).await.unwrap(), "value 1");
        store.close().await;
    }
    execute(folder.path(), "UPDATE secrets SET label_seal = NULL").await;
    let store = open(folder.path()).await.unwrap();
    assert_damaged(&read(&store, "a", CURRENT).await.unwrap_err());
}

#[tokio::test]
async fn a_deleted_record_of_the_sealing_seals_nothing() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await.close().await;
    execute(
        folder.path(),
        "UPDATE secrets SET label_seal = NULL; DELETE FROM key_check",
    )
    .await;
    let store = open(folder.path()).await.unwrap();
    assert_damaged(&read(&store, "a", CURRENT).await.unwrap_err());
}

#[tokio::test]
async fn an_older_record_of_the_sealing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_file_of_0_1(folder.path()).await;
    open(folder.path()).await.unwrap().close().await;
    let mut db = connect(folder.path()).await;
    sqlx::query("UPDATE key_check SET sealed = ?1")
        .bind(sealed_by_0_1("twinkey", "key check", "twinkey"))
        .execute(&mut db)
        .await
        .unwrap();
    assert_damaged(&open(folder.path()).await.err().unwrap());
}
