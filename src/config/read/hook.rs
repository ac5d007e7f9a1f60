//! Reader of `[[hook]]`.
//!
//! # Failure modes
//! - A misspelt rotation name means that a hook never runs: an unknown name is an error.
//! - A program is not in the service's `PATH`: it is named by an absolute path, or by one that is relative to
//!   the config's folder.
//! - A hook runs inside the gap of `strategy = "single"`, and AWSCURRENT does not sign in meanwhile. A
//!   hook before the flip cannot have such a rotation.

use std::time::Duration;

use config::{Value, ValueKind};

use super::references::Folder;
use crate::config::features;
use crate::config::settings::{Hook, HookActionSettings, HookTime, Rotation, Strategy};
use crate::config::suggestion::nearest;
use crate::config::table::Table;

pub(super) const KEYS: &[&str] = &[
    "kind",
    "when",
    "rotations",
    "timeout",
    "concurrency",
    "command",
    "aws",
    "cluster",
    "services",
];

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest timeout; a longer job should be started by the hook, not run in it.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
const DEFAULT_CONCURRENCY: u32 = 4;
const MAX_CONCURRENCY: u32 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum HookKind {
    EcsRedeploy,
    Exec,
}

const KINDS: [(&str, HookKind); 2] = [
    ("ecs-redeploy", HookKind::EcsRedeploy),
    ("exec", HookKind::Exec),
];

/// The required keys of one kind.
const KEYS_OF_KIND: [(&str, HookKind); 3] = [
    ("command", HookKind::Exec),
    ("cluster", HookKind::EcsRedeploy),
    ("services", HookKind::EcsRedeploy),
];

/// The optional keys of one kind.
const OPTIONS_OF_KIND: [(&str, HookKind); 1] = [("aws", HookKind::Exec)];

/// All `[[hook]]` tables. `valid`: the rotations without errors.
pub(super) fn hooks(root: &Table<'_>, folder: Folder<'_>, valid: &[Rotation]) -> Vec<Hook> {
    let rotations = root.list("rotation");
    let names: Vec<&str> = rotations.iter().filter_map(|value| name(value)).collect();
    // The names of discovered rotations are not known here.
    let names = root.list("discover").is_empty().then_some(names);
    let tables = root.tables("hook", KEYS);
    let mut hooks = Vec::new();
    for table in &tables {
        let Some(hook) = one(table, table.folder(folder), names.as_deref()) else {
            continue;
        };
        if let Some(rotation) = valid.iter().find(|rotation| is_inside_gap(&hook, rotation)) {
            table.error(
                "when",
                format!(
                    "\"before_flip\" would run inside the gap of rotation {:?}, while AWSCURRENT does not sign in: use \"after_flip\", or list the other rotations",
                    rotation.name
                ),
            );
        }
        hooks.push(hook);
    }
    hooks
}

/// Whether the hook runs between the change of the one user's password and the flip.
fn is_inside_gap(hook: &Hook, rotation: &Rotation) -> bool {
    let concerns = (hook.rotations.as_ref()).is_none_or(|names| names.contains(&rotation.name));
    hook.when == HookTime::BeforeFlip
        && concerns
        && rotation.strategy == Strategy::Single { accepts_gap: true }
}

/// The name as written; a hook may name a rotation that has errors of its own.
fn name(rotation: &Value) -> Option<&str> {
    let ValueKind::Table(values) = &rotation.kind else {
        return None;
    };
    match &values.get("name")?.kind {
        ValueKind::String(name) => Some(name),
        _ => None,
    }
}

fn one(table: &Table<'_>, folder: Folder<'_>, names: Option<&[&str]>) -> Option<Hook> {
    if !table.has("kind") {
        table.error("kind", "is missing: \"ecs-redeploy\" or \"exec\"");
    }
    let rotations = rotations(table, names);
    let timeout = timeout(table);
    let concurrency = table.number("concurrency", 1, MAX_CONCURRENCY);
    let kind = table.choice("kind", &KINDS)?;
    if kind == HookKind::EcsRedeploy {
        features::require(table, "kind", "aws", cfg!(feature = "aws"));
    }
    let when = table.choice(
        "when",
        &[
            ("after_flip", HookTime::AfterFlip),
            ("before_flip", HookTime::BeforeFlip),
        ],
    );
    if when == Some(HookTime::BeforeFlip) && kind != HookKind::Exec {
        table.error(
            "when",
            "\"before_flip\" is for kind = \"exec\" only: a task that starts before the flip reads the old version",
        );
    }
    let kind_name = KINDS.iter().find(|(_, k)| *k == kind).map_or("", |k| k.0);
    for (key, _) in KEYS_OF_KIND
        .iter()
        .chain(&OPTIONS_OF_KIND)
        .filter(|(key, of)| *of != kind && table.has(key))
    {
        table.error(key, format!("is not for kind = {kind_name:?}"));
    }
    for (key, _) in KEYS_OF_KIND
        .iter()
        .filter(|(key, of)| *of == kind && !table.has(key))
    {
        table.error(key, "is missing");
    }
    let action = match kind {
        HookKind::EcsRedeploy => {
            let cluster = table.text("cluster").map(str::to_owned);
            let services = non_empty_list(table, "services");
            HookActionSettings::EcsRedeploy {
                cluster: cluster?,
                services: services?,
            }
        }
        HookKind::Exec => {
            let command = non_empty_list(table, "command")?;
            let (program, arguments) = command.split_first()?;
            if !program.contains('/') {
                table.error(
                    "command",
                    format!("begins with {program:?}, which is not a path: give the absolute path of the program; no shell is used"),
                );
            }
            HookActionSettings::Exec {
                program: folder.join(program),
                arguments: arguments.to_vec(),
                aws: table.boolean("aws").unwrap_or(false),
            }
        }
    };
    Some(Hook {
        when: when.unwrap_or(HookTime::AfterFlip),
        rotations: rotations?,
        timeout: timeout?,
        concurrency: concurrency.unwrap_or(DEFAULT_CONCURRENCY) as usize,
        action,
    })
}

/// A list that is not empty.
fn non_empty_list(table: &Table<'_>, key: &str) -> Option<Vec<String>> {
    let texts = table.texts(key)?;
    if texts.is_empty() {
        table.error(key, "must not be empty");
        return None;
    }
    Some(texts)
}

fn timeout(table: &Table<'_>) -> Option<Duration> {
    if !table.has("timeout") {
        return Some(DEFAULT_TIMEOUT);
    }
    let timeout = table.duration("timeout")?;
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        table.error("timeout", "must be from 1s to 1h");
        return None;
    }
    Some(timeout)
}

/// `None` if it is not valid; `Some(None)`, for all rotations, if it is absent. `names`: the rotations, if
/// all are known.
fn rotations(table: &Table<'_>, names: Option<&[&str]>) -> Option<Option<Vec<String>>> {
    if !table.has("rotations") {
        return Some(None);
    }
    let listed = non_empty_list(table, "rotations")?;
    let Some(names) = names else {
        return Some(Some(listed));
    };
    let unknown: Vec<&String> = listed
        .iter()
        .filter(|name| !names.contains(&name.as_str()))
        .collect();
    for name in &unknown {
        let message = match nearest(name, names.iter().copied()) {
            Some(near) => format!("{name:?} is not a rotation; did you mean {near:?}?"),
            None => format!("{name:?} is not a rotation of this config"),
        };
        table.error("rotations", message);
    }
    unknown.is_empty().then_some(Some(listed))
}
