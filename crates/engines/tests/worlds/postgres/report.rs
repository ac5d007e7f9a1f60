//! Numbers of the worlds.

use std::collections::BTreeMap;

use super::kinds;

/// Numbers of one world, or of all.
#[derive(Default)]
pub struct Report {
    /// Statements that succeeded and that failed, by kind.
    pub statements: BTreeMap<&'static str, [u32; 2]>,
    /// Refusals by code, with the number of fixes that repaired them.
    pub refusals: BTreeMap<String, u32>,
    pub rotations: u32,
    pub failed: Vec<u64>,
}

impl Report {
    pub fn add(&mut self, other: Self) {
        for (kind, [succeeded, failed]) in other.statements {
            let sum = self.statements.entry(kind).or_default();
            *sum = [sum[0] + succeeded, sum[1] + failed];
        }
        for (code, number) in other.refusals {
            *self.refusals.entry(code).or_default() += number;
        }
        self.rotations += other.rotations;
        self.failed.extend(other.failed);
    }

    pub fn summary(&self) -> String {
        format!(
            "{} rotations, refusals that their fix repaired {:?}, statements {:?}",
            self.rotations, self.refusals, self.statements
        )
    }

    /// Kinds of statements that never succeeded.
    pub fn never(&self) -> Vec<&'static str> {
        let others = kinds::OTHER_ROLE_COLUMNS
            .iter()
            .chain(&kinds::OTHER_PRIVILEGES);
        let wanted = kinds::KINDS
            .iter()
            .filter(|k| !k.create.is_empty())
            .map(|k| k.name)
            .chain(others.map(|(_, statement)| *statement));
        // `database` is part of every world.
        wanted
            .filter(|kind| *kind != "database")
            .filter(|kind| self.statements.get(kind).is_none_or(|n| n[0] == 0))
            .collect()
    }
}
