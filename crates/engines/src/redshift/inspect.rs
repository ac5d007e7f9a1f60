//! What is so in the cluster now: read-only, plain data.
//!
//! What can go wrong, and what prevents it:
//! - facts from different moments contradict each other: each database is looked at in one transaction;
//! - looking takes more calls than there is time for: one batch a database, and no result is fetched
//!   that has no rows;
//! - the admin may not read one view, and the whole look fails: what only superusers read is asked only
//!   as one.

use super::asks::{self, SEPARATOR};
use super::facts::{Facts, Form, Limits, Place, User};
use super::grants::{Object, Read, is_types, is_words};
use super::rows::{Row, Strange};
use super::{Master, account, places};
use crate::EngineError;
use twinkey_core::secret::pair::Pair;

/// What the admin learns of itself as it comes.
pub(super) async fn greet(admin: &mut Master) -> Result<(), EngineError> {
    let answers = admin.read(&asks::greeting()).await?;
    let Some(row) = answers[0].first() else {
        return Err(EngineError::Refused {
            what: "asking who has signed in".into(),
            reason: "the database knows no such user".into(),
            hint: "map the worker's IAM identity to a database user, or give a master secret"
                .into(),
        });
    };
    let read = || -> Result<_, Strange> { Ok((row.text(0)?, row.truth(1)?, row.text(2)?)) };
    let (user, superuser, version) = read().map_err(|strange| explain(&strange))?;
    let syslog = answers[1].first().and_then(|row| row.text(0).ok());
    admin.sees_all = superuser || syslog.is_some_and(|text| text.trim() == "UNRESTRICTED");
    admin.has_roles = !answers[2].is_empty();
    (admin.user, admin.superuser) = (user, superuser);
    admin.server = server(&version);
    Ok(())
}

/// `Redshift 1.0.54052` of `PostgreSQL 8.0.2 on …, Redshift 1.0.54052`.
fn server(version: &str) -> String {
    let at = version.find("Redshift ").unwrap_or(0);
    let rest = &version[at..];
    let words: Vec<&str> = rest.split_whitespace().take(2).collect();
    words.join(" ").trim_end_matches(',').to_owned()
}

pub(super) fn explain(strange: &Strange) -> EngineError {
    EngineError::Refused {
        what: "reading the cluster's views".into(),
        reason: format!(
            "column {} of an answer is not {}",
            strange.column + 1,
            strange.wanted
        ),
        hint: "this is not an answer that Redshift gives".into(),
    }
}

/// Everything that the plan rests on.
pub(super) async fn facts(admin: &Master, pair: &Pair) -> Result<Facts, EngineError> {
    let of_cluster = asks::of_cluster(pair, admin.superuser);
    let superuser = admin.superuser;
    let own = [of_cluster.clone(), asks::of_place(pair, superuser)].concat();
    let mut answers = admin.read(&own).await?;
    let of_place = answers.split_off(of_cluster.len());
    let mut facts = Facts {
        server: admin.server.clone(),
        database: admin.peer.database.clone(),
        master: admin.user.clone(),
        superuser: admin.superuser,
        has_roles: admin.has_roles,
        sees_all: admin.sees_all,
        ..Facts::default()
    };
    let mut own_place = places::read(&admin.peer.database, &of_place, pair)?;
    let others = cluster(&mut facts, &mut own_place, &answers, pair).map_err(|s| explain(&s))?;
    facts.places.push(own_place);
    for database in others {
        let asks = asks::of_place(pair, superuser);
        let answers = admin.read_in(&database, &asks).await?;
        facts.places.push(places::read(&database, &answers, pair)?);
    }
    // Who sees the active user's row, which is not its own, sees all.
    let other = facts.master != pair.active_user();
    facts.sees_all |= other
        && facts
            .active
            .as_ref()
            .is_some_and(|user| user.limits.is_some());
    Ok(facts)
}

