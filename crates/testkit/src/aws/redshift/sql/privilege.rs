//! Privileges by kind of object.

use super::Step;
use super::cursor::Cursor;
use super::grant::{Grantee, Verb};
use super::lex::{Token, literal, render};

/// Listed privileges: names in capitals, each with its columns in PostgreSQL's syntax.
pub struct Privileges(Vec<(String, String)>);

impl Privileges {
    pub fn read(tokens: &[Token]) -> Result<Self, String> {
        let mut cursor = Cursor::new(tokens);
        let all = cursor.list(|cursor| {
            let mut words = Vec::new();
            while let Some(Token::Word(word)) = cursor.peek() {
                words.push(word.to_uppercase());
                cursor.next();
            }
            if words.is_empty() {
                return Err(cursor.error());
            }
            let columns = if matches!(cursor.peek(), Some(Token::Symbol(open)) if open == "(") {
                parenthesized(cursor)?
            } else {
                String::new()
            };
            let name = words.join(" ");
            let name = if name == "ALL PRIVILEGES" {
                "ALL".into()
            } else {
                name
            };
            Ok((name, columns))
        })?;
        cursor.end()?;
        Ok(Self(all))
    }

    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    fn has_columns(&self) -> bool {
        self.0.iter().any(|(_, columns)| !columns.is_empty())
    }
}

/// Text of `( … )`.
fn parenthesized(cursor: &mut Cursor<'_>) -> Result<String, String> {
    let mut taken = Vec::new();
    let mut depth = 0;
    loop {
        let token = cursor.next().ok_or("syntax error at end of input")?;
        taken.push(token.clone());
        match token {
            Token::Symbol(open) if open == "(" => depth += 1,
            Token::Symbol(close) if close == ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(render(&taken));
        }
    }
}

/// A class of objects with its privileges, those of PostgreSQL and those of Redshift only.
struct Class {
    keywords: &'static str,
    postgres: &'static [&'static str],
    own: &'static [&'static str],
    /// Its name in `pg_stand_in.extra`.
    class: &'static str,
}

const TABLE: Class = Class {
    keywords: "table",
    postgres: &[
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "REFERENCES",
        "TRUNCATE",
    ],
    own: &["DROP", "ALTER"],
    class: "table",
};

const CLASSES: [Class; 9] = [
    Class {
        keywords: "all tables in schema",
        ..TABLE
    },
    TABLE,
    Class {
        keywords: "database",
        postgres: &["CREATE", "TEMP", "TEMPORARY"],
        // USAGE is for databases of datashares.
        own: &["ALTER", "USAGE"],
        class: "database",
    },
    Class {
        keywords: "schema",
        postgres: &["CREATE", "USAGE"],
        own: &["ALTER", "DROP"],
        class: "schema",
    },
    Class {
        keywords: "all functions in schema",
        postgres: &["EXECUTE"],
        own: &[],
        class: "",
    },
    Class {
        keywords: "all procedures in schema",
        postgres: &["EXECUTE"],
        own: &[],
        class: "",
    },
    Class {
        keywords: "function",
        postgres: &["EXECUTE"],
        own: &[],
        class: "",
    },
    Class {
        keywords: "procedure",
        postgres: &["EXECUTE"],
        own: &[],
        class: "",
    },
    Class {
        keywords: "language",
        postgres: &["USAGE"],
        own: &[],
        class: "",
    },
];

const MODEL: Class = Class {
    keywords: "model",
    postgres: &[],
    own: &["EXECUTE"],
    class: "model",
};

/// The objects of a statement.
pub struct Objects {
    class: &'static Class,
    tokens: Vec<Token>,
}

/// Parses the objects between ON and TO.
pub fn on(cursor: &mut Cursor<'_>, end: &str) -> Result<Objects, String> {
    let mut classes = CLASSES.iter().chain([&MODEL]);
    let class = classes
        .find(|class| cursor.eat(class.keywords))
        .unwrap_or(&TABLE);
    let tokens = cursor.until(&[end]).to_vec();
    let is_name = |token: &Token| matches!(token, Token::Word(_) | Token::Quoted { .. });
    // TABLE is optional, so that a keyword here is an unknown class.
    if !tokens.first().is_some_and(is_name)
        || class.class == "table"
            && tokens
                .windows(2)
                .any(|two| is_name(&two[0]) && is_name(&two[1]))
    {
        return Err(cursor.error());
    }
    Ok(Objects { class, tokens })
}

