//! Roles of the users' sessions: pure.
//!
//! An administrator can give the base user's sessions another role (`ALTER ROLE app SET role =
//! 'app_owner'`, also for one database, or as a setting of the database). The clone's sessions get the
//! same role, so that both users own and can do the same.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::facts::{Facts, RoleRights, Setting, SettingValues};
use twinkey_core::secret::pair::Pair;

/// A `role` setting: of a user, of a database, or of both.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct RoleChoice {
    /// The user; `None`: every user.
    pub of: Option<String>,
    /// `None`: in all databases.
    pub database: Option<String>,
    pub role: String,
    /// The base user may set the role. Otherwise the server ignores the setting at its sign-in.
    pub usable: bool,
    /// The base user has the role's privileges without setting it.
    pub held: bool,
    /// The clone may set the role.
    pub usable_by_clone: bool,
    /// `CREATEDB`, `CREATEROLE` and `BYPASSRLS`, where the role has them.
    pub attributes: Vec<String>,
    /// The role has INHERIT.
    pub inherits: bool,
    /// Roles that a clone without the role has through the base user, and that the role lacks.
    pub lacks: Vec<Lacked>,
    /// The master's rights on the role.
    pub rights: RoleRights,
}

/// A role that the base user is a member of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Lacked {
    pub role: String,
    /// The base user has ADMIN OPTION, and the role of its sessions has not.
    pub admin: bool,
}

/// A role of the clone's sessions that cannot be granted to `target`, of which it is a member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Cycle {
    /// The base user, or a role of its sessions.
    pub target: String,
    pub role: String,
    /// The roles that `role` has the privileges of, itself included, and `target` has not.
    pub reaches: Vec<Reached>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Reached {
    pub role: String,
    /// A member of the target too: its privileges have to be granted one by one.
    pub is_member: bool,
    /// It has the privileges of the target.
    pub inherits: bool,
}

impl Facts {
    /// The cycle that a grant of `role` to `target` would close.
    pub(in super::super) fn cycle(&self, role: &str, target: &str) -> Option<&Cycle> {
        let mut all = self.cycles.iter();
        all.find(|cycle| cycle.role == role && cycle.target == target)
    }

    /// Whether sessions of the base user lack privileges that the role of the cycle has.
    pub(in super::super) fn lacks(&self, cycle: &Cycle) -> bool {
        cycle.reaches.iter().any(|reached| {
            let mut through = self.through.iter();
            !reached.is_member || through.any(|through| through.role == reached.role)
        })
    }

    /// Whether sessions of the base user in `database` lack what the active clone has by `role`.
    pub(super) fn is_lost(&self, pair: &Pair, role: &str, database: &str) -> bool {
        self.lacks_role(pair, role, self.session_role(pair, Some(database)))
    }

    /// Whether sessions of the base user with the role `works_as` lack what the active clone has by
    /// `role`.
    fn lacks_role(&self, pair: &Pair, role: &str, works_as: &str) -> bool {
        if role == pair.base {
            return works_as != role;
        }
        let mut cycles = self.cycles.iter();
        cycles.any(|cycle| {
            let mut reached = cycle.reaches.iter();
            [pair.base.as_str(), works_as].contains(&cycle.target.as_str())
                && reached.any(|reached| reached.is_member && reached.role == role)
        })
    }

    /// Roles of the base user's sessions in other databases than its own, if they lack what the active
    /// clone has by `role`, itself included.
    pub(super) fn lacking_elsewhere(&self, pair: &Pair, role: &str) -> BTreeSet<String> {
        let here = self.session_role(pair, Some(&self.database));
        let databases = self.role_choices.iter().map(|c| c.database.as_deref());
        let databases = databases.chain([None]);
        let roles = databases.map(|database| self.session_role(pair, database));
        roles
            .filter(|works_as| *works_as != here)
            .filter(|works_as| role == pair.clone || self.lacks_role(pair, role, works_as))
            .map(str::to_owned)
            .collect()
    }

