//! A text as a config, with variables: errors name their key and quote no token, and accepted
//! settings are valid.
//!
//! The first line of the input is the file extension. Variables (`NAME=value`) follow a line `%`.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use twinkey::config::settings::Settings;
use twinkey::config::{ConfigErrors, parse};
use twinkey::schedule::window::check_length;
use twinkey_core::code::Diagnostic;

/// A token in the config itself.
const TOKEN: &str = "hunter2hunter2";

type Variables = BTreeMap<String, String>;

fuzz_target!(|input: &str| {
    let (extension, rest) = input.split_once('\n').unwrap_or(("toml", input));
    let (text, variables) = rest.split_once("\n%\n").unwrap_or((rest, ""));
    let mut variables: Variables = variables
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (format!("TWINKEY__{name}"), value.to_owned()))
        .collect();
    let file = PathBuf::from(format!("/etc/twinkey/twinkey.{extension}"));
    let read = parse(&file, text, &variables);
    assert_eq!(
        shown(&read),
        shown(&parse(&file, text, &variables)),
        "the result is deterministic"
    );
    match &read {
        Ok(settings) => is_valid(settings),
        Err(errors) => describes_each_error(errors, &variables),
    }
    if extension == "json" && read.is_ok() && !text.contains('\\') {
        reads_the_same_as_yaml(&read, text, &variables);
    }
    if !input.contains(TOKEN) {
        variables.insert("TWINKEY__SERVER__ADMIN_TOKEN".into(), TOKEN.into());
        let refused = parse(&file, text, &variables).expect_err("a token in the config");
        assert!(!format!("{refused}{refused:?}").contains(TOKEN));
    }
});

fn shown(read: &Result<Settings, ConfigErrors>) -> String {
    format!("{read:?}")
}

fn describes_each_error(errors: &ConfigErrors, variables: &Variables) {
    assert!(!errors.errors.is_empty() && !errors.hint().is_empty());
    assert!(errors.to_string().lines().count() >= errors.errors.len());
    for error in &errors.errors {
        assert!(!error.message.is_empty());
        if let Some(variable) = &error.variable {
            assert!(variables.contains_key(variable), "{error:?}");
        }
    }
}

fn is_valid(settings: &Settings) {
    let local = settings.server.listen.ip().is_loopback();
    assert!(local || settings.server.admin_token.is_some());
    let limits = settings.limits;
    assert!(limits.concurrency > 0 && limits.per_host > 0 && limits.store_writes_per_second > 0);
    let mut names = BTreeSet::new();
    for rotation in &settings.rotations {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(!rotation.name.is_empty() && rotation.name.chars().all(plain));
        assert!(names.insert(&rotation.name), "two of one name");
        assert!(!rotation.secret.is_empty() && !rotation.clone_suffix.is_empty());
        assert_ne!(rotation.master_secret.as_ref(), Some(&rotation.secret));
        if let Some(windows) = &rotation.windows {
            assert_eq!(check_length(windows.length), Ok(()));
            assert!(windows.offset < windows.length);
        }
    }
}

/// Checks that JSON has the same meaning in a YAML file, because JSON is YAML.
fn reads_the_same_as_yaml(
    read: &Result<Settings, ConfigErrors>,
    text: &str,
    variables: &Variables,
) {
    let yaml = parse(Path::new("/etc/twinkey/twinkey.yaml"), text, variables);
    assert_eq!(shown(read), shown(&yaml));
}
