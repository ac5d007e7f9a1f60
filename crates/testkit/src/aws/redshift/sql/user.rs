//! Users: PostgreSQL roles with LOGIN; additional attributes are in their note.

use serde_json::{Map, Value as Json, json};

use super::super::password::{Stored, stored};
use super::Step;
use super::cursor::Cursor;
use super::lex::{literal, quote, render};

/// Settings that only Redshift has, stored with a prefix that the views remove.
const OWN_SETTINGS: [&str; 6] = [
    "query_group",
    "wlm_query_slot_count",
    "enable_result_cache_for_session",
    "enable_case_sensitive_identifier",
    "describe_field_name_in_uppercase",
    "use_fips_ssl",
];

/// Options of CREATE USER and ALTER USER.
#[derive(Default)]
struct Options {
    attributes: Vec<String>,
    note: Map<String, Json>,
    groups: Vec<String>,
    password: Option<Stored>,
    /// Whether an option other than the password is present.
    others: bool,
    makes_superuser: Option<bool>,
}

fn option(cursor: &mut Cursor<'_>, user: &str, options: &mut Options) -> Result<bool, String> {
    let before = options.attributes.len();
    if cursor.eat("password") {
        let password = if cursor.eat("disable") {
            Stored::Disabled
        } else {
            stored(cursor.text()?, user)?
        };
        options.attributes.push(match &password {
            Stored::Md5(md5) => format!("PASSWORD {}", literal(md5)),
            // PostgreSQL has no such form; the user can sign in only through the Data API.
            Stored::Sha256(_) | Stored::Disabled => "PASSWORD NULL".into(),
        });
        options.note.insert("password".into(), password.as_json());
        options.password = Some(password);
        return Ok(true);
    }
    for (keyword, superuser) in [("createuser", true), ("nocreateuser", false)] {
        if cursor.eat(keyword) {
            options.makes_superuser = Some(superuser);
            options.attributes.push(
                if superuser {
                    "SUPERUSER"
                } else {
                    "NOSUPERUSER"
                }
                .into(),
            );
        }
    }
    for keyword in ["createdb", "nocreatedb"] {
        if cursor.eat(keyword) {
            options.attributes.push(keyword.to_uppercase());
        }
    }
    if cursor.eat("valid until") {
        options
            .attributes
            .push(format!("VALID UNTIL {}", literal(cursor.text()?)));
    } else if cursor.eat("connection limit unlimited") {
        options.attributes.push("CONNECTION LIMIT -1".into());
    } else if cursor.eat("connection limit") {
        options
            .attributes
            .push(format!("CONNECTION LIMIT {}", cursor.number()?));
    } else if cursor.eat("syslog access") {
        let access = ["RESTRICTED", "UNRESTRICTED"]
            .into_iter()
            .find(|access| cursor.eat(access));
        options.note.insert(
            "syslog".into(),
            json!(access.ok_or_else(|| cursor.error())?),
        );
        options.attributes.push(String::new());
    } else if cursor.eat("session timeout") {
        let seconds = cursor.number()?;
        if !(60..=1_728_000).contains(&seconds) {
            return Err("SESSION TIMEOUT must be between 60 and 1728000".into());
        }
        options.note.insert("timeout".into(), json!(seconds));
        options.attributes.push(String::new());
    }
    let found = options.attributes.len() > before;
    options.others |= found;
    Ok(found)
}

pub fn note(name: &str, note: Map<String, Json>) -> Step {
    let (name, note) = (literal(name), literal(&Json::Object(note).to_string()));
    Step::root(format!("SELECT pg_stand_in.note({name}, {note})"))
}

