//! `[[hook]]`, and what is valid in it.
//!
//! What can go wrong: a hook is for a rotation that is not there, because its name is misspelt, and never runs: a
//! name that no rotation has is an error. A program is found by a PATH that the service does not have: it is
//! named by its whole path, or by one that begins in the config's folder.

use std::time::Duration;

use config::{Value, ValueKind};

use super::known;
use super::raw::Table;
use super::rotation::Folder;
use super::settings::{Hook, HookActionSettings};

const TIMEOUT: Duration = Duration::from_secs(60);
/// A hook is no job runner: what takes longer is to be started by it, not to be done in it.
const LONGEST: Duration = Duration::from_secs(3600);
const CONCURRENCY: u32 = 4;
const MOST_AT_ONCE: u32 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    EcsRedeploy,
    Exec,
}

const KINDS: [(&str, Kind); 2] = [("ecs-redeploy", Kind::EcsRedeploy), ("exec", Kind::Exec)];

/// The keys that only one kind has.
const OF_ONE: [(&str, Kind); 3] = [
    ("command", Kind::Exec),
    ("cluster", Kind::EcsRedeploy),
    ("services", Kind::EcsRedeploy),
];

pub(super) fn hooks(root: &Table<'_>, folder: Folder<'_>) -> Vec<Hook> {
    let rotations = root.list("rotation");
    let names: Vec<&str> = rotations.iter().filter_map(|value| name(value)).collect();
    let tables = root.tables("hook", "hook");
    tables
        .iter()
        .filter_map(|table| one(table, folder, &names))
        .collect()
}

/// As written: a rotation with mistakes of its own is one that a hook may name.
fn name(rotation: &Value) -> Option<&str> {
    let ValueKind::Table(values) = &rotation.kind else {
        return None;
    };
    match &values.get("name")?.kind {
        ValueKind::String(name) => Some(name),
        _ => None,
    }
}

fn one(table: &Table<'_>, folder: Folder<'_>, names: &[&str]) -> Option<Hook> {
    if !table.has("kind") {
        table.error("kind", "is missing: \"ecs-redeploy\" or \"exec\"");
    }
    let rotations = rotations(table, names);
    let timeout = timeout(table);
    let concurrency = table.number("concurrency", 1, MOST_AT_ONCE);
    let kind = table.choice("kind", &KINDS)?;
    let word = KINDS.iter().find(|(_, k)| *k == kind).map_or("", |k| k.0);
    for (key, _) in OF_ONE
        .iter()
        .filter(|(key, of)| *of != kind && table.has(key))
    {
        table.error(key, format!("is not for kind = {word:?}"));
    }
    for (key, _) in OF_ONE
        .iter()
        .filter(|(key, of)| *of == kind && !table.has(key))
    {
        table.error(key, "is missing");
    }
    let action = match kind {
        Kind::EcsRedeploy => {
            let cluster = table.text("cluster").map(str::to_owned);
            let services = full(table, "services");
            HookActionSettings::EcsRedeploy {
                cluster: cluster?,
                services: services?,
            }
        }
        Kind::Exec => {
            let command = full(table, "command")?;
            let (program, arguments) = command.split_first()?;
            if !program.contains('/') {
                table.error(
                    "command",
                    format!("begins with {program:?}, which is no path: name the program by its whole path; there is no shell"),
                );
            }
            HookActionSettings::Exec {
                program: folder.join(program),
                arguments: arguments.to_vec(),
            }
        }
    };
    Some(Hook {
        rotations: rotations?,
        timeout: timeout?,
        concurrency: concurrency.unwrap_or(CONCURRENCY) as usize,
        action,
    })
}

/// A list with something in it.
fn full(table: &Table<'_>, key: &str) -> Option<Vec<String>> {
    let texts = table.texts(key)?;
    if texts.is_empty() {
        table.error(key, "must not be empty");
        return None;
    }
    Some(texts)
}

fn timeout(table: &Table<'_>) -> Option<Duration> {
    if !table.has("timeout") {
        return Some(TIMEOUT);
    }
    let timeout = table.duration("timeout")?;
    if timeout.is_zero() || timeout > LONGEST {
        table.error("timeout", "must be from 1s to 1h");
        return None;
    }
    Some(timeout)
}

/// `None` where it is wrong; for all rotations where it is absent.
fn rotations(table: &Table<'_>, names: &[&str]) -> Option<Option<Vec<String>>> {
    if !table.has("rotations") {
        return Some(None);
    }
    let wanted = full(table, "rotations")?;
    let unknown: Vec<&String> = wanted
        .iter()
        .filter(|name| !names.contains(&name.as_str()))
        .collect();
    for name in &unknown {
        let message = match known::nearest(name, names.iter().copied()) {
            Some(near) => format!("{name:?} is no rotation; did you mean {near:?}?"),
            None => format!("{name:?} is no rotation of this config"),
        };
        table.error("rotations", message);
    }
    unknown.is_empty().then_some(Some(wanted))
}
