use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::super::load;
use super::{LOCAL, none};

/// A folder with a config that includes `more.d/*.toml`, and these files in it.
fn including(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("more.d")).unwrap();
    let config = folder.path().join("twinkey.toml");
    let rotation = "[[rotation]]\nname = \"own\"\nsecret = \"own\"";
    let text = format!("include = [\"more.d/*.toml\"]\n{LOCAL}{rotation}");
    std::fs::write(&config, text).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join("more.d").join(name), text).unwrap();
    }
    (folder, config)
}

#[test]
fn included_files_add_their_lists() {
    let (folder, config) = including(&[]);
    assert_eq!(load(Some(&config), &none()).unwrap().rotations.len(), 1);
    let rotation = |name: &str, more: &str| {
        format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{name}\"\n{more}")
    };
    let file = |name: &str| folder.path().join("more.d").join(name);
    let b = rotation("b", "tls = { ca_file = \"roots.pem\" }");
    std::fs::write(file("2.toml"), b).unwrap();
    std::fs::write(file("1.toml"), rotation("a", "")).unwrap();
    std::fs::write(file("ignored.txt"), "no config").unwrap();
    let variable = ("TWINKEY__ROTATION__B__MIN_INTERVAL".into(), "2h".into());
    let settings = load(Some(&config), &BTreeMap::from([variable])).unwrap();
    let names: Vec<&str> = settings.rotations.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["own", "a", "b"]);
    let b = &settings.rotations[2];
    assert_eq!(b.tls.ca_file.as_deref(), Some(&*file("roots.pem")));
    assert_eq!(b.min_interval.as_secs(), 7200);
}

#[test]
fn an_error_names_its_included_file() {
    let (folder, config) = including(&[
        (
            "1.toml",
            "[[rotation]]\nname = \"a\"\nsecret = \"a\"\nwindw = \"1h\"",
        ),
        ("2.toml", "[[rotation]]\nname = \"own\"\nsecret = \"c\""),
        ("3.toml", "[server]\nlisten = \"127.0.0.1:1\""),
        ("4.toml", "not toml"),
    ]);
    let errors = load(Some(&config), &none()).unwrap_err().to_string();
    for (file, words) in [
        ("1.toml", "rotation[a].windw: is not a known key"),
        (
            "2.toml",
            "rotation[own].name: is already the name of rotation #1",
        ),
        ("3.toml", "server: does not belong in an included file"),
        ("4.toml", "TOML parse error"),
    ] {
        let line = format!(
            "{}: {words}",
            folder.path().join("more.d").join(file).display()
        );
        assert!(errors.contains(&line), "{line}: {errors}");
    }
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("more.d/*.toml", "none.toml")).unwrap();
    let errors = load(Some(&config), &none()).unwrap_err().to_string();
    assert!(errors.contains("none.toml: cannot be read"), "{errors}");
}

#[test]
fn an_included_file_that_others_may_write_is_refused() {
    let (folder, config) = including(&[("1.toml", "")]);
    let file = folder.path().join("more.d/1.toml");
    let mode = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(file, mode).unwrap();
    let errors = load(Some(&config), &none()).unwrap_err().to_string();
    assert!(errors.contains("1.toml: "), "{errors}");
    assert!(errors.contains("chmod"), "{errors}");
}
