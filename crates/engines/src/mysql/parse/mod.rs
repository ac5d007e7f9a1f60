//! Parser of one line of `SHOW GRANTS` into the sets of `grants.rs`.
//!
//! # Failure modes
//! - A name holds ` TO `, ` ON `, a backquote or a parenthesis: the line is split into tokens, and
//!   all text between backquotes is one token.
//! - MariaDB appends the account's hash, TLS requirements and limits to its first line: after the
//!   grantee only `WITH GRANT OPTION` and `WITH ADMIN OPTION` count, and quoted texts are one token
//!   each.
//! - An unknown line is skipped, and a difference of the pair goes unnoticed: such a line is an
//!   error, unless its grantee is not the account.
//! - A line of another grantee counts as the account's. `SHOW GRANTS` of MariaDB also lists roles
//!   and, from 10.11 on, PUBLIC. Their lines count for a session only, which has those privileges.
//! - A role of PUBLIC counts as granted to the session's account. MariaDB counts an admin option
//!   only where a chain of roles leads to it from the account: so does [`session`].

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use super::grants::{Account, GRANT_OPTION, Grants, Object, Privileges};
use super::quote::ident;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// An unquoted word.
    Word(String),
    /// In backquotes.
    Name(String),
    /// In single or double quotes; its content is not used.
    Text,
    Sign(char),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Name(name) => f.write_str(&ident(name)),
            Self::Text => f.write_str("'***'"),
            Self::Sign(sign) => write!(f, "{sign}"),
        }
    }
}

fn tokens(line: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            c if c.is_whitespace() => {
                chars.next();
            }
            '`' => found.push(Token::Name(quoted(&mut chars, '`')?)),
            '\'' | '"' => {
                quoted(&mut chars, c)?;
                found.push(Token::Text);
            }
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = String::new();
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                }
                found.push(Token::Word(word));
            }
            sign => {
                chars.next();
                found.push(Token::Sign(sign));
            }
        }
    }
    Some(found)
}

/// The text between two `quote`s; two in a row stand for one. In texts, but not in names, a
/// backslash escapes the next character.
fn quoted(chars: &mut Peekable<Chars<'_>>, quote: char) -> Option<String> {
    chars.next();
    let mut text = String::new();
    loop {
        match chars.next()? {
            c if c == quote => {
                if chars.next_if_eq(&quote).is_none() {
                    return Some(text);
                }
                text.push(quote);
            }
            '\\' if quote != '`' => text.push(chars.next()?),
            c => text.push(c),
        }
    }
}

struct Reader {
    tokens: std::vec::IntoIter<Token>,
    ahead: Option<Token>,
}

impl Reader {
    fn new(line: &str) -> Option<Self> {
        let mut tokens = tokens(line)?.into_iter();
        let ahead = tokens.next();
        Some(Self { tokens, ahead })
    }

    fn next(&mut self) -> Option<Token> {
        std::mem::replace(&mut self.ahead, self.tokens.next())
    }