impl Objects {
    pub fn change(
        &self,
        verb: Verb,
        privileges: &Privileges,
        grantee: &Grantee,
    ) -> Result<Vec<Step>, String> {
        let class = self.class;
        let is_all = privileges.names() == ["ALL"];
        if privileges.has_columns() {
            return self.columns(verb, privileges, grantee);
        }
        let wanted: Vec<String> = if is_all {
            let all = class.postgres.iter().chain(class.own);
            all.filter(|name| **name != "TEMPORARY")
                .map(|name| (*name).to_owned())
                .collect()
        } else {
            privileges.names()
        };
        let known = |name: &String| {
            class.postgres.contains(&name.as_str()) || class.own.contains(&name.as_str())
        };
        if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
            return Err(format!(
                "invalid privilege type {unknown} for {}",
                class.keywords
            ));
        }
        let in_postgres: Vec<&str> = wanted
            .iter()
            .map(String::as_str)
            .filter(|name| class.postgres.contains(name))
            .collect();
        let mut steps = self.checks(verb, &wanted, is_all)?;
        if !in_postgres.is_empty() {
            let what = format!(
                "{} ON {} {}",
                in_postgres.join(", "),
                class.keywords,
                render(&self.tokens)
            );
            steps.push(Step::user(verb.sql(&what, grantee)));
        }
        for own in wanted
            .iter()
            .filter(|name| class.own.contains(&name.as_str()))
        {
            if class.keywords.starts_with("all ") {
                // ALL TABLES IN SCHEMA grants only the privileges that PostgreSQL has.
                if is_all {
                    continue;
                }
                return Err(format!(
                    "this stand-in grants no {own} on all tables of a schema"
                ));
            }
            for object in self.names()? {
                let (object, name) = (literal(&object), literal(&grantee.name));
                // NULL revokes the grant option only.
                let grants = match verb {
                    Verb::Grant => "true",
                    Verb::Revoke { option_only: false } => "false",
                    Verb::Revoke { option_only: true } => "NULL",
                };
                steps.push(Step::user(format!(
                    "SELECT pg_stand_in.change_extra('{}', {object}, '{own}', {name}, {grants}, {})",
                    class.class, grantee.with_option
                )));
            }
        }
        Ok(steps)
    }

    /// Checks of the manual that PostgreSQL does not make.
    fn checks(&self, verb: Verb, wanted: &[String], is_all: bool) -> Result<Vec<Step>, String> {
        let checked = |function: &str, arguments: String| {
            Step::user(format!("SELECT pg_stand_in.{function}({arguments})"))
        };
        let mut steps = Vec::new();
        if self.class.keywords == "function" {
            for routine in split_list(&self.tokens) {
                steps.push(checked("is_no_model_function", literal(&render(routine))));
            }
        }
        let of_tables = ["SELECT", "DROP"];
        let only_tables = wanted
            .iter()
            .find(|name| !of_tables.contains(&name.as_str()));
        if self.class.keywords == "table"
            && verb == Verb::Grant
            && !is_all
            && let Some(privilege) = only_tables
        {
            for relation in self.names()? {
                let arguments = format!("{}, {}", literal(&relation), literal(privilege));
                steps.push(checked("is_no_view", arguments));
            }
        }
        Ok(steps)
    }

    /// Column privileges: SELECT and UPDATE without grant option.
    fn columns(
        &self,
        verb: Verb,
        privileges: &Privileges,
        grantee: &Grantee,
    ) -> Result<Vec<Step>, String> {
        if self.class.keywords != "table" {
            return Err("column privileges are only valid for relations".into());
        }
        if grantee.with_option {
            return Err("Grant options are not supported for column privileges".into());
        }
        let mut listed = Vec::new();
        for (name, columns) in &privileges.0 {
            match name.as_str() {
                _ if columns.is_empty() => listed.push(name.clone()),
                "SELECT" | "UPDATE" => listed.push(format!("{name} {columns}")),
                "ALL" => listed.extend([format!("SELECT {columns}"), format!("UPDATE {columns}")]),
                other => return Err(format!("invalid privilege type {other} for column")),
            }
        }
        let what = format!("{} ON TABLE {}", listed.join(", "), render(&self.tokens));
        Ok(vec![Step::user(verb.sql(&what, grantee))])
    }

    fn names(&self) -> Result<Vec<String>, String> {
        let mut cursor = Cursor::new(&self.tokens);
        let is_table = self.class.class == "table";
        cursor.list(|cursor| {
            let mut name = part(cursor, is_table)?;
            while cursor.symbol(".") {
                let next = part(cursor, is_table)?;
                name = if is_table {
                    format!("{name}.{next}")
                } else {
                    next
                };
            }
            Ok(name)
        })
    }
}

/// The tokens between the commas outside parentheses.
fn split_list(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0;
    tokens
        .split(|token| {
            match token {
                Token::Symbol(open) if open == "(" => depth += 1,
                Token::Symbol(close) if close == ")" => depth -= 1,
                Token::Symbol(comma) if comma == "," => return depth == 0,
                _ => {}
            }
            false
        })
        .collect()
}

/// A table's name in the syntax of `regclass`.
fn part(cursor: &mut Cursor<'_>, quotes: bool) -> Result<String, String> {
    let name = cursor.name()?;
    Ok(if quotes { super::quote(&name) } else { name })
}

/// `CREATE MODEL [schema.]name … FUNCTION function …`; only the names are used.
pub fn create_model(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, String> {
    let mut name = cursor.name()?;
    let mut schema = "public".to_owned();
    if cursor.symbol(".") {
        schema = std::mem::replace(&mut name, cursor.name()?);
    }
    cursor.until(&["function"]);
    let function = if cursor.eat("function") {
        cursor.name()?
    } else {
        String::new()
    };
    let (name, schema, function) = (literal(&name), literal(&schema), literal(&function));
    Ok(vec![Step::user(format!(
        "SELECT pg_stand_in.create_model({name}, {schema}, {function})"
    ))])
}
