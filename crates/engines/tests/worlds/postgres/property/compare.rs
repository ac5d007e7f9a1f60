//! Comparisons of the states before and after a rotation.

use twinkey_core::secret::pair::{Pair, PairMember};

use super::super::catalog::{self, Fact, Facts, What};
use super::super::effective::Capability;
use super::super::server::ident;
use super::{Check, State};

impl Check<'_> {
    pub(super) fn compare_capabilities(
        &mut self,
        pair: &Pair,
        State {
            facts,
            capabilities: before,
            ..
        }: &State,
        State {
            capabilities: after,
            ..
        }: &State,
    ) {
        let owners = self.owners(pair, facts);
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
    }

    /// Sessions of the base user can do what those of the active clone could.
    pub(super) fn compare_sessions(&mut self, pair: &Pair, before: &State, after: &State) {
        for database in 0..2 {
            let role_of = |state: &State| {
                let statement = (database, "SELECT current_user".to_owned());
                state.transcript.get(&statement).cloned()?.ok()
            };
            let (Some(was), Some(now)) = (role_of(before), role_of(after)) else {
                continue;
            };
            let can = |role: &str, had: &Capability| {
                after.capabilities.contains(&Capability {
                    role: role.to_owned(),
                    ..had.clone()
                })
            };
            let had = before.capabilities.iter();
            for had in had.filter(|c| c.database == database && c.role == was) {
                // The server checks these privileges of the user, whatever role its session has.
                let of_user = had.what.starts_with("CONNECT")
                    || had.kind == "role" && !had.what.starts_with("USAGE");
                let is_same = had.object == pair.base || had.object == now;
                let is_elsewhere = had.kind == "database"
                    && had.object != self.world.databases[database]
                    && !of_user;
                let has = can(&now, had) || of_user && can(&pair.base, had);
                // The names of grantors differ.
                if !has && !is_same && !is_elsewhere && had.kind != "new objects" {
                    self.violations
                        .push(format!("sessions of the base user as {now:?} lack {had:?}"));
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
            let of_clone =
                !adopted && statement.1.starts_with("SET ROLE") && before.has_own_memberships(pair);
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
        let owners = self.owners(pair, &before.facts);
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
