//! `ALTER DEFAULT PRIVILEGES [FOR USER …] [IN SCHEMA …] { GRANT | REVOKE } …`.
//!
//! PostgreSQL does not distinguish functions and procedures here. Its sequences, which Redshift
//! does not have, represent procedures.

use super::Step;
use super::cursor::Cursor;
use super::grant::{Verb, grantee};
use super::lex::{quote, render};
use super::privilege::Privileges;

const RELATIONS: [&str; 6] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "REFERENCES",
    "TRUNCATE",
];

pub fn alter(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut head = "ALTER DEFAULT PRIVILEGES".to_owned();
    if cursor.eat("for user") {
        let owners = cursor.list(|cursor| cursor.user())?;
        steps.extend(owners.iter().map(|owner| Step::expects("user", owner)));
        let owners: Vec<String> = owners.iter().map(|owner| quote(owner)).collect();
        head.push_str(&format!(" FOR ROLE {}", owners.join(", ")));
    }
    if cursor.eat("in schema") {
        let schemas = render(cursor.until(&["grant", "revoke"]));
        head.push_str(&format!(" IN SCHEMA {schemas}"));
    }
    let verb = if cursor.eat("grant") {
        Verb::Grant
    } else {
        cursor.expect("revoke")?;
        Verb::Revoke {
            option_only: cursor.eat("grant option for"),
        }
    };
    let privileges = Privileges::read(cursor.until(&["on"]))?;
    cursor.expect("on")?;
    let what = objects(cursor, &privileges)?;
    cursor.expect(verb.towards())?;
    let grantees = cursor.list(grantee)?;
    let _ = verb != Verb::Grant && (cursor.eat("cascade") || cursor.eat("restrict"));
    cursor.end()?;
    for grantee in &grantees {
        steps.extend(grantee.check());
        steps.push(Step::user(format!("{head} {}", verb.sql(&what, grantee))));
    }
    Ok(steps)
}

fn objects(cursor: &mut Cursor<'_>, privileges: &Privileges) -> Result<String, String> {
    let names = privileges.names();
    let is_all = names == ["ALL"];
    if cursor.eat("tables") {
        let known = |name: &String| RELATIONS.contains(&name.as_str());
        return match names.iter().find(|name| !known(name)) {
            Some(unknown) if !is_all => {
                Err(format!("invalid privilege type {unknown} for relation"))
            }
            _ if is_all => Ok(format!("{} ON TABLES", RELATIONS.join(", "))),
            _ => Ok(format!("{} ON TABLES", names.join(", "))),
        };
    }
    let (kind, privilege) = if cursor.eat("functions") {
        ("FUNCTIONS", "EXECUTE")
    } else if cursor.eat("procedures") {
        ("SEQUENCES", "USAGE")
    } else {
        return Err(cursor.error());
    };
    if is_all || names == ["EXECUTE"] {
        Ok(format!("{privilege} ON {kind}"))
    } else {
        Err(format!(
            "invalid privilege type {} for function",
            names.join(", ")
        ))
    }
}
