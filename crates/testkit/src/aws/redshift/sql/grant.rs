//! GRANT and REVOKE.

use serde_json::json;

use super::Step;
use super::cursor::Cursor;
use super::lex::{literal, quote};
use super::privilege::{Privileges, on};

/// A grantee. Each has a separate statement, because WITH GRANT OPTION belongs to the grantee.
pub struct Grantee {
    kind: &'static str,
    pub name: String,
    pub with_option: bool,
}

impl Grantee {
    /// The grantee in PostgreSQL's syntax.
    pub fn sql(&self) -> String {
        if self.kind == "public" {
            "PUBLIC".into()
        } else {
            quote(&self.name)
        }
    }

    pub fn check(&self) -> Option<Step> {
        (self.kind != "public").then(|| Step::expects(self.kind, &self.name))
    }
}

pub fn grantee(cursor: &mut Cursor<'_>) -> Result<Grantee, String> {
    let (kind, name) = if cursor.eat("public") {
        ("public", "public".into())
    } else if cursor.eat("group") {
        ("group", cursor.name()?)
    } else if cursor.eat("role") {
        ("role", cursor.name()?)
    } else {
        ("user", cursor.user()?)
    };
    if kind == "role" && name.starts_with("ds:") {
        return Err(format!(
            "Granting permissions to reserved role {name} is not supported"
        ));
    }
    let error = cursor.error();
    let with_option = cursor.eat("with grant option") || cursor.eat("with admin option");
    if with_option && kind != "user" {
        return Err(format!(
            "WITH GRANT OPTION can't be granted to {kind}; {error}"
        ));
    }
    Ok(Grantee {
        kind,
        name,
        with_option,
    })
}

pub fn grant(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, String> {
    change(cursor, Verb::Grant)
}

/// `REVOKE [{ GRANT | ADMIN } OPTION FOR] …`.
pub fn revoke(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, String> {
    let option_only = cursor.eat("grant option for") || cursor.eat("admin option for");
    change(cursor, Verb::Revoke { option_only })
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Grant,
    Revoke { option_only: bool },
}

impl Verb {
    pub fn towards(self) -> &'static str {
        if self == Self::Grant { "to" } else { "from" }
    }

    /// `{what}` between the verb and the grantee.
    pub fn sql(self, what: &str, grantee: &Grantee) -> String {
        let to = grantee.sql();
        match self {
            Self::Grant if grantee.with_option => format!("GRANT {what} TO {to} WITH GRANT OPTION"),
            Self::Grant => format!("GRANT {what} TO {to}"),
            Self::Revoke { option_only: true } => {
                format!("REVOKE GRANT OPTION FOR {what} FROM {to}")
            }
            Self::Revoke { option_only: false } => format!("REVOKE {what} FROM {to}"),
        }
    }
}

fn change(cursor: &mut Cursor<'_>, verb: Verb) -> Result<Vec<Step>, String> {
    if cursor.sees("role") {
        return roles(cursor, verb);
    }
    let privileges = Privileges::read(cursor.until(&["on", "to", "from"]))?;
    if !cursor.sees("on") {
        return system(cursor, verb, &privileges);
    }
    cursor.expect("on")?;
    let object = on(cursor, verb.towards())?;
    cursor.expect(verb.towards())?;
    let grantees = cursor.list(grantee)?;
    let _ = verb != Verb::Grant && (cursor.eat("cascade") || cursor.eat("restrict"));
    cursor.end()?;
    let mut steps = Vec::new();
    for grantee in &grantees {
        steps.extend(grantee.check());
        steps.extend(object.change(verb, &privileges, grantee)?);
    }
    Ok(steps)
}

/// `GRANT ROLE r [, ROLE s] TO { user [WITH ADMIN OPTION] | ROLE t } [, …]`.
fn roles(cursor: &mut Cursor<'_>, verb: Verb) -> Result<Vec<Step>, String> {
    let granted = cursor.list(|cursor| {
        cursor.expect("role")?;
        cursor.name()
    })?;
    cursor.expect(verb.towards())?;
    let grantees = cursor.list(grantee)?;
    cursor.end()?;
    let mut steps = Vec::new();
    for grantee in &grantees {
        if !["user", "role"].contains(&grantee.kind) {
            return Err(format!("syntax error at or near \"{}\"", grantee.kind));
        }
        steps.extend(grantee.check());
        for role in &granted {
            steps.push(Step::user(format!(
                "SELECT pg_stand_in.grants_role({})",
                literal(role)
            )));
            let (role, to) = (quote(role), grantee.sql());
            steps.push(Step::root(match verb {
                Verb::Grant if grantee.with_option => {
                    format!("GRANT {role} TO {to} WITH ADMIN OPTION")
                }
                Verb::Grant => format!("GRANT {role} TO {to}"),
                Verb::Revoke { option_only: true } => {
                    format!("REVOKE ADMIN OPTION FOR {role} FROM {to}")
                }
                Verb::Revoke { option_only: false } => format!("REVOKE {role} FROM {to}"),
            }));
        }
    }
    Ok(steps)
}

/// `GRANT CREATE USER TO ROLE r`, and CREATE MODEL, which users can receive too.
fn system(
    cursor: &mut Cursor<'_>,
    verb: Verb,
    privileges: &Privileges,
) -> Result<Vec<Step>, String> {
    cursor.expect(verb.towards())?;
    let grantees = cursor.list(grantee)?;
    cursor.end()?;
    let grants = verb == Verb::Grant;
    let mut steps = Vec::new();
    for grantee in &grantees {
        steps.extend(grantee.check());
        if privileges.names() == ["CREATE MODEL"] {
            let database = "current_database()";
            steps.push(Step::user(format!(
                "SELECT pg_stand_in.change_extra('database', {database}, 'CREATE MODEL', {}, {grants}, {})",
                literal(&grantee.name),
                grantee.with_option
            )));
            continue;
        }
        let known = |name: &String| SYSTEM.contains(&name.as_str());
        if let Some(unknown) = privileges.names().iter().find(|name| !known(name)) {
            return Err(format!("syntax error at or near \"{unknown}\""));
        }
        if grantee.kind != "role" {
            return Err("system privileges can be granted to roles only".into());
        }
        steps.push(Step::needs(
            "SUPERUSER",
            "must be superuser to grant system privileges",
        ));
        let names = literal(&json!(privileges.names()).to_string());
        let role = literal(&grantee.name);
        steps.push(Step::root(format!(
            "SELECT pg_stand_in.change_system({role}, {names}, {grants})"
        )));
    }
    Ok(steps)
}

const SYSTEM: [&str; 10] = [
    "CREATE USER",
    "ALTER USER",
    "DROP USER",
    "CREATE ROLE",
    "DROP ROLE",
    "GRANT ROLE",
    "ACCESS SYSTEM TABLE",
    "ALTER DEFAULT PRIVILEGES",
    "CREATE SCHEMA",
    "CREATE TABLE",
];
