//! Stores under test, and their secrets.

use std::path::{Path, PathBuf};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::primitives::Blob;
use secrecy::{ExposeSecret, SecretString};
use sqlx::Connection;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::local::LocalStore;
use twinkey_stores::stage::PENDING;
use twinkey_stores::{Description, SecretStore, Selector, StoreError, VersionId};
use uuid::Uuid;

use twinkey_testkit::aws::sdk_config;

/// A store under test, and a way to create its secrets.
pub struct Subject {
    pub store: Box<dyn SecretStore>,
    seeder: Seeder,
}

enum Seeder {
    Local(Box<LocalFile>),
    Aws(Client),
}

struct LocalFile {
    store: LocalStore,
    path: PathBuf,
}

impl Subject {
    /// The embedded store. A second instance on the same file, as of a command, creates the
    /// secrets.
    pub async fn local(folder: &Path) -> Self {
        let open = || async {
            let (path, key) = (folder.join("secrets.db"), folder.join("secrets.key"));
            LocalStore::open(&path, &key).await.unwrap()
        };
        Self {
            store: Box::new(open().await),
            seeder: Seeder::Local(Box::new(LocalFile {
                store: open().await,
                path: folder.join("secrets.db"),
            })),
        }
    }

    pub fn aws(url: &str) -> Self {
        Self::of_config(&sdk_config(url))
    }

    pub fn of_config(config: &SdkConfig) -> Self {
        Self {
            store: Box::new(AwsStore::from_config(config)),
            seeder: Seeder::Aws(Client::new(config)),
        }
    }

    pub async fn seed(&self, value: &str) -> Seeded<'_> {
        let name = format!("prod/{}", Uuid::new_v4());
        let id = match &self.seeder {
            Seeder::Local(file) => {
                let seeded = file.store.create_or_put(&name, &secret(value)).await;
                seeded.unwrap()
            }
            Seeder::Aws(client) => {
                let call = client.create_secret().name(&name).secret_string(value);
                VersionId(call.send().await.unwrap().version_id.unwrap())
            }
        };
        Seeded {
            subject: self,
            name,
            first: id,
        }
    }
}

/// A new secret with one version.
pub struct Seeded<'a> {
    subject: &'a Subject,
    pub name: String,
    pub first: VersionId,
}

impl Seeded<'_> {
    pub async fn put(&self, id: &VersionId, value: &str, stage: &str) -> Result<(), StoreError> {
        let store = &self.subject.store;
        store.put(&self.name, id, &secret(value), stage).await
    }

    pub async fn pending(&self, value: &str) -> VersionId {
        let id = new_id();
        self.put(&id, value, PENDING).await.unwrap();
        id
    }

    pub async fn shift(
        &self,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        let store = &self.subject.store;
        store.move_stage(&self.name, stage, from, to).await
    }

    pub async fn describe(&self) -> Description {
        self.subject.store.describe(&self.name).await.unwrap()
    }

    pub async fn value(&self, which: Selector<'_>) -> String {
        let read = self.subject.store.get(&self.name, which).await.unwrap();
        read.value.expose_secret().to_owned()
    }

    pub async fn refused(&self, which: Selector<'_>) -> StoreError {
        self.subject.store.get(&self.name, which).await.unwrap_err()
    }
}

pub fn secret(value: &str) -> SecretString {
    SecretString::from(value.to_owned())
}

pub fn new_id() -> VersionId {
    VersionId(Uuid::new_v4().to_string())
}

impl Subject {
    pub async fn mark_deleted(&self, name: &str) {
        match &self.seeder {
            Seeder::Local(file) => {
                // Only the API deletes secrets; this writes its effect into the file.
                let url = format!("sqlite://{}", file.path.display());
                let mut db = sqlx::SqliteConnection::connect(&url).await.unwrap();
                sqlx::query(
                    "UPDATE secrets SET deleted = 1, due = 9000000000000000 WHERE name = ?1",
                )
                .bind(name)
                .execute(&mut db)
                .await
                .unwrap();
            }
            Seeder::Aws(client) => {
                let call = client.delete_secret().secret_id(name);
                call.send().await.unwrap();
            }
        }
    }

    /// A binary secret. `None` for the embedded store, whose API alone accepts bytes; the run on
    /// the stand-in covers that.
    pub async fn seed_bytes(&self, bytes: &[u8]) -> Option<String> {
        let Seeder::Aws(client) = &self.seeder else {
            return None;
        };
        let name = format!("prod/{}", Uuid::new_v4());
        let blob = Blob::new(bytes);
        let call = client.create_secret().name(&name).secret_binary(blob);
        call.send().await.unwrap();
        Some(name)
    }
}