    /// The role that the base user's sessions have in `database`; `None`: in a database without a
    /// setting of its own. PostgreSQL manual, "ALTER ROLE": the setting of a user in a database
    /// outranks that of the user, and this that of the database.
    pub(in super::super) fn session_role<'a>(
        &'a self,
        pair: &'a Pair,
        database: Option<&str>,
    ) -> &'a str {
        self.role_of(&pair.base, database, |choice| choice.usable)
    }

    /// As [`Self::session_role`], of the clone's sessions.
    fn role_of_clone<'a>(&'a self, pair: &'a Pair, database: Option<&str>) -> &'a str {
        self.role_of(&pair.clone, database, |choice| choice.usable_by_clone)
    }

    /// The server ignores a role that the user may not set, and uses the next setting (`InitPostgres`).
    fn role_of<'a>(
        &'a self,
        user: &'a str,
        database: Option<&str>,
        usable: impl Fn(&RoleChoice) -> bool,
    ) -> &'a str {
        let name = Some(user);
        let ranked = [
            (name, database),
            (name, None),
            (None, database),
            (None, None),
        ];
        let chosen = ranked.iter().find_map(|(of, database)| {
            let mut choices = self.role_choices.iter();
            choices.find(|c| {
                c.of.as_deref() == *of
                    && c.database.as_deref() == *database
                    && (c.role == "none" || usable(c))
            })
        });
        match chosen {
            Some(choice) if choice.role != "none" => &choice.role,
            _ => user,
        }
    }

    /// Roles of the base user's sessions that lack this attribute of the active clone's sessions.
    pub(in super::super) fn without<'a>(
        &'a self,
        pair: &'a Pair,
        attribute: &str,
    ) -> BTreeSet<&'a str> {
        let databases = self.role_choices.iter().map(|c| c.database.as_deref());
        let roles = databases.chain([None]).map(|database| {
            let clones = self.role_of_clone(pair, database);
            (clones, self.session_role(pair, database))
        });
        roles
            .filter(|(clones, _)| self.has(clones, attribute))
            .filter(|(_, works_as)| !self.has(works_as, attribute))
            .map(|(_, works_as)| works_as)
            .collect()
    }

    fn has(&self, role: &str, attribute: &str) -> bool {
        let pair = [&self.base, &self.clone].into_iter().flatten();
        if let Some(user) = pair.into_iter().find(|user| user.name == role) {
            return match attribute {
                "CREATEDB" => user.createdb,
                "CREATEROLE" => user.createrole,
                _ => user.bypassrls,
            };
        }
        let mut choices = self.role_choices.iter();
        choices.any(|c| c.role == role && c.attributes.iter().any(|a| a == attribute))
    }

    /// The roles that sessions of the base user have in some databases, without the base user.
    pub(in super::super) fn other_roles(&self, pair: &Pair) -> BTreeSet<&str> {
        let choices = self.role_choices.iter();
        choices
            .filter(|c| c.usable && c.role != pair.base)
            .filter(|c| self.session_role(pair, c.database.as_deref()) == c.role)
            .map(|c| c.role.as_str())
            .collect()
    }

    /// The role settings that give the clone's sessions the roles of the base user's.
    pub(in super::super) fn clone_roles(&self, pair: &Pair) -> SettingValues {
        let everywhere = self.session_role(pair, None);
        let setting = |database: Option<&String>, role: &str| {
            let setting = Setting {
                name: "role".to_owned(),
                value: role.to_owned(),
            };
            ((database.cloned(), "role".to_owned()), setting)
        };
        let databases = self.role_choices.iter().filter_map(|c| c.database.as_ref());
        let in_databases = databases.filter_map(|database| {
            let role = self.session_role(pair, Some(database));
            (role != everywhere).then(|| setting(Some(database), role))
        });
        std::iter::once(setting(None, everywhere))
            .chain(in_databases)
            .collect()
    }

    /// Whether every session of the clone has the role of the base user's already.
    pub(in super::super) fn works_as_base(&self, pair: &Pair) -> bool {
        let mut has = self.settings_of(&pair.clone);
        has.retain(|key, _| key.1 == "role");
        let mut choices = self.role_choices.iter();
        let ignored = choices.any(|c| c.of.as_ref() == Some(&pair.clone) && !c.usable_by_clone);
        has == self.clone_roles(pair) && !ignored
    }

    /// The master's rights on a role that sessions of the base user have.
    pub(in super::super) fn rights_on(&self, role: &str, pair: &Pair) -> RoleRights {
        if role == pair.base {
            return self.over_base.clone();
        }
        let mut choices = self.role_choices.iter();
        let found = choices.find(|choice| choice.role == role);
        found
            .map(|choice| choice.rights.clone())
            .unwrap_or_default()
    }
}
