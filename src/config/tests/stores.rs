use super::super::load;
use super::{none, with};
use crate::config::settings::{Rotation, Settings};

const STORES: &str = "[secrets]\nbackend = \"aws\"\nregion = \"eu-west-1\"
[[store]]\nname = \"prod-us\"\nbackend = \"aws\"\nregion = \"us-east-1\"
assume_role = { arn = \"arn:aws:iam::111122223333:role/twinkey\", external_id = \"id-1\" }
[[store]]\nname = \"near\"\nbackend = \"aws\"\nregion = \"eu-central-1\"\nstore_writes_per_second = 7\n";

fn rotation(name: &str, keys: &str) -> String {
    format!("[[rotation]]\nname = \"{name}\"\nsecret = \"prod/db\"\n{keys}\n")
}

fn stores_of(settings: &Settings) -> Vec<Option<&str>> {
    let rotations = settings.rotations.iter();
    rotations.map(Rotation::store_name).collect()
}

#[test]
fn a_rotation_has_its_own_store_or_the_default() {
    let text = STORES.to_owned()
        + &rotation("own", "")
        + &rotation("us", "store = \"prod-us\"")
        + &rotation("near", "store = \"near\"");
    let settings = with(&text, &[("TWINKEY__STORE__PROD_US__REGION", "us-west-2")]).unwrap();
    assert_eq!(stores_of(&settings), [None, Some("prod-us"), Some("near")]);
    let us = settings.rotations[1].store.as_ref().unwrap();
    let location = (us.location().region, us.location().account);
    assert_eq!(location, (Some("us-west-2"), Some("111122223333")));
    assert_eq!(us.quota(), "111122223333/us-west-2");
    let role = us.assume_role.as_ref().unwrap();
    assert_eq!(role.external_id.as_deref(), Some("id-1"));
    let near = settings.rotations[2].store.as_ref().unwrap();
    assert_eq!(
        (near.quota().as_str(), near.writes_per_second.get()),
        ("near", 7)
    );
    let keys: Vec<String> = (settings.rotations.iter())
        .map(Rotation::secret_in_store)
        .collect();
    assert_eq!(keys, ["prod/db", "prod-us:prod/db", "near:prod/db"]);
}

#[test]
fn defaults_may_name_a_store() {
    let defaults = "[defaults]\nstore = \"near\"\n";
    let text = format!(
        "{STORES}{defaults}{}{}",
        rotation("a", ""),
        rotation("b", "store = \"prod-us\"")
    );
    let settings = with(&text, &[]).unwrap();
    assert_eq!(stores_of(&settings), [Some("near"), Some("prod-us")]);
    // Both are of the store of the defaults.
    let text = format!(
        "{STORES}{defaults}{}{}",
        rotation("a", ""),
        rotation("b", "")
    );
    let errors = with(&text, &[]).unwrap_err().to_string();
    assert!(
        errors.contains("rotation[b].secret: is already rotated by rotation #1"),
        "{errors}"
    );
}

#[test]
fn stores_and_their_mistakes_may_be_in_included_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let own = format!(
        "include = [\"*.eu.toml\"]\n[secrets]\nbackend = \"aws\"\n{}",
        rotation("us", "store = \"prod-us\"")
    );
    std::fs::write(file("twinkey.toml"), own).unwrap();
    let store = "[[store]]\nname = \"prod-us\"\nbackend = \"aws\"\nregion = \"us-east-1\"\n";
    std::fs::write(file("1.eu.toml"), store).unwrap();
    let settings = load(Some(&file("twinkey.toml")), &none()).unwrap();
    assert_eq!(stores_of(&settings), [Some("prod-us")]);
    let wrong = store.to_owned() + &rotation("eu", "store = \"prod-su\"");
    std::fs::write(file("2.eu.toml"), wrong).unwrap();
    let errors = load(Some(&file("twinkey.toml")), &none())
        .unwrap_err()
        .to_string();
    for words in [
        "2.eu.toml: store[prod-us].name: is already the name of store #1",
        "2.eu.toml: rotation[eu].store: \"prod-su\" is not a [[store]]; did you mean \"prod-us\"?",
    ] {
        assert!(errors.contains(words), "{words}: {errors}");
    }
}
