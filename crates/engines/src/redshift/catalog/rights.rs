//! Rights that the planned changes need, for an admin that is no superuser. Pure.
//!
//! # Failure modes
//! - An admin reads some rows of the views only, and the standby gets a part of the privileges. Each
//!   missing permission to read is reported, and the run is refused.
//! - The first run cannot create the table of locks: the rights on it are read at the sign-in, and a run
//!   that lacks them does not take the lock.
//! - A statement is refused in the middle of a run. Every planned change is compared with the rights
//!   that the manual demands for it: a system privilege, ownership, a grant option or a superuser.

use std::collections::BTreeSet;

use super::account;
use super::defaults;
use super::diff;
use super::facts::{AdminRights, DatabaseFacts, Facts, UserPrivileges};
use super::grants::Object;
use crate::Finding;
use crate::redshift::quote::{ident, with_case_setting};
use twinkey_core::secret::pair::Pair;

/// Maximum number of objects that one finding names.
const NAMED: usize = 5;

/// Rights that the admin lacks, one by one.
pub(in crate::redshift) fn missing(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let admin = &facts.admin;
    if admin.superuser {
        return Vec::new();
    }
    let name = &facts.master;
    let user = ident(name);
    let superuser = format!("ALTER USER {user} CREATEUSER");
    if admin.roles.is_empty() {
        let what = format!(
            "the admin {name:?} is no superuser and has no role: it may neither create users nor grant privileges of others"
        );
        return vec![Finding::lacks(what, superuser)];
    }
    let mut all = Vec::new();
    if !admin.reads_all_relations() {
        all.push(Finding::lacks(
            format!("the admin {name:?} cannot read all rows of svv_relation_privileges: grants on tables would not be copied"),
            format!("ALTER USER {user} SYSLOG ACCESS UNRESTRICTED"),
        ));
    }
    if !admin.reads_all_views() {
        all.push(Finding::lacks(
            format!("the admin {name:?} cannot read all rows of the other svv_* views (ACCESS SYSTEM TABLE): grants on schemas and databases would not be copied"),
            format!("GRANT ROLE \"sys:monitor\" TO {user}"),
        ));
    }
    let create = facts.standby.is_none().then_some("CREATE USER");
    for privilege in create.into_iter().chain(["ALTER USER"]) {
        if !admin.has_system(privilege) {
            all.push(Finding::lacks(
                format!("the admin {name:?} lacks the system privilege {privilege}"),
                format!("GRANT ROLE \"sys:secadmin\" TO {user}"),
            ));
        }
    }
    for (privileges, object) in admin.locks.missing(&facts.database) {
        all.push(Finding::lacks(
            format!("the admin {name:?} lacks {privileges} on {object}: a run uses the table of locks, twinkey.locks"),
            with_case_setting(format!("GRANT {privileges} ON {object} TO {user}")),
        ));
    }
    all.extend(roles(facts));
    all.extend(of_superuser(facts, pair).into_iter().map(|what| {
        let what = format!("the admin {name:?} is no superuser, and may not {what}");
        Finding::lacks(what, superuser.clone())
    }));
    all
}

/// Roles that the admin may not grant.
fn roles(facts: &Facts) -> Vec<Finding> {
    let admin = &facts.admin;
    if admin.has_system("GRANT ROLE") {
        return Vec::new();
    }
    let changed = account::changed_roles(facts);
    let lacks = changed
        .iter()
        .filter(|role| admin.roles.get(*role) != Some(&true));
    lacks
        .map(|role| {
            Finding::lacks(
                format!(
                    "the admin {:?} may not grant the role {role:?}",
                    facts.master
                ),
                format!(
                    "GRANT ROLE {} TO {} WITH ADMIN OPTION",
                    ident(role),
                    ident(&facts.master)
                ),
            )
        })
        .collect()
}

/// What only a superuser may do, or an owner that the admin is not.
fn of_superuser(facts: &Facts, pair: &Pair) -> Vec<String> {
    let mut all = Vec::new();
    if facts.active.is_none() {
        return all;
    }
    let account: Vec<String> = account::changes(facts, pair)
        .iter()
        .map(|change| change.statement.to_string())
        .collect();
    for (part, what) in [
        ("ALTER GROUP ", "change the groups of another user"),
        (
            " SESSION TIMEOUT",
            "change the session timeout of another user",
        ),
        (
            " SYSLOG ACCESS ",
            "change the access of another user to system tables",
        ),
        (" CREATEDB", "allow another user to create databases"),
    ] {
        if account.iter().any(|statement| statement.contains(part)) {
            all.push(what.to_owned());
        }
    }
    for database in &facts.databases {
        let inside = format!("in the database {:?}", database.name);
        let owners = diff::changed_owners(database, pair);
        if owners > 0 {
            all.push(format!("give {owners} objects to the base user {inside}"));
        }
        let defaults = !defaults::changes(&database.defaults, pair).is_empty();
        if defaults && !facts.admin.has_system("ALTER DEFAULT PRIVILEGES") {
            all.push(format!("set default privileges of another user {inside}"));
        }
        let objects = not_grantable(&facts.admin, database, pair);
        if !objects.is_empty() {
            let named: Vec<&str> = objects.iter().take(NAMED).map(String::as_str).collect();
            let more = objects.len() - named.len();
            let more = if more == 0 {
                String::new()
            } else {
                format!(", and on {more} more objects")
            };
            all.push(format!("grant {}{more}, {inside}", named.join("; ")));
        }
    }
    all
}

