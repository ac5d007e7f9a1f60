use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::local::api::{Action, Caller};

struct Fixture {
    folder: TempDir,
    store: LocalStore,
}

impl Fixture {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let store = LocalStore::open(&path("s.db"), &path("s.key")).await;
        Self {
            store: store.unwrap(),
            folder,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    fn add(&self, name: &str, secret: &str) -> NewKey {
        let new = NewKey::draw().unwrap();
        let grant = KeyGrant {
            name: name.into(),
            actions: vec!["GetSecretValue".into()],
            secrets: vec![secret.into()],
        };
        add(
            &self.file(),
            &self.store,
            &new,
            &grant,
            DateTime::UNIX_EPOCH,
        )
        .unwrap();
        new
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn refused(&self) -> String {
        read(&self.file(), &self.store).unwrap_err().to_string()
    }
}

#[tokio::test]
async fn an_added_key_has_its_permissions_until_it_is_removed() {
    let fixture = Fixture::open().await;
    assert!(read(&fixture.file(), &fixture.store).unwrap().is_empty());
    let (one, other) = (fixture.add("orders", "prod/*"), fixture.add("ci", "dev/*"));
    let keys = read(&fixture.file(), &fixture.store).unwrap();
    let key = keys.by_id(&one.id).unwrap();
    assert_eq!((key.name(), keys.len()), ("orders", 2));
    assert!(key.may(Action::GetSecretValue, Some("prod/x")));
    assert!(!key.may(Action::GetSecretValue, Some("dev/x")));
    assert!(keys.by_token(other.token().expose_secret()).is_some());

    remove(&fixture.file(), &one.id).unwrap();
    let keys = read(&fixture.file(), &fixture.store).unwrap();
    assert!(keys.by_id(&one.id).is_none() && keys.len() == 1);
    let again = remove(&fixture.file(), &one.id);
    assert_eq!(again, Err(KeysFileError::NoSuchKey(one.id)));
}

#[tokio::test]
async fn the_file_is_private_and_contains_no_secret() {
    let fixture = Fixture::open().await;
    let new = fixture.add("orders", "prod/*");
    let mode = fs::metadata(fixture.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fixture.text();
    for secret in [&new.secret, &new.token()] {
        let secret = secret.expose_secret();
        let piece = STANDARD.encode(&secret[..30]);
        assert!(!text.contains(secret) && !text.contains(&piece));
    }
    for (wide, reason) in [
        (0o620, "is writable by others"),
        (0o602, "is writable by others"),
        (0o640, "is readable by others"),
        (0o604, "is readable by others"),
    ] {
        fs::set_permissions(fixture.file(), Permissions::from_mode(wide)).unwrap();
        assert!(fixture.refused().contains(reason));
    }
}

#[tokio::test]
async fn a_secret_opens_under_its_own_id_and_store_only() {
    let fixture = Fixture::open().await;
    let (one, other) = (fixture.add("orders", "*"), fixture.add("ci", "dev/*"));
    let swapped = fixture
        .text()
        .replace(&one.id, "x")
        .replace(&other.id, &one.id);
    let elsewhere = Fixture::open().await;
    fs::write(elsewhere.file(), fixture.text()).unwrap();
    fs::set_permissions(elsewhere.file(), Permissions::from_mode(0o600)).unwrap();
    fs::write(
        fixture.file(),
        swapped.replace("\"x\"", &format!("{:?}", other.id)),
    )
    .unwrap();
    for fixture in [fixture, elsewhere] {
        let message = fixture.refused();
        assert!(
            message.contains("does not open under the store's key"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn comments_and_order_survive_a_change() {
    let fixture = Fixture::open().await;
    let one = fixture.add("orders", "prod/*");
    let commented = fixture
        .text()
        .replace("[[key]]", "# the orders' own\n[[key]]");
    fs::write(fixture.file(), &commented).unwrap();
    let other = fixture.add("ci", "dev/*");
    assert!(fixture.text().starts_with(&commented), "{}", fixture.text());
    remove(&fixture.file(), &other.id).unwrap();
    assert_eq!(fixture.text(), commented);
    assert_eq!(entries(&fixture.file()).unwrap()[0].id, one.id);
}

#[tokio::test]
async fn refuses_a_malformed_file_without_quoting_it() {
    let fixture = Fixture::open().await;
    fixture.add("orders", "prod/*");
    let good = fixture.text();
    for (from, to, why) in [
        ("name =", "nmae =", "is malformed"),
        (
            "\"GetSecretValue\"",
            "\"GetSecret\"",
            "is no action of the served store",
        ),
        ("[\"prod/*\"]", "[]", "the key permits nothing"),
        ("sealed = \"", "sealed = \"?", "is not in base64"),
        ("\"orders\"", "\"the orders\"", "is no name for a key"),
        ("[[key]]", "[[key]", "is malformed"),
    ] {
        fs::write(fixture.file(), good.replace(from, to)).unwrap();
        let message = fixture.refused();
        let sealed = good.rsplit_once("sealed = \"").unwrap().1;
        assert!(
            message.contains(why) && !message.contains(&sealed[..20]),
            "{message}"
        );
    }
    let entry = good.split_once("[[key]]").unwrap().1;
    fs::write(fixture.file(), format!("{good}\n[[key]]{entry}")).unwrap();
    assert!(fixture.refused().contains("it exists twice"));
}

#[tokio::test]
async fn concurrent_additions_lose_no_key() {
    let fixture = Fixture::open().await;
    std::thread::scope(|scope| {
        for n in 0..8 {
            let fixture = &fixture;
            scope.spawn(move || fixture.add(&format!("app{n}"), "*"));
        }
    });
    assert_eq!(entries(&fixture.file()).unwrap().len(), 8);
}
