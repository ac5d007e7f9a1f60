//! Facts that all databases of a cluster share, read from the results of `cluster_queries`. Pure.

use std::collections::BTreeMap;

use super::database;
use super::facts::{DatabaseFacts, DigestForm, Facts, Limits, User};
use super::grants::{Object, is_words};
use super::queries::SEPARATOR;
use crate::redshift::api::{Row, UnexpectedColumn};
use crate::redshift::quote::is_setting_name;
use twinkey_core::secret::pair::Pair;

/// Databases of Redshift itself, without application objects.
const SYSTEM_DATABASES: [&str; 4] = ["template0", "template1", "padb_harvest", "sys:internal"];

/// The cluster's databases beside the secret's own.
#[derive(Debug, Default)]
pub(in crate::redshift) struct OtherDatabases {
    pub local: Vec<String>,
    /// Created from datashares.
    pub shared: Vec<String>,
}

/// Reads the results of [`super::queries::cluster_queries`] into `facts`, and privileges on
/// databases into `own`.
pub(in crate::redshift) fn read(
    facts: &mut Facts,
    own: &mut DatabaseFacts,
    results: &[Vec<Row>],
    pair: &Pair,
) -> Result<OtherDatabases, UnexpectedColumn> {
    users(facts, results, pair)?;
    database_privileges(own, results, pair)?;
    let mut others = OtherDatabases::default();
    for row in &results[4] {
        let name = row.text(0)?;
        if row.text(1)?.trim() == "shared" {
            others.shared.push(name);
        } else if name != facts.database && !SYSTEM_DATABASES.contains(&&*name) {
            others.local.push(name);
        }
    }
    Ok(others)
}

fn users(facts: &mut Facts, results: &[Vec<Row>], pair: &Pair) -> Result<(), UnexpectedColumn> {
    for row in &results[0] {
        let user = User {
            id: row.number(1)?.unwrap_or_default(),
            createdb: row.boolean(2)?,
            superuser: row.boolean(3)?,
            valid_until: row.optional_text(4)?.filter(|until| is_time(until)),
            settings: settings(&row.optional_text(5)?.unwrap_or_default()),
            ..User::default()
        };
        *side(facts, &row.text(0)?, pair) = Some(user);
    }
    for row in &results[1] {
        if let Some(user) = side(facts, &row.text(0)?, pair) {
            user.limits = Some(Limits {
                connections: row.number(1)?.filter(|limit| *limit >= 0),
                syslog: row.text(2)?.trim() == "UNRESTRICTED",
                session_timeout: row.number(3)?.filter(|seconds| *seconds > 0),
            });
        }
    }
    for row in &results[2] {
        if let Some(user) = side(facts, &row.text(0)?, pair) {
            user.groups.insert(row.text(1)?);
        }
    }
    for row in &results[3] {
        if let Some(user) = side(facts, &row.text(0)?, pair) {
            user.roles.insert(row.text(1)?, row.boolean(2)?);
        }
    }
    Ok(())
}

fn database_privileges(
    own: &mut DatabaseFacts,
    results: &[Vec<Row>],
    pair: &Pair,
) -> Result<(), UnexpectedColumn> {
    for row in &results[5] {
        let scope = row.optional_text(4)?.unwrap_or_default();
        let name = row.text(1)?;
        let object = match scope.trim() {
            "" | "DATABASE" => Object::Database(name),
            scope if is_words(scope) => Object::InDatabase {
                database: name,
                scope: scope.to_owned(),
            },
            _ => continue,
        };
        let (user, privilege, option) = (row.text(0)?, row.text(2)?, row.boolean(3)?);
        database::add(own, &user, pair, object, &privilege, option);
    }
    for row in &results[6] {
        let object = Object::Database(row.text(1)?);
        database::side(own, &row.text(0)?, pair)
            .owned
            .insert(object, false);
    }
    Ok(())
}

/// Whether a `valuntil`, which is an abstime, is a time and no word.
fn is_time(until: &str) -> bool {
    !matches!(until.trim(), "infinity" | "invalid")
}

/// Reads the forms of the stored passwords.
pub(in crate::redshift) fn read_password_forms(
    facts: &mut Facts,
    rows: &[Row],
    pair: &Pair,
) -> Result<(), UnexpectedColumn> {
    for row in rows {
        if let Some(user) = side(facts, &row.text(0)?, pair) {
            user.digest_form = match row.optional_text(1)?.as_deref() {
                Some("sha256") => Some(DigestForm::Sha256),
                Some(form) if form.starts_with("md5") => Some(DigestForm::Md5),
                _ => None,
            };
        }
    }
    Ok(())
}

/// Reads grants that all databases share and twinkey cannot copy.
pub(in crate::redshift) fn read_uncopied(
    facts: &mut Facts,
    rows: &[Row],
    pair: &Pair,
) -> Result<(), UnexpectedColumn> {
    for row in rows {
        if let Some(user) = side(facts, &row.text(0)?, pair) {
            user.uncopied.insert(row.text(1)?);
        }
    }
    Ok(())
}

fn side<'a>(facts: &'a mut Facts, name: &str, pair: &Pair) -> &'a mut Option<User> {
    if name == pair.active_user() {
        &mut facts.active
    } else {
        &mut facts.standby
    }
}

fn settings(text: &str) -> BTreeMap<String, String> {
    text.split(SEPARATOR)
        .filter_map(|setting| setting.split_once('='))
        .filter(|(name, _)| is_setting_name(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_no_end_of_a_password() {
        assert!(is_time("2099-01-02 03:04:05+00"));
        for word in ["infinity", "invalid "] {
            assert!(!is_time(word), "{word}");
        }
    }

    #[test]
    fn settings_are_split_at_the_separator_only() {
        let read = settings("search_path=\"a=b\", c\u{1f}statement_timeout=5\u{1f}odd name=1");
        assert_eq!(read["search_path"], "\"a=b\", c");
        assert_eq!(read["statement_timeout"], "5");
        assert_eq!(read.len(), 2);
    }
}
