//! Properties of the embedded store alone: files, key, several processes, pruning.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::ExposeSecret;
use twinkey_stores::local::LocalStore;
use twinkey_stores::stage::{CURRENT, PENDING};
use twinkey_stores::{SecretStore, Selector, StoreError, VersionId};

use crate::subject::secret;

async fn open(folder: &Path) -> Result<LocalStore, StoreError> {
    LocalStore::open(&folder.join("secrets.db"), &folder.join("secrets.key")).await
}

#[tokio::test]
async fn a_store_opens_again_with_its_own_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("secrets.key");
    let store = open(folder.path()).await.unwrap();
    store.create_or_put("a", &secret("hunter2")).await.unwrap();
    drop(store);

    let store = open(folder.path()).await.unwrap();
    let read = store.get("a", Selector::Stage(CURRENT)).await.unwrap();
    assert_eq!(read.value.expose_secret(), "hunter2");
    drop(store);

    let own = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let error = open(folder.path()).await.err().unwrap();
    assert!(error.to_string().contains("cannot be read"), "{error}");
    assert!(!key.exists(), "no new key is made for an old file");

    fs::write(&key, "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let error = open(folder.path()).await.err().unwrap();
    assert!(error.to_string().contains("is not the key"), "{error}");

    fs::write(&key, own).unwrap();
    open(folder.path()).await.unwrap();
}

#[tokio::test]
async fn no_value_is_in_the_files_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    store
        .create_or_put("a", &secret("hunter2-hunter2"))
        .await
        .unwrap();
    store.close().await;
    let mut bytes = 0;
    for file in fs::read_dir(folder.path()).unwrap() {
        let content = fs::read(file.unwrap().path()).unwrap();
        bytes += content.len();
        assert!(!content.windows(7).any(|w| w == b"hunter2"));
    }
    assert!(bytes > 4096);
}

#[tokio::test]
async fn one_of_many_concurrent_promotions_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let mut stores = Vec::new();
    // Opened at once, on a folder without a file or a key.
    let opened = (0..4).map(|_| {
        let folder = folder.path().to_owned();
        tokio::spawn(async move { open(&folder).await.unwrap() })
    });
    for store in opened.collect::<Vec<_>>() {
        stores.push(std::sync::Arc::new(store.await.unwrap()));
    }
    let first = stores[0]
        .create_or_put("a", &secret("first"))
        .await
        .unwrap();
    let racers = stores.iter().enumerate().map(|(n, store)| {
        let (store, first) = (std::sync::Arc::clone(store), first.clone());
        tokio::spawn(async move {
            let id = VersionId(format!("{n:032}"));
            store.put("a", &id, &secret("next"), PENDING).await.unwrap();
            store
                .move_stage("a", CURRENT, Some(&first), Some(&id))
                .await
        })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert!(matches!(error, StoreError::StageMoved { .. }), "{error}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(stores[1].versions("a").await.unwrap().len(), 5);
}

#[tokio::test]
async fn keeps_twenty_versions_and_all_labelled_ones() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let first = store.create_or_put("a", &secret("0")).await.unwrap();
    store
        .move_stage("a", "keep", None, Some(&first))
        .await
        .unwrap();
    for n in 1..30 {
        store
            .create_or_put("a", &secret(&n.to_string()))
            .await
            .unwrap();
    }
    let versions = store.versions("a").await.unwrap();
    assert_eq!(versions.len(), 21);
    assert_eq!(versions[0].stages, [CURRENT]);
    assert_eq!(versions[20].id, first);
    assert_eq!(store.names().await.unwrap(), ["a"]);
}

#[tokio::test]
async fn a_value_moved_into_another_row_does_not_open() {
    use sqlx::Connection;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    store.create_or_put("a", &secret("of a")).await.unwrap();
    store.create_or_put("b", &secret("of b")).await.unwrap();
    let url = format!("sqlite://{}", folder.path().join("secrets.db").display());
    let mut db = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("UPDATE versions SET sealed = (SELECT v.sealed FROM versions v LIMIT 1)")
        .execute(&mut db)
        .await
        .unwrap();
    store.get("a", Selector::Stage(CURRENT)).await.unwrap();
    let error = store.get("b", Selector::Stage(CURRENT)).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}
