//! Reader of `poolers`.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::settings::{HostPort, HostPortError, Pooler};
use crate::config::table::Table;
use twinkey_engines::EngineKind;

pub(in crate::config::read) const POOLER_KEYS: &[&str] = &["host", "secrets"];

/// The users of a pair, each with a secret of its own.
const USERS: usize = 2;

/// The poolers; `None` if the key is absent.
pub(super) fn read(table: &Table<'_>) -> Option<Vec<Pooler>> {
    if !table.has("poolers") {
        return None;
    }
    let mut poolers: Vec<Pooler> = Vec::new();
    for inner in table.tables("poolers", POOLER_KEYS) {
        let Some(pooler) = one(&inner) else { continue };
        if poolers.iter().any(|known| known.address == pooler.address) {
            inner.error("host", format!("{} is named twice", pooler.address));
        }
        poolers.push(pooler);
    }
    Some(poolers)
}

fn one(table: &Table<'_>) -> Option<Pooler> {
    if !table.has("host") {
        table.error("host", "is missing");
    }
    let secrets = if table.has("secrets") {
        let secrets = table.text_map("secrets")?;
        let different: BTreeSet<&String> = secrets.values().collect();
        if secrets.len() != USERS || different.len() != USERS {
            table.error(
                "secrets",
                "must name both users of the pair, each with a secret of its own: { app = \"…\", app_clone = \"…\" }",
            );
        }
        secrets
    } else {
        BTreeMap::new()
    };
    let address: Result<HostPort, HostPortError> = table.text("host")?.parse();
    match address {
        Ok(address) => Some(Pooler { address, secrets }),
        Err(error) => {
            table.error("host", error.to_string());
            None
        }
    }
}

/// Checks the poolers of a rotation against its other keys.
pub(super) fn check(
    poolers: &[Pooler],
    secret: Option<&str>,
    engine: Option<EngineKind>,
    table: &Table<'_>,
) {
    if engine == Some(EngineKind::Redshift) && !poolers.is_empty() {
        table.error(
            "poolers",
            "is not for redshift, which twinkey reaches by its Data API",
        );
    }
    let mut named = poolers.iter().flat_map(|pooler| pooler.secrets.values());
    if secret.is_some_and(|secret| named.any(|one| one == secret)) {
        table.error(
            "poolers",
            "names the rotated secret itself: each user needs a secret of its own at the pooler",
        );
    }
}
