//! `twinkey secret rekey`: kills in the middle, and a worker that uses the store meanwhile.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use secrecy::ExposeSecret;
use tempfile::TempDir;
use twinkey_core::secret::Sensitive;
use twinkey_stores::local::LocalStore;
use twinkey_stores::served::keys_file;
use twinkey_stores::stage::{CURRENT, PREVIOUS};
use twinkey_stores::{SecretStore, Selector};

const SECRETS: usize = 120;
const KILLS: u32 = 20;

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// A store with two versions of each secret, and one access key.
    async fn new() -> Self {
        let fixture = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let config = "[secrets]\nbackend = \"local\"\n\
                      serve = { listen = \"127.0.0.1:1\", keys_file = \"keys.toml\" }\n";
        fs::write(fixture.folder.path().join("twinkey.toml"), config).unwrap();
        let store = fixture.store().await;
        for n in 0..SECRETS {
            for value in ["old", "new"] {
                let value = Sensitive::from(format!("{value} value {n}"));
                store.create_or_put(&format!("s{n}"), &value).await.unwrap();
            }
        }
        store.close().await;
        fixture.run(&["keys", "add", "orders", "--secret", "*"]);
        fixture
    }

    async fn store(&self) -> LocalStore {
        let file = |name: &str| self.folder.path().join(name);
        LocalStore::open(&file("secrets.db"), &file("secrets.key"))
            .await
            .unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinkey"));
        command.current_dir(self.folder.path()).args(args);
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn run(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn keys(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("secrets.key")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Opens the store as a new process does, and reads everything.
    async fn verify(&self) {
        let store = self.store().await;
        read_all(&store).await;
        let keys = keys_file::read(&self.folder.path().join("keys.toml"), &store).unwrap();
        assert!(!keys.is_empty());
        store.close().await;
    }
}

async fn read_all(store: &LocalStore) {
    for n in 0..SECRETS {
        for (label, value) in [(CURRENT, "new"), (PREVIOUS, "old")] {
            let read = store.get(&format!("s{n}"), Selector::Stage(label)).await;
            let read = read.unwrap_or_else(|error| panic!("{label} of s{n}: {error}"));
            assert_eq!(read.value.expose_secret(), format!("{value} value {n}"));
        }
    }
}

/// Reads all secrets and writes one, until it is stopped. Returns the last value that it wrote.
async fn use_store(store: LocalStore, stop: Arc<AtomicBool>) -> String {
    let mut last = String::new();
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        last = format!("written {n}");
        let value = Sensitive::from(last.clone());
        store.create_or_put("written", &value).await.unwrap();
        read_all(&store).await;
    }
    store.close().await;
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rekey_is_continued_while_a_worker_uses_the_store() {
    let fixture = Fixture::new().await;
    let stop = Arc::new(AtomicBool::new(false));
    let worker = tokio::spawn(use_store(fixture.store().await, Arc::clone(&stop)));

    let started = Instant::now();
    fixture.run(&["secret", "rekey"]);
    let duration = started.elapsed();
    let mut interrupted = 0;
    for kill in 0..KILLS {
        let before = fixture.keys();
        let mut rekey = fixture.command(&["secret", "rekey"]).spawn().unwrap();
        // The pauses are spread over the life of the process.
        tokio::time::sleep(duration * kill / KILLS).await;
        rekey.kill().unwrap();
        rekey.wait().unwrap();
        fixture.verify().await;
        let between = fixture.keys();
        let resumed = between.len() == 2;
        interrupted += u32::from(resumed);

        let printed = fixture.run(&["secret", "rekey"]);
        assert_eq!(printed.contains("interrupted rekey"), resumed, "{printed}");
        let after = fixture.keys();
        assert_eq!(after.len(), 1);
        assert_ne!(after, before);
        if resumed {
            assert_eq!(after[0], between[1], "the same new key");
        }
        fixture.verify().await;
    }
    assert!(interrupted > 0, "no kill hit the middle");
    assert!(!worker.is_finished(), "the worker failed");
    stop.store(true, Ordering::Relaxed);
    let last = worker.await.unwrap();
    let store = fixture.store().await;
    let read = store
        .get("written", Selector::Stage(CURRENT))
        .await
        .unwrap();
    assert_eq!(read.value.expose_secret(), &last);
    assert!(!fixture.folder.path().join("secrets.key.new").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_key_replaces_the_old_one() {
    let fixture = Fixture::new().await;
    let old = fixture.keys().remove(0);
    let path = |name: &str| fixture.folder.path().join(name);
    let key = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
    write_private(&path("given"), key);
    let rekey = ["secret", "rekey", "--new-key-file", "given"];
    let printed = fixture.run(&rekey);
    let values = SECRETS * 2;
    assert!(printed.contains(&format!("{values} values")), "{printed}");
    assert_eq!(fixture.keys(), [key]);
    fixture.verify().await;
    // The same key again, a missing file and a missing store change nothing.
    for (args, config) in [
        (&rekey[..], "key_file = \"secrets.key\""),
        (&["secret", "rekey", "--new-key-file", "none"], ""),
        (&["secret", "rekey"], "path = \"elsewhere.db\""),
    ] {
        let config = format!("[secrets]\nbackend = \"local\"\n{config}\n");
        fs::write(path("twinkey.toml"), config).unwrap();
        let output = fixture.output(args);
        assert!(!output.status.success(), "{output:?}");
        assert_eq!(fixture.keys(), [key]);
    }
    assert!(!path("elsewhere.db").exists());

    write_private(&path("secrets.key"), &old);
    fs::write(path("twinkey.toml"), "[secrets]\nbackend = \"local\"\n").unwrap();
    let output = fixture.output(&["secret", "get", "s1"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("is not the key"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_value_stays_damaged() {
    use sqlx::Connection;
    let fixture = Fixture::new().await;
    let url = format!("sqlite://{}/secrets.db", fixture.folder.path().display());
    let mut db = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for edit in [
        "UPDATE versions SET sealed = (SELECT sealed FROM versions WHERE seq = 2) WHERE seq = 4",
        "DELETE FROM labels WHERE secret LIKE '%:s2-%' AND label = 'AWSPREVIOUS'",
    ] {
        sqlx::query(edit).execute(&mut db).await.unwrap();
    }
    db.close().await.unwrap();
    let printed = fixture.run(&["secret", "rekey"]);
    assert!(printed.contains("2 damaged"), "{printed}");
    let store = fixture.store().await;
    for secret in ["s1", "s2"] {
        let error = store
            .get(secret, Selector::Stage(CURRENT))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
    assert_eq!(fixture.keys().len(), 1);
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, format!("{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