/// `CREATE USER name [WITH] PASSWORD … [option …]`, without IF NOT EXISTS.
pub fn create(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, String> {
    let name = cursor.user()?;
    if name == "public" {
        return Err("user name \"public\" is reserved".into());
    }
    cursor.eat("with");
    let mut options = Options::default();
    loop {
        if cursor.eat("in group") {
            options.groups.extend(cursor.list(Cursor::name)?);
        } else if !option(cursor, &name, &mut options)? {
            break;
        }
    }
    cursor.end()?;
    let Some(password) = &options.password else {
        return Err(
            "syntax error: a user is created with a PASSWORD, or with PASSWORD DISABLE".into(),
        );
    };
    let makes_superuser = options.makes_superuser == Some(true);
    if makes_superuser && *password == Stored::Disabled {
        return Err("Cannot disable the password of a superuser".into());
    }
    let mut steps = vec![Step::needs(
        if makes_superuser {
            "SUPERUSER"
        } else {
            "CREATE USER"
        },
        "must be superuser to create users",
    )];
    steps.extend(
        options
            .groups
            .iter()
            .map(|group| Step::expects("group", group)),
    );
    let user = quote(&name);
    let attributes = options.attributes.join(" ");
    steps.push(Step::root(format!("CREATE ROLE {user} LOGIN {attributes}")));
    options.note.insert("kind".into(), json!("user"));
    steps.push(note(&name, options.note));
    let into = |group: &String| Step::root(format!("GRANT {} TO {user}", quote(group)));
    steps.extend(options.groups.iter().map(into));
    Ok(steps)
}

/// `ALTER USER name [WITH] option [, …]`.
pub fn alter(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, String> {
    let name = cursor.user()?;
    let user = quote(&name);
    cursor.eat("with");
    let mut steps = vec![Step::expects("user", &name)];
    if cursor.eat("rename to") {
        let new = cursor.user()?;
        cursor.end()?;
        steps.push(may_alter(&name));
        steps.push(Step::root(format!(
            "ALTER ROLE {user} RENAME TO {}",
            quote(&new)
        )));
        // The name is the salt, so that a rename invalidates the password.
        steps.push(Step::root(format!(
            "ALTER ROLE {} PASSWORD NULL",
            quote(&new)
        )));
        steps.push(note(
            &new,
            Map::from_iter([("password".into(), Json::Null)]),
        ));
        return Ok(steps);
    }
    if cursor.eat("reset session timeout") {
        cursor.end()?;
        steps.push(may_alter(&name));
        steps.push(note(
            &name,
            Map::from_iter([("timeout".into(), Json::Null)]),
        ));
        return Ok(steps);
    }
    if cursor.sees("set") || cursor.sees("reset") {
        let sets = cursor.eat("set");
        let _ = sets || cursor.eat("reset");
        let setting = setting(cursor)?;
        let value = if sets {
            format!("TO {}", value(cursor)?)
        } else {
            String::new()
        };
        cursor.end()?;
        let verb = if sets { "SET" } else { "RESET" };
        steps.push(may_alter(&name));
        steps.push(Step::root(format!(
            "ALTER ROLE {user} {verb} {setting} {value}"
        )));
        return Ok(steps);
    }
    let mut options = Options::default();
    while option(cursor, &name, &mut options)? {
        cursor.symbol(",");
    }
    if options.attributes.is_empty() {
        return Err(cursor.error());
    }
    cursor.end()?;
    steps.push(if options.makes_superuser.is_some() {
        Step::needs("SUPERUSER", "must be superuser to alter superusers")
    } else if options.others || options.password == Some(Stored::Disabled) {
        may_alter(&name)
    } else {
        Step::user(format!(
            "SELECT pg_stand_in.alters_password({})",
            literal(&name)
        ))
    });
    if options.password == Some(Stored::Disabled) {
        steps.push(Step::user(format!(
            "SELECT pg_stand_in.disables({})",
            literal(&name)
        )));
    }
    let attributes = options.attributes.join(" ");
    if !attributes.trim().is_empty() {
        steps.push(Step::root(format!("ALTER ROLE {user} {attributes}")));
    }
    steps.push(note(&name, options.note));
    Ok(steps)
}

fn may_alter(name: &str) -> Step {
    Step::user(format!("SELECT pg_stand_in.alters_user({})", literal(name)))
}

/// `SET name { TO | = } value` in the session.
pub fn set(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, String> {
    let setting = setting(cursor)?;
    let value = value(cursor)?;
    Ok(vec![Step::user(format!("SET {setting} TO {value}"))])
}

fn setting(cursor: &mut Cursor<'_>) -> Result<String, String> {
    let name = cursor.name()?;
    let own = OWN_SETTINGS.contains(&name.as_str());
    Ok(if own {
        format!("redshift.{name}")
    } else {
        quote(&name)
    })
}

fn value(cursor: &mut Cursor<'_>) -> Result<String, String> {
    if !cursor.eat("to") && !cursor.symbol("=") {
        return Err(cursor.error());
    }
    let value = cursor.until(&[]);
    if value.is_empty() {
        Err(cursor.error())
    } else {
        Ok(render(value))
    }
}
