use std::fs::Permissions;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::local::api::{Action, Caller};

struct Place {
    folder: TempDir,
    store: LocalStore,
}

impl Place {
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
        let wish = KeyGrant {
            name: name.into(),
            actions: vec!["GetSecretValue".into()],
            secrets: vec![secret.into()],
        };
        add(&self.file(), &self.store, &new, &wish, DateTime::UNIX_EPOCH).unwrap();
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
async fn a_key_that_was_added_is_read_with_what_it_may_do_until_it_is_removed() {
    let place = Place::open().await;
    assert!(read(&place.file(), &place.store).unwrap().is_empty());
    let (one, other) = (place.add("orders", "prod/*"), place.add("ci", "dev/*"));
    let keys = read(&place.file(), &place.store).unwrap();
    let key = keys.by_id(&one.id).unwrap();
    assert_eq!((key.name(), keys.len()), ("orders", 2));
    assert!(key.may(Action::GetSecretValue, Some("prod/x")));
    assert!(!key.may(Action::GetSecretValue, Some("dev/x")));
    assert!(keys.by_token(other.token().expose_secret()).is_some());

    remove(&place.file(), &one.id).unwrap();
    let keys = read(&place.file(), &place.store).unwrap();
    assert!(keys.by_id(&one.id).is_none() && keys.len() == 1);
    let again = remove(&place.file(), &one.id);
    assert_eq!(again, Err(KeysFileError::NoSuchKey(one.id)));
}

#[tokio::test]
async fn the_file_is_its_owner_s_alone_and_holds_no_secret() {
    let place = Place::open().await;
    let new = place.add("orders", "prod/*");
    let mode = fs::metadata(place.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = place.text();
    for secret in [&new.secret, &new.token()] {
        let secret = secret.expose_secret();
        let piece = STANDARD.encode(&secret[..30]);
        assert!(!text.contains(secret) && !text.contains(&piece));
    }
    for wide in [0o620, 0o602] {
        fs::set_permissions(place.file(), Permissions::from_mode(wide)).unwrap();
        assert!(place.refused().contains("may be written by others"));
    }
}

#[tokio::test]
async fn a_secret_opens_under_its_own_id_and_store_only() {
    let place = Place::open().await;
    let (one, other) = (place.add("orders", "*"), place.add("ci", "dev/*"));
    let swapped = place
        .text()
        .replace(&one.id, "x")
        .replace(&other.id, &one.id);
    let elsewhere = Place::open().await;
    fs::write(elsewhere.file(), place.text()).unwrap();
    fs::set_permissions(elsewhere.file(), Permissions::from_mode(0o600)).unwrap();
    fs::write(
        place.file(),
        swapped.replace("\"x\"", &format!("{:?}", other.id)),
    )
    .unwrap();
    for place in [place, elsewhere] {
        let said = place.refused();
        assert!(
            said.contains("does not open under the store's key"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn comments_and_order_survive_a_change() {
    let place = Place::open().await;
    let one = place.add("orders", "prod/*");
    let commented = place
        .text()
        .replace("[[key]]", "# the orders' own\n[[key]]");
    fs::write(place.file(), &commented).unwrap();
    let other = place.add("ci", "dev/*");
    assert!(place.text().starts_with(&commented), "{}", place.text());
    remove(&place.file(), &other.id).unwrap();
    assert_eq!(place.text(), commented);
    assert_eq!(entries(&place.file()).unwrap()[0].id, one.id);
}

#[tokio::test]
async fn a_file_that_is_wrong_is_refused_and_not_quoted() {
    let place = Place::open().await;
    place.add("orders", "prod/*");
    let good = place.text();
    for (from, to, why) in [
        ("name =", "nmae =", "is not as expected"),
        (
            "\"GetSecretValue\"",
            "\"GetSecret\"",
            "is no action of the served store",
        ),
        ("[\"prod/*\"]", "[]", "it may do nothing"),
        ("sealed = \"", "sealed = \"?", "is not in base64"),
        ("\"orders\"", "\"the orders\"", "is no name for a key"),
        ("[[key]]", "[[key]", "is not as expected"),
    ] {
        fs::write(place.file(), good.replace(from, to)).unwrap();
        let said = place.refused();
        let sealed = good.rsplit_once("sealed = \"").unwrap().1;
        assert!(
            said.contains(why) && !said.contains(&sealed[..20]),
            "{said}"
        );
    }
    let entry = good.split_once("[[key]]").unwrap().1;
    fs::write(place.file(), format!("{good}\n[[key]]{entry}")).unwrap();
    assert!(place.refused().contains("it is there twice"));
}

#[tokio::test]
async fn keys_that_are_added_at_once_are_all_there() {
    let place = Place::open().await;
    std::thread::scope(|scope| {
        for n in 0..8 {
            let place = &place;
            scope.spawn(move || place.add(&format!("app{n}"), "*"));
        }
    });
    assert_eq!(entries(&place.file()).unwrap().len(), 8);
}
