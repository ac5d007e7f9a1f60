//! Lexer: SQL text to tokens and back.

use std::fmt::Write as _;

/// A token of a statement; spaces and comments are removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A keyword, a name without quotes, or a number.
    Word(String),
    /// A name in quotes: unchanged, as a user's name is, and as the name of any other object.
    Quoted {
        exact: String,
        folded: String,
    },
    /// A string, without its quotes and escapes.
    Text(String),
    /// `$$…$$`, with its delimiters.
    Dollar(String),
    /// `:name`.
    Parameter(String),
    Symbol(String),
}

const OPERATORS: &str = "+-*/<>=~!@#%^&|?";

/// Splits a statement into tokens. Unless `keeps_case`, which is
/// `enable_case_sensitive_identifier`, names in quotes are folded too.
///
/// # Errors
/// The server's error for an unterminated token.
pub fn tokens(sql: &str, keeps_case: bool) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            c if c.is_whitespace() => (None, &rest[c.len_utf8()..]),
            _ if rest.starts_with("--") => (None, rest.find('\n').map_or("", |at| &rest[at..])),
            _ if rest.starts_with("/*") => {
                let end = rest.find("*/").ok_or("unterminated /* comment")?;
                (None, &rest[end + 2..])
            }
            '\'' => text(rest)?,
            '"' => quoted(rest, keeps_case)?,
            '$' => dollar(rest)?,
            c if is_word(c) => {
                let end =
                    rest.find(|c| !is_word(c) && c != '.' || c == '.' && !first.is_ascii_digit());
                let end = end.unwrap_or(rest.len());
                (Some(Token::Word(rest[..end].to_owned())), &rest[end..])
            }
            _ if rest.starts_with("::") => (Some(Token::Symbol("::".into())), &rest[2..]),
            ':' if rest[1..].starts_with(is_word) => {
                let end = rest[1..]
                    .find(|c| !is_word(c))
                    .map_or(rest.len(), |at| at + 1);
                (
                    Some(Token::Parameter(rest[1..end].to_owned())),
                    &rest[end..],
                )
            }
            c if OPERATORS.contains(c) => {
                let end = rest.find(|c| !OPERATORS.contains(c)).unwrap_or(rest.len());
                (Some(Token::Symbol(rest[..end].to_owned())), &rest[end..])
            }
            c => (Some(Token::Symbol(c.to_string())), &rest[c.len_utf8()..]),
        };
        found.extend(token);
        rest = after;
    }
    Ok(found)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

type LexResult<'a> = Result<(Option<Token>, &'a str), String>;

/// Reads a string. A backslash is an escape, as in PostgreSQL 8.0.
fn text(rest: &str) -> LexResult<'_> {
    let mut content = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if chars.next_if(|(_, next)| *next == '\'').is_some() => content.push('\''),
            '\'' => return Ok((Some(Token::Text(content)), &rest[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => content.push('\n'),
                Some((_, 't')) => content.push('\t'),
                Some((_, escaped)) => content.push(escaped),
                None => break,
            },
            c => content.push(c),
        }
    }
    Err("unterminated quoted string".into())
}

fn quoted(rest: &str, keeps_case: bool) -> LexResult<'_> {
    let mut content = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if chars.next_if(|(_, next)| *next == '"').is_some() => content.push('"'),
            '"' if content.is_empty() => return Err("zero-length delimited identifier".into()),
            '"' => {
                let folded = if keeps_case {
                    content.clone()
                } else {
                    content.to_ascii_lowercase()
                };
                let exact = content;
                return Ok((Some(Token::Quoted { exact, folded }), &rest[at + 1..]));
            }
            c => content.push(c),
        }
    }
    Err("unterminated quoted identifier".into())
}

fn dollar(rest: &str) -> LexResult<'_> {
    let close = rest[1..].find('$').map(|at| at + 2);
    let Some(tag) = close.map(|end| &rest[..end]) else {
        return Ok((Some(Token::Symbol("$".into())), &rest[1..]));
    };
    if !tag[1..tag.len() - 1].chars().all(is_word)
        || tag[1..].starts_with(|c: char| c.is_ascii_digit())
    {
        return Ok((Some(Token::Symbol("$".into())), &rest[1..]));
    }
    let end = rest[tag.len()..]
        .find(tag)
        .ok_or("unterminated dollar-quoted string")?;
    let end = tag.len() + end + tag.len();
    Ok((Some(Token::Dollar(rest[..end].to_owned())), &rest[end..]))
}

/// The text for PostgreSQL; names are folded as in Redshift.
pub fn render(tokens: &[Token]) -> String {
    let mut sql = String::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            // PostgreSQL's own function cannot return the name Redshift.
            Token::Word(word)
                if word.eq_ignore_ascii_case("version")
                    && tokens.get(at + 1) == Some(&Token::Symbol("(".into())) =>
            {
                sql.push_str("redshift_version");
            }
            Token::Word(word) | Token::Symbol(word) | Token::Dollar(word) => sql.push_str(word),
            Token::Quoted { folded, .. } => sql.push_str(&quote(folded)),
            Token::Text(text) => sql.push_str(&literal(text)),
            Token::Parameter(name) => {
                let _ = write!(sql, ":{name}");
            }
        }
        sql.push(' ');
    }
    sql
}

pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
