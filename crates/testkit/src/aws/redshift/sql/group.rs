//! Groups and roles: PostgreSQL roles without LOGIN, distinguished by their note.

use serde_json::{Map, json};

use super::Step;
use super::cursor::Cursor;
use super::lex::{literal, quote};
use super::user::note;

/// `CREATE GROUP name [[WITH] USER user [, …]]`.
pub fn create_group(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, String> {
    let name = cursor.name()?;
    cursor.eat("with");
    let members = if cursor.eat("user") {
        cursor.list(Cursor::user)?
    } else {
        Vec::new()
    };
    cursor.end()?;
    let mut steps = vec![
        Step::needs("SUPERUSER", "must be superuser to create groups"),
        Step::root(format!("CREATE ROLE {} NOLOGIN", quote(&name))),
        note(&name, Map::from_iter([("kind".into(), json!("group"))])),
    ];
    steps.extend(
        members
            .iter()
            .flat_map(|user| membership(&name, user, true)),
    );
    Ok(steps)
}

/// `ALTER GROUP name { ADD | DROP } USER user [, …]` and RENAME TO.
pub fn alter_group(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, String> {
    let name = cursor.name()?;
    let mut steps = vec![
        Step::needs("SUPERUSER", "must be superuser to alter groups"),
        Step::expects("group", &name),
    ];
    if cursor.eat("rename to") {
        let new = cursor.name()?;
        steps.push(Step::root(format!(
            "ALTER ROLE {} RENAME TO {}",
            quote(&name),
            quote(&new)
        )));
    } else {
        let adds = cursor.eat("add user");
        if !adds {
            cursor.expect("drop user")?;
        }
        let members = cursor.list(Cursor::user)?;
        steps.extend(
            members
                .iter()
                .flat_map(|user| membership(&name, user, adds)),
        );
    }
    cursor.end()?;
    Ok(steps)
}

fn membership(group: &str, user: &str, adds: bool) -> [Step; 2] {
    let (verb, to) = if adds {
        ("GRANT", "TO")
    } else {
        ("REVOKE", "FROM")
    };
    [
        Step::expects("user", user),
        Step::root(format!("{verb} {} {to} {}", quote(group), quote(user))),
    ]
}

/// `CREATE ROLE name`; its owner is its creator.
pub fn create_role(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, String> {
    let name = cursor.name()?;
    cursor.end()?;
    Ok(vec![
        Step::needs("CREATE ROLE", "permission denied to create role"),
        Step::root(format!("CREATE ROLE {} NOLOGIN", quote(&name))),
        note(&name, Map::from_iter([("kind".into(), json!("role"))])),
        Step::user(format!("SELECT pg_stand_in.owns_role({})", literal(&name))),
    ])
}

/// `DROP { USER | GROUP | ROLE } [IF EXISTS] name [, …] [FORCE | RESTRICT]`.
pub fn drop_some(
    cursor: &mut Cursor<'_>,
    kind: &str,
    privilege: &str,
) -> Result<Vec<Step>, String> {
    let if_exists = if cursor.eat("if exists") {
        "IF EXISTS"
    } else {
        ""
    };
    let is_user = kind == "user";
    let names = cursor.list(|c| if is_user { c.user() } else { c.name() })?;
    cursor.eat("restrict");
    cursor.end()?;
    let mut steps = vec![Step::needs(
        privilege,
        &format!("permission denied to drop {kind}"),
    )];
    for name in names {
        if if_exists.is_empty() {
            steps.push(Step::expects(kind, &name));
        }
        steps.push(Step::root(format!(
            "DROP ROLE {if_exists} {}",
            quote(&name)
        )));
    }
    Ok(steps)
}
