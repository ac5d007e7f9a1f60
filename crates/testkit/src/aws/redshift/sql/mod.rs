//! Redshift's SQL as steps for a PostgreSQL.
//!
//! What can go wrong, and what prevents it:
//! - a statement works here and not on Redshift: what is not known is refused as a syntax error, and
//!   what PostgreSQL learned after Redshift left it (version 8.0) is refused by name;
//! - a statement works here with rights that its user does not have: only what PostgreSQL cannot
//!   enforce runs as the server's superuser, after a check of its own.

mod cursor;
mod defaults;
mod dialect;
mod grant;
mod group;
mod lex;
mod privilege;
mod user;

pub use lex::{literal, quote};

use cursor::Cursor;
use lex::{Token, render, tokens};

/// One statement for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// As the server's superuser; else as the user.
    pub as_root: bool,
    pub sql: String,
}

impl Step {
    fn user(sql: String) -> Self {
        Self {
            as_root: false,
            sql,
        }
    }

    fn root(sql: String) -> Self {
        Self { as_root: true, sql }
    }

    /// One name is one thing: a user is no group.
    fn expects(kind: &str, name: &str) -> Self {
        let (kind, name) = (literal(kind), literal(name));
        Self::user(format!("SELECT pg_stand_in.expects({kind}, {name})"))
    }

    fn needs(privilege: &str, otherwise: &str) -> Self {
        let (privilege, otherwise) = (literal(privilege), literal(otherwise));
        Self::user(format!(
            "SELECT pg_stand_in.needs({privilege}, {otherwise})"
        ))
    }
}

/// What a statement is for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    pub steps: Vec<Step>,
    /// Whether the last step gives rows.
    pub has_rows: bool,
    /// Whether it cannot be in a transaction.
    pub alone: bool,
}

impl From<Vec<Step>> for Translated {
    fn from(steps: Vec<Step>) -> Self {
        Self {
            steps,
            has_rows: false,
            alone: false,
        }
    }
}

/// Reads one statement, with the values of its named parameters.
///
/// # Errors
/// The server's message, without `ERROR: `.
pub fn translate(sql: &str, parameters: &[(String, String)]) -> Result<Translated, String> {
    let mut all = tokens(sql)?;
    while matches!(all.last(), Some(Token::Symbol(last)) if last == ";") {
        all.pop();
    }
    if all.contains(&Token::Symbol(";".into())) {
        return Err("cannot insert multiple commands into a prepared statement".into());
    }
    dialect::check(&all)?;
    let mut cursor = Cursor::new(&all);
    let Some(Token::Word(first)) = cursor.next() else {
        return Err(Cursor::new(&all).error());
    };
    let first = first.to_ascii_lowercase();
    let takes_values = ["select", "with", "insert", "update", "delete", "call"];
    if !takes_values.contains(&first.as_str())
        && let Some(Token::Parameter(_)) = all.iter().find(|t| matches!(t, Token::Parameter(_)))
    {
        return Err("syntax error at or near \"$1\"".into());
    }
    match first.as_str() {
        "create" => create(&all, &mut cursor),
        "alter" => alter(&all, &mut cursor),
        "drop" => drop_it(&all, &mut cursor),
        "grant" => grant::grant(&mut cursor).map(Into::into),
        "revoke" => grant::revoke(&mut cursor).map(Into::into),
        "select" | "with" | "show" => Ok(Translated {
            has_rows: true,
            ..plain(&filled(&all, parameters)?)
        }),
        "insert" | "update" | "delete" | "call" => Ok(plain(&filled(&all, parameters)?)),
        "lock"
            if all
                .iter()
                .any(|t| matches!(t, Token::Word(w) if w.eq_ignore_ascii_case("mode"))) =>
        {
            Err("syntax error at or near \"in\"".into())
        }
        "set" | "reset" if ["session", "role"].iter().any(|word| cursor.sees(word)) => {
            Err(cursor.error())
        }
        "lock" | "truncate" | "set" | "reset" | "comment" | "analyze" => Ok(plain(&all)),
        _ => Err(Cursor::new(&all).error()),
    }
}

