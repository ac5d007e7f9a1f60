//! Translation of Redshift's SQL to steps in PostgreSQL.
//!
//! # Failure modes
//! - A statement works here and fails in Redshift. Unknown syntax is a syntax error, and features
//!   of PostgreSQL after version 8.0 are rejected by name.
//! - A statement has privileges that its user lacks. Steps run as the superuser only if PostgreSQL
//!   cannot enforce the privilege, and after a check.

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

/// One statement for PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Runs as the superuser instead of the user.
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

    /// Checks that the name belongs to an object of this kind.
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

/// A translated statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    pub steps: Vec<Step>,
    /// Whether the last step returns rows.
    pub has_rows: bool,
    /// Whether it cannot run in a transaction.
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

/// Translates one statement with the values of its named parameters. `keeps_case` is the session's
/// `enable_case_sensitive_identifier`.
///
/// # Errors
/// The server's message, without `ERROR: `.
pub fn translate(
    sql: &str,
    parameters: &[(String, String)],
    keeps_case: bool,
) -> Result<Translated, String> {
    let mut all = tokens(sql, keeps_case)?;
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
        "show" if cursor.eat("grants for") => show_grants(&mut cursor),
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
        "set" => user::set(&mut cursor).map(Into::into),
        "lock" | "truncate" | "reset" | "comment" | "analyze" => Ok(plain(&all)),
        _ => Err(Cursor::new(&all).error()),
    }
}

/// `SHOW GRANTS FOR user [FROM DATABASE database] [LIMIT rows]`.
fn show_grants(cursor: &mut Cursor<'_>) -> Result<Translated, String> {
    let user = literal(&cursor.user()?);
    let database = if cursor.eat("from database") {
        literal(&cursor.name()?)
    } else {
        "current_database()".into()
    };
    if cursor.eat("limit") {
        cursor.number()?;
    }
    cursor.end()?;
    let rows = Step::user(format!(
        "SELECT * FROM pg_stand_in.shown WHERE (SELECT pg_stand_in.shows({user})) \
         AND identity_type = 'user' AND identity_name = {user} AND database_name = {database}"
    ));
    Ok(Translated {
        has_rows: true,
        ..vec![rows].into()
    })
}

/// The statement unchanged, except for user names after OWNER TO.
fn plain(all: &[Token]) -> Translated {
    let mut sql = String::new();
    let mut rest = all;
    let is = |token: Option<&Token>, word: &str| matches!(token, Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
    while let Some(token) = rest.first() {
        let names_user =
            is(rest.first(), "owner") && is(rest.get(1), "to") || is(rest.first(), "authorization");
        let keywords = if is(Some(token), "owner") { 2 } else { 1 };
        match rest.get(keywords) {
            Some(Token::Quoted { exact, .. }) if names_user => {
                sql.push_str(&format!("{}{} ", render(&rest[..keywords]), quote(exact)));
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

/// The tokens with the parameters' values as strings.
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

/// The names of the parameters in a statement.
pub fn parameters_of(sql: &str) -> Vec<String> {
    let all = tokens(sql, false).unwrap_or_default();
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
        ..plain(without_late_binding(all))
    })
}

/// A late-binding view is an ordinary one here.
fn without_late_binding(all: &[Token]) -> &[Token] {
    let words = ["with", "no", "schema", "binding"];
    let is = |(token, word): (&Token, &&str)| matches!(token, Token::Word(found) if found.eq_ignore_ascii_case(word));
    match all.len().checked_sub(words.len()) {
        Some(start) if all[start..].iter().zip(&words).all(is) => &all[..start],
        _ => all,
    }
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
