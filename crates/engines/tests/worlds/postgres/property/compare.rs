//! Comparisons of the states before and after a rotation.

use twinkey_core::secret::pair::{Pair, PairMember};

use super::super::catalog::{self, Fact, Facts, What};
use super::super::effective::{Capabilities, Capability};
use super::super::server::ident;
use super::{Check, State};

impl Check<'_> {
    pub(super) fn compare_capabilities(
        &mut self,
        pair: &Pair,
        round: u32,
        before: &Capabilities,
        after: &Capabilities,
    ) {
        let owners = self.owners(pair);
        for capability in before.symmetric_difference(after) {
            let lost = before.contains(capability);
            // Members of a role that becomes the owner of the clone's objects gain with it.
            let gains = |owner: &String| {
                let of_owner = Capability {
                    role: owner.clone(),
                    ..capability.clone()
                };
                let is_member = |c: &&Capability| c.role == capability.role && c.object == *owner;
                capability.role == *owner
                    || after.contains(&of_owner)
                        && before.iter().filter(is_member).any(|c| c.kind == "role")
            };
            // As its administrator, a role can become a member of the clone and of its roles.
            let administers = Capability {
                database: 0,
                role: capability.role.clone(),
                kind: "role".into(),
                object: pair.clone.clone(),
                what: "MEMBER WITH ADMIN OPTION".into(),
            };
            let of_admin = capability.kind == "role"
                && capability.what == "MEMBER"
                && before.contains(&administers);
            let harmless = capability.role == pair.clone
                || of_admin
                || capability.object == pair.clone
                || !lost && owners.iter().any(gains);
            if !harmless {
                let how = if lost { "lost" } else { "gained" };
                self.violations.push(format!("{how}: {capability:?}"));
            }
        }
        // The base user has what the active clone had. Later, sessions of the clone are the base user's.
        if round == 0 && pair.active == PairMember::Clone {
            for had in before.iter().filter(|c| c.role == pair.clone) {
                let of_base = Capability {
                    role: pair.base.clone(),
                    ..had.clone()
                };
                let of_pair = had.object == pair.base || had.kind == "new objects";
                if !of_pair && !after.contains(&of_base) {
                    self.violations.push(format!("the base user lacks {had:?}"));
                }
            }
        }
    }

    pub(super) fn compare_transcripts(
        &mut self,
        pair: &Pair,
        round: u32,
        before: &State,
        after: &State,
    ) {
        // Sessions of an adopted clone are those of another role.
        let adopted = round == 0 && pair.active == PairMember::Clone;
        for (statement, was) in &before.transcript {
            let now = after.transcript.get(statement);
            let same = match was {
                // The base user was given objects of the clone.
                Err(_) if round == 0 => true,
                Ok(_) if adopted => now.is_some_and(Result::is_ok),
                _ => now == Some(was),
            };
            // A membership of the clone that the master cannot revoke: a warning names it.
            let of_clone = statement.1.starts_with("SET ROLE") && before.has_own_memberships(pair);
            let of_owner = now.is_some_and(Result::is_ok)
                && self.became_owner_of_rows(pair, statement, before, after);
            if !same && !of_clone && !of_owner {
                self.violations
                    .push(format!("{statement:?} returned {was:?}, now {now:?}"));
            }
        }
    }

    /// Whether the statement counts the rows of a table that was the clone's. Row security does not
    /// apply to its new owner.
    fn became_owner_of_rows(
        &self,
        pair: &Pair,
        (database, statement): &(usize, String),
        before: &State,
        after: &State,
    ) -> bool {
        let Some(name) = statement.strip_prefix("SELECT count(*) FROM ") else {
            return false;
        };
        let owners = self.owners(pair);
        let tables = after.facts.iter().filter(|fact| match &fact.what {
            What::Row(row) if fact.table == "pg_class" && fact.database == *database => {
                let row: serde_json::Value = serde_json::from_str(row).unwrap_or_default();
                let table = row["relname"].as_str().unwrap_or_default();
                let is_named = name.ends_with(table) || name.ends_with(&ident(table));
                is_named && row["relrowsecurity"] == true && row["relforcerowsecurity"] == false
            }
            _ => false,
        });
        let owned_by = |facts: &Facts, table: &Fact, owner: &str| {
            let what = What::Owner(owner.to_owned());
            facts.contains(&Fact {
                what,
                ..table.clone()
            })
        };
        tables.into_iter().any(|table| {
            owned_by(&before.facts, table, &pair.clone)
                && owners
                    .iter()
                    .any(|owner| owned_by(&after.facts, table, owner))
        })
    }

    pub(super) fn without_passwords(&self, facts: &Facts) -> Facts {
        let is_of_pair = |name: &str| name == self.world.pair.base || name == self.world.pair.clone;
        let users = facts.iter().filter_map(|fact| match &fact.what {
            What::Row(row) if fact.table == "pg_authid" => {
                let row: serde_json::Value = serde_json::from_str(row).ok()?;
                let name = row["rolname"].as_str()?;
                is_of_pair(name).then(|| (fact.key.clone(), name.to_owned()))
            }
            _ => None,
        });
        catalog::without_passwords(facts, &users.collect())
    }
}