    fn word(&mut self) -> Option<String> {
        match self.next()? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn name(&mut self) -> Option<String> {
        match self.next()? {
            Token::Name(name) => Some(name),
            _ => None,
        }
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let found = self.ahead.as_ref() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    fn sign(&mut self, sign: char) -> bool {
        self.take(&Token::Sign(sign))
    }

    fn keyword(&mut self, word: &str) -> bool {
        self.take(&Token::Word(word.to_owned()))
    }

    /// An account, a role or MariaDB's `PUBLIC`, which has no quotes.
    fn grantee(&mut self) -> Option<Grantee> {
        if self.keyword("PUBLIC") {
            return Some(Grantee::Public);
        }
        let grantee = self.account()?;
        Some(match grantee.host {
            Some(_) => Grantee::Account,
            None => Grantee::Role(grantee),
        })
    }

    /// `` `user`@`host` `` or `` `role` ``.
    fn account(&mut self) -> Option<Account> {
        let user = self.name()?;
        let host = if self.sign('@') {
            Some(self.name()?)
        } else {
            None
        };
        Some(Account { user, host })
    }

    /// Whether `WITH … <which> OPTION` follows, among limits and texts.
    fn option(mut self, which: &str) -> bool {
        let mut with = false;
        while let Some(token) = self.next() {
            match token {
                Token::Word(word) if word == "WITH" => with = true,
                Token::Word(word) if with && word == which => return self.keyword("OPTION"),
                _ => {}
            }
        }
        false
    }

    /// `a, b c, SELECT (x, y)` up to `ON`.
    fn privileges(&mut self) -> Option<Privileges> {
        let mut all = Privileges::default();
        loop {
            let mut words = vec![self.word()?];
            while matches!(&self.ahead, Some(Token::Word(word)) if word != "ON") {
                words.push(self.word()?);
            }
            let privilege = words.join(" ");
            if self.sign('(') {
                loop {
                    all.columns.insert((privilege.clone(), self.name()?));
                    if !self.sign(',') {
                        break;
                    }
                }
                self.sign(')').then_some(())?;
            } else if privilege != "USAGE" {
                all.names.insert(privilege);
            }
            if !self.sign(',') {
                return self.keyword("ON").then_some(all);
            }
        }
    }

    fn object(&mut self) -> Option<Object> {
        let mut kind = Vec::new();
        while matches!(self.ahead, Some(Token::Word(_))) {
            kind.push(self.word()?);
        }
        if self.sign('*') {
            let all = kind.is_empty() && self.sign('.') && self.sign('*');
            return all.then_some(Object::Global);
        }
        let schema = self.name()?;
        self.sign('.').then_some(())?;
        if self.sign('*') {
            return kind.is_empty().then_some(Object::Schema(schema));
        }
        let name = self.name()?;
        let kind = kind.join(" ");
        Some(if kind.is_empty() || kind == "TABLE" {
            Object::Table {
                schema,
                table: name,
            }
        } else {
            Object::Routine { kind, schema, name }
        })
    }
}

/// The grantee of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Grantee {
    Account,
    /// A role of MariaDB.
    Role(Account),
    /// PUBLIC of MariaDB.
    Public,
}

/// Adds one line to the grants of an account, without those of its roles and of PUBLIC.
///
/// The name of the grantee is ignored: the caller reads one account.
///
/// # Errors
/// [`UnknownLine`] for a line about the account.
pub(super) fn line(line: &str, into: &mut Grants) -> Result<(), UnknownLine> {
    let mut found = Grants::default();
    match read(line, &mut found) {
        Some(Grantee::Account) => into.extend(found),
        Some(Grantee::Role(_) | Grantee::Public) => {}
        None if matches!(grantee(line), Some(Grantee::Role(_) | Grantee::Public)) => {}
        None => return Err(UnknownLine::of(line)),
    }
    Ok(())
}

/// The grants of a session: those of its account, its active roles and PUBLIC.
///
/// # Errors
/// [`UnknownLine`]
pub(super) fn session<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Grants, UnknownLine> {
    let mut all = Grants::default();
    let mut nested: Vec<(Account, Grants)> = Vec::new();
    for line in lines {
        let mut found = Grants::default();
        match read(line, &mut found) {
            Some(Grantee::Account) => {}
            Some(Grantee::Role(role)) => {
                let roles = std::mem::take(&mut found.roles);
                let roles = Grants {
                    roles,
                    ..Grants::default()
                };
                nested.push((role, roles));
            }
            Some(Grantee::Public) => found.roles.clear(),
            // At worst a privilege counts as missing. A restriction must not be missed.
            None if is_grant(line) => continue,
            None => return Err(UnknownLine::of(line)),
        }
        all.extend(found);
    }
    let is_granted = |all: &Grants, (role, _): &(Account, Grants)| all.roles.contains_key(role);
    while let Some(at) = nested.iter().position(|one| is_granted(&all, one)) {
        let (_, roles) = nested.swap_remove(at);
        all.extend(roles);
    }
    Ok(all)
}

/// A line that cannot be parsed: its text up to the grantee, without texts in quotes. The rest may
/// hold a hash (MariaDB).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnknownLine(pub String);

impl UnknownLine {
    fn of(line: &str) -> Self {
        let tokens = tokens(line).unwrap_or_default();
        let end = tokens.iter().position(is_before_grantee).unwrap_or(0);
        let before = tokens.iter().take(end).map(Token::to_string);
        Self(before.collect::<Vec<_>>().join(" "))
    }
}

fn is_before_grantee(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word == "TO" || word == "FROM")
}

