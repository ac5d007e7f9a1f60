//! Numbers of the worlds, and known defects.

use std::collections::BTreeMap;

use super::kinds;

/// Known defects, by a part of the error.
const KNOWN: [(&str, &str); 3] = [
    (
        "differences remain: [Revoke",
        "a master that inherits from the clone can revoke more after a run than before",
    ),
    (
        "no possible grantors",
        "the master has ADMIN OPTION on the base user only as a member of the clone without INHERIT",
    ),
    (
        " is a member of role ",
        "the clone is a member of a role that is a member of the base user",
    ),
];

/// The known defect that explains an error of a run.
pub fn known(error: &str) -> Option<&'static str> {
    let found = KNOWN.iter().find(|(part, _)| error.contains(part));
    found.map(|(_, defect)| *defect)
}

/// Numbers of one world, or of all.
#[derive(Default)]
pub struct Report {
    /// Statements that succeeded and that failed, by kind.
    pub statements: BTreeMap<&'static str, [u32; 2]>,
    /// Refusals by code, with the number of fixes that repaired them.
    pub refusals: BTreeMap<String, u32>,
    pub rotations: u32,
    /// Worlds with a defect of [`KNOWN`], which are not checked further.
    pub known: BTreeMap<&'static str, u32>,
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
        for (defect, number) in other.known {
            *self.known.entry(defect).or_default() += number;
        }
        self.rotations += other.rotations;
        self.failed.extend(other.failed);
    }

    pub fn summary(&self) -> String {
        format!(
            "{} rotations, refusals that their fix repaired {:?}, known {:?}, statements {:?}",
            self.rotations, self.refusals, self.known, self.statements
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