/// What all databases share. Gives the names of the others.
fn cluster(
    facts: &mut Facts,
    own: &mut Place,
    answers: &[Vec<Row>],
    pair: &Pair,
) -> Result<Vec<String>, Strange> {
    for row in &answers[0] {
        let user = User {
            id: row.number(1)?.unwrap_or_default(),
            createdb: row.truth(2)?,
            superuser: row.truth(3)?,
            valid_until: row.maybe(4)?.filter(|until| until.trim() != "infinity"),
            settings: settings(&row.maybe(5)?.unwrap_or_default()),
            ..User::default()
        };
        *side(facts, &row.text(0)?, pair) = Some(user);
    }
    for row in &answers[1] {
        if let Some(user) = side(facts, &row.text(0)?, pair) {
            let some = |number: Option<i64>| number.filter(|number| *number > 0);
            user.limits = Some(Limits {
                connections: row.number(1)?.filter(|limit| *limit >= 0),
                syslog: row.text(2)?.trim() == "UNRESTRICTED",
                session_timeout: some(row.number(3)?),
            });
        }
    }
    for row in &answers[2] {
        if let Some(user) = side(facts, &row.text(0)?, pair) {
            user.groups.insert(row.text(1)?);
        }
    }
    for row in &answers[3] {
        if let Some(user) = side(facts, &row.text(0)?, pair) {
            user.roles.insert(row.text(1)?, row.truth(2)?);
        }
    }
    for row in &answers[5] {
        let scope = row.maybe(4)?.unwrap_or_default();
        let database = row.text(1)?;
        let object = match scope.trim() {
            "" | "DATABASE" => Object::Database(database),
            scope if is_words(scope) => Object::InDatabase {
                database,
                scope: scope.to_owned(),
            },
            _ => continue,
        };
        places::add(
            own,
            &row.text(0)?,
            pair,
            object,
            &row.text(2)?,
            row.truth(3)?,
        );
    }
    for row in &answers[6] {
        let database = Object::Database(row.text(1)?);
        places::side(own, &row.text(0)?, pair)
            .owned
            .insert(database, false);
    }
    for row in answers.get(asks::OF_CLUSTER).into_iter().flatten() {
        if let Some(user) = side(facts, &row.text(0)?, pair) {
            user.form = match row.maybe(1)?.as_deref() {
                Some("sha256") => Some(Form::Sha256),
                Some(form) if form.starts_with("md5") => Some(Form::Md5),
                _ => None,
            };
        }
    }
    for row in answers.iter().skip(asks::OF_CLUSTER + 1).flatten() {
        if let Some(user) = side(facts, &row.text(0)?, pair) {
            user.beyond.insert(row.text(1)?);
        }
    }
    let mut others = Vec::new();
    for row in &answers[4] {
        let database = row.text(0)?;
        // Two that are Redshift's own, in which nobody works.
        let own = ["template0", "template1", "padb_harvest", "sys:internal"];
        if database != facts.database && !own.contains(&&*database) {
            others.push(database);
        }
    }
    Ok(others)
}

fn side<'a>(facts: &'a mut Facts, name: &str, pair: &Pair) -> &'a mut Option<User> {
    if name == pair.active_user() {
        &mut facts.active
    } else {
        &mut facts.standby
    }
}

fn settings(text: &str) -> std::collections::BTreeMap<String, String> {
    text.split(SEPARATOR)
        .filter_map(|setting| setting.split_once('='))
        .filter(|(name, _)| account::is_setting(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// How an object and a privilege of the catalogue are taken.
pub(super) fn read(object: &Object, privilege: &str) -> Read {
    match object {
        Object::Function { arguments, .. } | Object::Procedure { arguments, .. }
            if !is_types(arguments) =>
        {
            Read::Unknown
        }
        object => object.read(privilege),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_called_by_its_own_name() {
        let redshift = "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC, Redshift 1.0.54052";
        assert_eq!(server(redshift), "Redshift 1.0.54052");
        assert_eq!(server("PostgreSQL 15.14 on x86_64"), "PostgreSQL 15.14");
        assert_eq!(server(""), "");
    }

    #[test]
    fn settings_are_read_one_by_one_and_hold_anything() {
        let read = settings("search_path=\"a=b\", c\u{1f}statement_timeout=5\u{1f}odd name=1");
        assert_eq!(read["search_path"], "\"a=b\", c");
        assert_eq!(read["statement_timeout"], "5");
        assert_eq!(read.len(), 2);
    }
}