/// As the user, word for word, but for the names of users behind OWNER TO.
fn plain(all: &[Token]) -> Translated {
    let mut sql = String::new();
    let mut rest = all;
    let is = |token: Option<&Token>, word: &str| matches!(token, Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
    while let Some(token) = rest.first() {
        let names_user =
            is(rest.first(), "owner") && is(rest.get(1), "to") || is(rest.first(), "authorization");
        let keywords = if is(Some(token), "owner") { 2 } else { 1 };
        match rest.get(keywords) {
            Some(Token::Quoted(name)) if names_user => {
                sql.push_str(&format!("{}{} ", render(&rest[..keywords]), quote(name)));
                rest = &rest[keywords + 1..];
            }
            _ => {
                let until = rest[1..]
                    .iter()
                    .position(|t| is(Some(t), "owner") || is(Some(t), "authorization"));
                let (now, later) = rest.split_at(until.map_or(rest.len(), |at| at + 1));
                sql.push_str(&render(now));
                rest = later;
            }
        }
    }
    vec![Step::user(sql)].into()
}

/// The parameters' values in their places: as strings, as the API sends them.
fn filled(all: &[Token], parameters: &[(String, String)]) -> Result<Vec<Token>, String> {
    let fill = |token: &Token| match token {
        Token::Parameter(name) => {
            let value = parameters.iter().find(|(known, _)| known == name);
            let value = value.ok_or_else(|| format!("parameter {name} has no value"))?;
            Ok(Token::Text(value.1.clone()))
        }
        other => Ok(other.clone()),
    };
    all.iter().map(fill).collect()
}

/// The names of the parameters that a statement refers to.
pub fn parameters_of(sql: &str) -> Vec<String> {
    let all = tokens(sql).unwrap_or_default();
    let name = |token: &Token| match token {
        Token::Parameter(name) => Some(name.clone()),
        _ => None,
    };
    all.iter().filter_map(name).collect()
}

fn create(all: &[Token], cursor: &mut Cursor<'_>) -> Result<Translated, String> {
    if cursor.eat("user") {
        return user::create(cursor).map(Into::into);
    }
    if cursor.eat("group") {
        return group::create_group(cursor).map(Into::into);
    }
    if cursor.eat("role") {
        return group::create_role(cursor).map(Into::into);
    }
    if cursor.eat("model") {
        return privilege::create_model(cursor).map(Into::into);
    }
    let known = [
        "table",
        "temp",
        "temporary",
        "local",
        "view",
        "or",
        "function",
        "procedure",
        "schema",
        "materialized",
        "database",
    ];
    if !known.iter().any(|word| cursor.sees(word)) {
        return Err(cursor.error());
    }
    Ok(Translated {
        alone: cursor.sees("database"),
        ..plain(all)
    })
}

fn alter(all: &[Token], cursor: &mut Cursor<'_>) -> Result<Translated, String> {
    if cursor.eat("user") {
        return user::alter(cursor).map(Into::into);
    }
    if cursor.eat("group") {
        return group::alter_group(cursor).map(Into::into);
    }
    if cursor.eat("default privileges") {
        return defaults::alter(cursor).map(Into::into);
    }
    let known = [
        "table",
        "schema",
        "database",
        "function",
        "procedure",
        "materialized",
    ];
    if !known.iter().any(|word| cursor.sees(word)) {
        return Err(cursor.error());
    }
    Ok(plain(all))
}

fn drop_it(all: &[Token], cursor: &mut Cursor<'_>) -> Result<Translated, String> {
    for (kind, privilege) in [
        ("user", "DROP USER"),
        ("group", "DROP GROUP"),
        ("role", "DROP ROLE"),
    ] {
        if cursor.eat(kind) {
            return group::drop_some(cursor, kind, privilege).map(Into::into);
        }
    }
    let known = [
        "table",
        "view",
        "function",
        "procedure",
        "schema",
        "materialized",
        "database",
    ];
    if !known.iter().any(|word| cursor.sees(word)) {
        return Err(cursor.error());
    }
    Ok(Translated {
        alone: cursor.sees("database"),
        ..plain(all)
    })
}
