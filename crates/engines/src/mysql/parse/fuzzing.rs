//! Assertions of the fuzz target `mysql_grants` on one line; the parser is private.

use std::collections::BTreeSet;

use super::super::grants::{Grants, Privileges};
use super::{Grantee, Token, grantee, line, tokens};

/// Parses a line. Every word and name up to the grantee must be in the grants, and these, printed
/// as a server prints them, must parse as the same.
///
/// # Panics
/// If an assertion fails.
pub fn parses_completely(text: &str) {
    let mut grants = Grants::default();
    if line(text, &mut grants).is_err() {
        return;
    }
    if grants == Grants::default() {
        let nothing = text.contains("USAGE")
            || text.trim_start().starts_with("SET")
            || matches!(grantee(text), Some(Grantee::Role(_) | Grantee::Public));
        assert!(nothing, "{text}\nwas read as nothing");
        return;
    }
    let of_proxy = |p: &Privileges| p.list(false).contains("PROXY");
    if grants.on.values().any(of_proxy) {
        // No such privilege exists, and it cannot be printed first.
        return;
    }
    let written = written(&grants);
    let expected = words(text);
    let kept: BTreeSet<String> = written.iter().flat_map(|line| words(line)).collect();
    assert!(
        expected.is_subset(&kept),
        "{text}\nwas read as {written:#?}, which lacks {:?}",
        expected.difference(&kept)
    );
    let mut again = Grants::default();
    for each in &written {
        assert!(line(each, &mut again).is_ok(), "{text}\n{each}");
    }
    assert_eq!(grants, again, "{text}\n{written:#?}");
}

/// The significant words and names of a line, up to the grantee.
fn words(text: &str) -> BTreeSet<String> {
    const FORM: &[&str] = &[
        "GRANT", "OPTION", "REVOKE", "ON", "TO", "FROM", "USAGE", "TABLE",
    ];
    let all = tokens(text).unwrap_or_default();
    if all.first() == Some(&Token::Word("SET".into())) {
        return BTreeSet::new();
    }
    let grantee = ["TO", "FROM"].map(|word| Token::Word(word.into()));
    all.into_iter()
        .take_while(|token| !grantee.contains(token))
        .filter_map(|token| match token {
            Token::Word(word) if FORM.contains(&word.as_str()) => None,
            Token::Word(word) => Some(word),
            Token::Name(name) => Some(format!("`{name}")),
            Token::Text | Token::Sign(_) => None,
        })
        .collect()
}

fn written(grants: &Grants) -> Vec<String> {
    let with = |option: bool, what| if option { what } else { "" };
    let grant = |option| with(option, " WITH GRANT OPTION");
    let mut lines = Vec::new();
    for (object, privileges) in &grants.on {
        let option = privileges.names.contains(super::GRANT_OPTION);
        for list in each(privileges) {
            lines.push(format!(
                "GRANT {list} ON {object} TO `a`@`%`{}",
                grant(option)
            ));
        }
    }
    for (name, option) in &grants.dynamic {
        lines.push(format!("GRANT {name} ON *.* TO `a`@`%`{}", grant(*option)));
    }
    for (schema, name) in &grants.restrictions {
        let schema = super::super::quote::ident(schema);
        lines.push(format!("REVOKE {name} ON {schema}.* FROM `a`@`%`"));
    }
    for (role, option) in &grants.roles {
        let option = with(*option, " WITH ADMIN OPTION");
        lines.push(format!("GRANT {role} TO `a`@`%`{option}"));
    }
    for (of, option) in &grants.proxies {
        lines.push(format!("GRANT PROXY ON {of} TO `a`@`%`{}", grant(*option)));
    }
    lines
}

/// Privileges one by one, so that their order does not matter.
fn each(privileges: &Privileges) -> Vec<String> {
    let names = privileges.names.iter().map(|name| Privileges {
        names: BTreeSet::from([name.clone()]),
        ..Privileges::default()
    });
    let columns = privileges.columns.iter().map(|column| Privileges {
        columns: BTreeSet::from([column.clone()]),
        ..Privileges::default()
    });
    let lists = names.chain(columns).map(|one| match one.list(false) {
        nothing if nothing.is_empty() => "USAGE".to_owned(),
        list => list,
    });
    lists.collect()
}
