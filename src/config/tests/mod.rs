mod file;
mod include;
mod stores;
mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::settings::{JournalLocation, SecretsBackend, Serve, Settings, Strategy, TokenSource};
use super::{ConfigErrors, load, parse, read};
use twinkey_engines::TlsMode;

const LOCAL: &str = "[secrets]\nbackend = \"local\"\n";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn none() -> BTreeMap<String, String> {
    BTreeMap::new()
}

fn with(text: &str, variables: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    let environment = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    parse(Path::new("/etc/twinkey/twinkey.toml"), text, &environment)
}

#[test]
fn each_fixture_gives_exactly_its_expected_errors() {
    let mut fixtures = 0;
    let mut problems = Vec::new();
    for entry in std::fs::read_dir(repository("tests/fixtures/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().unwrap() == "expected" {
            assert!(path.with_extension("toml").exists(), "{path:?}");
            continue;
        }
        fixtures += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let name = Path::new(path.file_name().unwrap());
        let errors = parse(name, &text, &none()).unwrap_err();
        let found = format!("{errors}\n");
        assert!(
            !format!("{found}{errors:?}").contains("hunter2"),
            "{name:?}"
        );
        let expected_file = path.with_extension("expected");
        if std::env::var_os("TWINKEY_WRITE_FIXTURES").is_some() {
            std::fs::write(&expected_file, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected_file).unwrap_or_default();
        if found != expected {
            problems.push(format!("{name:?}\nexpected: {expected}found:    {found}"));
        }
    }
    assert!(
        problems.is_empty(),
        "{}\nTWINKEY_WRITE_FIXTURES=1 writes the actual errors",
        problems.join("\n")
    );
    assert!(fixtures > 40);
}

#[test]
fn the_reference_loads_and_states_the_defaults() {
    let file = repository("config/twinkey.toml");
    let reference = load(Some(&file), &none()).unwrap();
    let bare = "[secrets]\nbackend = \"aws\"\n[[rotation]]\nname = \"orders\"\n\
        secret = \"prod/orders/db\"\nschedule = \"cron(0 7 * * ? *)\"\n";
    let bare = parse(&file, bare, &none()).unwrap();
    assert_eq!(format!("{reference:#?}"), format!("{bare:#?}"));
}

#[test]
fn each_registered_key_is_in_the_reference() {
    let text = std::fs::read_to_string(repository("config/twinkey.toml")).unwrap();
    let mut found = Vec::new();
    let mut section = String::new();
    for line in text.lines() {
        let bare = line.trim_start_matches('#');
        if bare.starts_with('[') {
            section = bare.trim_matches(['[', ']']).to_owned();
            found.push((String::new(), section.clone()));
        } else if let Some((key, value)) = bare.split_once(" = ") {
            found.push((section.clone(), key.to_owned()));
            for inner in value
                .split(['{', '}', ','])
                .filter_map(|part| part.split_once('='))
            {
                found.push((format!("{section}.{key}"), inner.0.trim().to_owned()));
            }
        }
        if line.contains("ca_file = ") {
            found.push(("rotation.tls".into(), "ca_file".into()));
        }
    }
    for (table, keys) in read::registered_keys() {
        for key in keys {
            let entry = (table.to_owned(), (*key).to_owned());
            assert!(
                found.contains(&entry),
                "[{table}] {key} is not in config/twinkey.toml"
            );
        }
    }
}

#[test]
fn each_example_loads_and_formats_agree() {
    let mut of_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(repository("config/examples")).unwrap() {
        let path = entry.unwrap().path();
        let settings = load(Some(&path), &none()).unwrap_or_else(|e| panic!("{e}"));
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        of_name
            .entry(name)
            .or_default()
            .push(format!("{settings:#?}"));
    }
    assert_eq!(of_name["aws"].len(), 3);
    assert!(of_name.contains_key("minimal-local"));
    for same in of_name.values() {
        assert!(same.iter().all(|other| *other == same[0]));
    }
}

#[test]
fn defaults_merge_key_by_key() {
    let text = format!(
        "{LOCAL}[defaults]\npassword = {{ length = 40, symbols = \"\" }}\ntls = {{ mode = \"secret\" }}\n\
         grants = \"verify\"\n[[rotation]]\nname = \"a\"\nsecret = \"a\"\npassword = {{ length = 50 }}\n\
         [[rotation]]\nname = \"b\"\nsecret = \"b\"\ntls = {{ mode = \"disable\" }}\ngrants = \"sync\"\n"
    );
    let settings = with(&text, &[]).unwrap();
    let [a, b] = &settings.rotations[..] else {
        panic!("two rotations");
    };
    assert_eq!((a.password.length(), b.password.length()), (50, 40));
    assert_eq!((a.tls.mode, b.tls.mode), (None, Some(TlsMode::Disable)));
    assert_eq!(
        a.password,
        twinkey_core::secret::password::PasswordPolicy::new(50, "").unwrap()
    );
    assert_ne!(a.grants, b.grants);
}

#[test]
fn keys_of_two_users_may_be_defaults_of_one_user() {
    let text = format!(
        "{LOCAL}[defaults]\nclone_suffix = \"_b\"\nstandby = \"existing\"\nretire_after = \"24h\"\n\
         gap = \"accept\"\nmaster_secret = \"master\"\n\
         [[rotation]]\nname = \"pair\"\nsecret = \"pair\"\n\
         [[rotation]]\nname = \"vendor\"\nsecret = \"vendor\"\nengine = \"postgres\"\nstrategy = \"single\"\n\
         [[rotation]]\nname = \"master\"\nsecret = \"master\"\nstrategy = \"single\"\ngap = \"refuse\"\n"
    );
    let settings = with(&text, &[]).unwrap();
    let [pair, vendor, master] = &settings.rotations[..] else {
        panic!("three rotations");
    };
    assert_eq!(pair.strategy, Strategy::Alternating);
    assert_eq!(vendor.strategy, Strategy::Single { accepts_gap: true });
    assert_eq!(vendor.master_secret.as_deref(), Some("master"));
    assert_eq!(master.strategy, Strategy::Single { accepts_gap: false });
    assert_eq!(master.master_secret, None, "it changes its own password");
}

#[test]
fn relative_paths_are_relative_to_the_config_file() {
    let text = format!("{LOCAL}path = \"/var/s.db\"\n[server]\nadmin_token = \"file:t\"\n");
    let settings = with(&text, &[]).unwrap();
    assert!(
        matches!(&settings.journal, JournalLocation::Sqlite(p) if p == Path::new("/etc/twinkey/twinkey.db"))
    );
    assert_eq!(
        settings.secrets,
        SecretsBackend::Local {
            path: "/var/s.db".into(),
            key_file: "/etc/twinkey/secrets.key".into(),
            serve: None,
        }
    );
    let served = with(&format!("{LOCAL}serve = {{}}\n"), &[]).unwrap();
    let SecretsBackend::Local { serve, .. } = served.secrets else {
        panic!("the embedded store");
    };
    let expected = Serve {
        listen: "127.0.0.1:8322".parse().unwrap(),
        keys_file: "/etc/twinkey/keys.toml".into(),
        tls: None,
        audit_reads: false,
        functions: BTreeMap::new(),
    };
    assert_eq!(serve, Some(expected));
    assert!(
        matches!(settings.server.admin_token, Some(TokenSource::File(p)) if p == Path::new("/etc/twinkey/t"))
    );
}
