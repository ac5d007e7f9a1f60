use std::collections::BTreeMap;
use std::path::Path;

use super::super::{file, load, parse};
use super::none;

#[test]
fn a_named_file_precedes_the_default_paths() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
    let paths = [first.as_path(), second.as_path()];
    let variable = BTreeMap::from([("TWINKEY_CONFIG".to_owned(), "named.toml".to_owned())]);
    let message = file::find_in(None, &none(), &paths).unwrap_err();
    assert!(
        message
            .to_string()
            .starts_with("there is no config file: neither ")
    );
    std::fs::write(&second, "").unwrap();
    assert_eq!(file::find_in(None, &none(), &paths).unwrap(), second);
    std::fs::write(&first, "").unwrap();
    assert_eq!(file::find_in(None, &none(), &paths).unwrap(), first);
    assert_eq!(
        file::find_in(None, &variable, &paths).unwrap(),
        Path::new("named.toml")
    );
    let explicit = Some(Path::new("x.toml"));
    assert_eq!(
        file::find_in(explicit, &variable, &paths).unwrap(),
        Path::new("x.toml")
    );
}

#[test]
fn an_unreadable_file_is_named_in_the_error() {
    let missing = load(Some(Path::new("no-such/file.toml")), &none()).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("no-such/file.toml: cannot be read: ")
    );
    for (file, text, message) in [
        (
            "a.ini",
            "",
            "a.ini: its name must end in .toml, .yaml, .yml or .json",
        ),
        (
            "a",
            "",
            "a: its name must end in .toml, .yaml, .yml or .json",
        ),
        (
            "a.json",
            "{\"server\": }",
            "a.json: expected value at line 1 column 12",
        ),
        (
            "a.yaml",
            "secrets:\n  backend:\n",
            "a.yaml: secrets.backend: must be one of \"aws\", \"local\"",
        ),
    ] {
        assert_eq!(
            parse(Path::new(file), text, &none())
                .unwrap_err()
                .to_string(),
            message
        );
    }
}