/// Whether the line begins with GRANT and is complete.
fn is_grant(line: &str) -> bool {
    let first = tokens(line).and_then(|tokens| tokens.into_iter().next());
    first == Some(Token::Word("GRANT".to_owned()))
}

/// The grantee of a line of unknown form.
fn grantee(line: &str) -> Option<Grantee> {
    let mut reader = Reader::new(line)?;
    while !is_before_grantee(&reader.next()?) {}
    reader.grantee()
}

fn read(line: &str, into: &mut Grants) -> Option<Grantee> {
    let mut reader = Reader::new(line)?;
    match reader.word()?.as_str() {
        "GRANT" if matches!(reader.ahead, Some(Token::Name(_))) => roles(reader, into),
        "GRANT" if reader.keyword("PROXY") => proxy(reader, into),
        "GRANT" => privileges(reader, into),
        "REVOKE" => restriction(reader, into),
        // MariaDB's default role, which is read with the account's definition.
        "SET" => (reader.keyword("DEFAULT") && reader.keyword("ROLE")).then_some(Grantee::Account),
        _ => None,
    }
}

fn roles(mut reader: Reader, into: &mut Grants) -> Option<Grantee> {
    let mut roles = vec![reader.account()?];
    while reader.sign(',') {
        roles.push(reader.account()?);
    }
    reader.keyword("TO").then_some(())?;
    let grantee = reader.grantee()?;
    let admin = reader.option("ADMIN");
    into.roles
        .extend(roles.into_iter().map(|role| (role, admin)));
    Some(grantee)
}

fn proxy(mut reader: Reader, into: &mut Grants) -> Option<Grantee> {
    reader.keyword("ON").then_some(())?;
    let of = reader.account()?;
    reader.keyword("TO").then_some(())?;
    let grantee = reader.grantee()?;
    into.proxies.insert(of, reader.option("GRANT"));
    Some(grantee)
}

fn privileges(mut reader: Reader, into: &mut Grants) -> Option<Grantee> {
    let mut found = reader.privileges()?;
    let object = reader.object()?;
    reader.keyword("TO").then_some(())?;
    let grantee = reader.grantee()?;
    let grant_option = reader.option("GRANT");
    if object == Object::Global {
        let dynamic: Vec<String> = found
            .names
            .iter()
            .filter(|n| is_dynamic(n))
            .cloned()
            .collect();
        // Static and dynamic privileges never share a line, and have separate grant options.
        if !dynamic.is_empty() {
            let alone = dynamic.len() == found.names.len() && found.columns.is_empty();
            alone.then_some(())?;
            into.dynamic
                .extend(dynamic.into_iter().map(|name| (name, grant_option)));
            return Some(grantee);
        }
    }
    if grant_option {
        found.names.insert(GRANT_OPTION.to_owned());
    }
    if !found.is_empty() {
        into.on.insert(object, found);
    }
    Some(grantee)
}

/// MySQL's dynamic privileges are one word with an underscore (`BACKUP_ADMIN`); static ones are
/// words with spaces. MariaDB's `READ_ONLY ADMIN` has a space and is static.
fn is_dynamic(name: &str) -> bool {
    name.contains('_') && !name.contains(' ')
}

fn restriction(mut reader: Reader, into: &mut Grants) -> Option<Grantee> {
    let found = reader.privileges()?;
    let Object::Schema(schema) = reader.object()? else {
        return None;
    };
    reader.keyword("FROM").then_some(())?;
    let grantee = reader.grantee()?;
    // A partial revoke affects a whole schema.
    found.columns.is_empty().then_some(())?;
    into.restrictions
        .extend(found.names.into_iter().map(|name| (schema.clone(), name)));
    Some(grantee)
}

#[cfg(fuzzing)]
pub mod fuzzing;

#[cfg(test)]
mod tests;
