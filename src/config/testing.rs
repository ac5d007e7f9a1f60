//! Test configs.

use std::collections::BTreeMap;
use std::path::Path;

use super::parse;
use super::settings::{Rotation, Settings};

/// The settings of a complete config in TOML, in the folder `/etc/twinkey`.
pub(crate) fn parse_toml(text: &str) -> Settings {
    let file = Path::new("/etc/twinkey/twinkey.toml");
    parse(file, text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// The settings of a config that uses the embedded store; `text` is everything after `[secrets]`.
pub(crate) fn local(text: &str) -> Settings {
    parse_toml(&format!("[secrets]\nbackend = \"local\"\n{text}\n"))
}

/// A rotation `orders` with further keys.
pub(crate) fn rotation(keys: &str) -> Rotation {
    let table = format!("[[rotation]]\nname = \"orders\"\nsecret = \"orders/db\"\n{keys}");
    local(&table).rotations.remove(0)
}
