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
    /// Roles that a clone without the role has through the base user, and that the role lacks.
    pub lacks: Vec<String>,
    /// The master's rights on the role.
    pub rights: RoleRights,
}

impl Facts {
    /// The role that the base user's sessions have in `database`; `None`: in a database without a
    /// setting of its own. PostgreSQL manual, "ALTER ROLE": the setting of a user in a database
    /// outranks that of the user, and this that of the database.
    pub(in super::super) fn session_role<'a>(
        &'a self,
        pair: &'a Pair,
        database: Option<&str>,
    ) -> &'a str {
        let base = Some(pair.base.as_str());
        let ranked = [
            (base, database),
            (base, None),
            (None, database),
            (None, None),
        ];
        let chosen = ranked.iter().find_map(|(of, database)| {
            let mut choices = self.role_choices.iter();
            choices.find(|c| c.of.as_deref() == *of && c.database.as_deref() == *database)
        });
        match chosen {
            Some(choice) if choice.usable => &choice.role,
            _ => &pair.base,
        }
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
        has == self.clone_roles(pair)
    }

    /// The master's rights on a role that sessions of the base user have.
    pub(in super::super) fn rights_on(&self, role: &str, pair: &Pair) -> RoleRights {
        if role == pair.base {
            return self.over_base;
        }
        let mut choices = self.role_choices.iter();
        let found = choices.find(|choice| choice.role == role);
        found.map(|choice| choice.rights).unwrap_or_default()
    }
}