/// Changed privileges on objects that the admin neither owns nor holds with grant option.
fn not_grantable(admin: &AdminRights, database: &DatabaseFacts, pair: &Pair) -> BTreeSet<String> {
    let nothing = UserPrivileges::default();
    let own = admin.databases.get(&database.name).unwrap_or(&nothing);
    let mut all = BTreeSet::new();
    for (object, privileges) in diff::changed_privileges(database, pair) {
        if owns(own, &object) {
            continue;
        }
        let held = own.granted.get(&object);
        let may = |privilege: &&String| held.and_then(|held| held.get(*privilege)) == Some(&true);
        let lacks: Vec<&str> = privileges
            .iter()
            .filter(|privilege| !may(privilege))
            .map(String::as_str)
            .collect();
        if !lacks.is_empty() {
            all.insert(format!("{} {}", lacks.join(", "), object.shown()));
        }
    }
    all
}

/// Whether the admin owns the object, or the table of the column.
fn owns(own: &UserPrivileges, object: &Object) -> bool {
    match object {
        Object::Column {
            schema, relation, ..
        } => own.owned.contains_key(&Object::Relation {
            schema: schema.clone(),
            name: relation.clone(),
        }),
        object => own.owned.contains_key(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redshift::catalog::facts::{LockRights, LockSchemaRights, User};

    fn table(name: &str) -> Object {
        Object::Relation {
            schema: "s".into(),
            name: name.into(),
        }
    }

    fn pair() -> Pair {
        Pair::of("app", "_clone")
    }

    /// An equal pair whose admin has a role with the rights to change a password.
    fn facts() -> Facts {
        let mut facts = Facts {
            master: "admin".into(),
            active: Some(User::default()),
            standby: Some(User::default()),
            ..Facts::default()
        };
        facts.admin.syslog = true;
        facts.admin.roles.insert("keeper".into(), false);
        let system = ["ALTER USER", "ACCESS SYSTEM TABLE"].map(str::to_owned);
        facts.admin.system.extend(system);
        facts.admin.locks.creates_schemas = true;
        facts
    }

    fn texts(facts: &Facts) -> Vec<String> {
        let missing = missing(facts, &pair());
        missing.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn an_equal_pair_needs_no_superuser() {
        assert_eq!(texts(&facts()), [""; 0]);
    }

    #[test]
    fn the_table_of_locks_needs_rights_on_what_exists() {
        let schema = |usage, create, table| {
            let rights = LockSchemaRights {
                usage,
                create,
                table,
            };
            Some(rights)
        };
        let write = "GRANT SELECT, INSERT, UPDATE, DELETE ON twinkey.locks TO \"admin\"";
        let database = "GRANT CREATE ON DATABASE \"dev\" TO \"admin\"";
        let usage = "GRANT USAGE ON SCHEMA twinkey TO \"admin\"";
        let create = "GRANT CREATE ON SCHEMA twinkey TO \"admin\"";
        let cases: [(bool, Option<LockSchemaRights>, &[&str]); 6] = [
            (true, None, &[]),
            (false, None, &[database]),
            (false, schema(true, true, None), &[database]),
            (true, schema(false, false, None), &[usage, create]),
            (false, schema(true, false, Some(true)), &[]),
            (false, schema(false, false, Some(false)), &[usage, write]),
        ];
        for (creates_schemas, schema, expected) in cases {
            let mut facts = facts();
            facts.database = "dev".into();
            facts.admin.locks = LockRights {
                creates_schemas,
                schema,
            };
            let missing = missing(&facts, &pair()).into_iter();
            let fixes: Vec<String> = missing.filter_map(|finding| finding.fix).collect();
            assert_eq!(fixes, expected, "{creates_schemas} {schema:?}");
        }
    }

    #[test]
    fn each_missing_right_is_reported() {
        let mut facts = facts();
        facts.admin.syslog = false;
        facts.admin.system.clear();
        facts.standby = None;
        let active = facts.active.as_mut().unwrap();
        active.roles.insert("reader".into(), false);
        active.groups.insert("team".into());
        let what = texts(&facts);
        for part in [
            "svv_relation_privileges",
            "ACCESS SYSTEM TABLE",
            "CREATE USER",
            "ALTER USER",
            "may not grant the role \"reader\"",
            "change the groups",
        ] {
            assert!(
                what.iter().any(|what| what.contains(part)),
                "{part}: {what:#?}"
            );
        }
        assert_eq!(what.len(), 6, "{what:#?}");
    }

    #[test]
    fn a_grant_needs_ownership_or_its_grant_option() {
        let mut facts = facts();
        let mut database = DatabaseFacts {
            name: "dev".into(),
            ..DatabaseFacts::default()
        };
        for name in ["owned", "granted", "foreign"] {
            let held = [("SELECT".to_owned(), false)].into();
            database.active.granted.insert(table(name), held);
        }
        facts.databases.push(database);
        let mut own = UserPrivileges::default();
        own.owned.insert(table("owned"), false);
        let option = [("SELECT".to_owned(), true)].into();
        own.granted.insert(table("granted"), option);
        facts.admin.databases.insert("dev".into(), own);
        let what = texts(&facts);
        let of_grants: Vec<&String> = what.iter().filter(|what| what.contains("SELECT")).collect();
        assert_eq!(of_grants.len(), 1, "{what:#?}");
        assert!(
            of_grants[0].contains("SELECT ON TABLE \"s\".\"foreign\""),
            "{what:#?}"
        );
        assert!(!of_grants[0].contains("owned") && !of_grants[0].contains("\"granted\""));
    }
}
