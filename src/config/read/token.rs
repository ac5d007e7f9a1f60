//! Reader of `[[token]]`.

use super::references::{Folder, token_source};
use crate::config::settings::token::{ADMIN, ANONYMOUS};
use crate::config::settings::{Role, TokenSettings};
use crate::config::table::Table;

pub(super) const KEYS: &[&str] = &["name", "role", "token", "rotations"];

const ROLES: [(&str, Role); 2] = [("viewer", Role::Viewer), ("operator", Role::Operator)];

/// All `[[token]]` tables.
pub(super) fn tokens(root: &Table<'_>, folder: Folder<'_>) -> Vec<TokenSettings> {
    let mut tokens: Vec<TokenSettings> = Vec::new();
    for table in &root.tables("token", KEYS) {
        if let Some(token) = one(table, folder, &tokens) {
            tokens.push(token);
        }
    }
    tokens
}

fn one(table: &Table<'_>, folder: Folder<'_>, previous: &[TokenSettings]) -> Option<TokenSettings> {
    for (key, expected) in [
        ("name", "a name for the audit log"),
        ("role", "\"viewer\" or \"operator\""),
        ("token", "\"env:NAME\" or \"file:PATH\""),
    ] {
        if !table.has(key) {
            table.error(key, format!("is missing: {expected}"));
        }
    }
    let name = table
        .text("name")
        .and_then(|name| match name_error(name, previous) {
            None => Some(name.to_owned()),
            Some(message) => {
                table.error("name", message);
                None
            }
        });
    let role = table.choice("role", &ROLES);
    let source = table
        .text("token")
        .and_then(|text| token_source(table, "token", text, folder));
    let rotations = table.texts("rotations");
    if rotations.as_ref().is_some_and(Vec::is_empty) {
        table.error("rotations", "must not be empty: leave it out for all");
        return None;
    }
    if rotations.is_none() && table.has("rotations") {
        return None;
    }
    Some(TokenSettings {
        name: name?,
        role: role?,
        source: source?,
        rotations,
    })
}

fn name_error(name: &str, previous: &[TokenSettings]) -> Option<String> {
    let known = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if !name.bytes().all(known) {
        return Some(format!(
            "{name:?} contains characters other than a-z, 0-9 and -"
        ));
    }
    if [ADMIN, ANONYMOUS].contains(&name) {
        return Some(format!("{name:?} is reserved: choose another name"));
    }
    let taken = previous.iter().any(|token| token.name == name);
    taken.then(|| format!("{name:?} is already the name of another token"))
}
