//! Comparisons of two states, and of the two users in one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};
use twinkey_core::secret::pair::Pair;

use super::snapshot::{Fact, Facts, difference, without_name};

/// What the pair owns: database, schema and name.
type Owned = BTreeSet<(&'static str, String, String)>;

/// Sources of what a change of an owner does not affect.
const OF_ACCOUNTS: [&str; 5] = [
    "pg_user",
    "pg_shadow",
    "svv_user_info",
    "groups",
    "svv_user_grants",
];

/// Sources whose rows must be equal for both users, beside those of accounts.
const OF_GRANTS: [&str; 8] = [
    "svv_database_privileges",
    "svv_schema_privileges",
    "svv_relation_privileges",
    "svv_column_privileges",
    "svv_function_privileges",
    "svv_language_privileges",
    "svv_ml_model_privileges",
    "svv_default_privileges",
];

pub fn violations(pair: &Pair, before: &Facts, after: &Facts) -> Vec<String> {
    let checks = [
        ("a third party changed", others(pair, before, after)),
        ("the active user changed", active(pair, before, after)),
        ("the active user lost", lost(pair, before, after)),
        ("the users differ", twins(pair, after)),
    ];
    let found = checks
        .into_iter()
        .filter_map(|(what, found)| Some((what, found?)));
    found
        .map(|(what, found)| format!("{what}:\n{found}"))
        .collect()
}

fn is_of_pair(pair: &Pair, name: &str) -> bool {
    name == pair.base || name == pair.clone
}

/// The facts about others.
fn others(pair: &Pair, before: &Facts, after: &Facts) -> Option<String> {
    let of = |facts: &Facts| -> Facts {
        let others = facts.iter().filter(|fact| !is_of_pair(pair, &fact.subject));
        let others = others.filter_map(|fact| {
            let mut fact = fact.clone();
            if matches!(fact.source.as_str(), "owners" | "grantors") {
                // The base user is given what the clone owns.
                for user in [&pair.base, &pair.clone] {
                    fact.row = without_name(&fact.row, user);
                }
            }
            let standby = Json::from(pair.standby_user()).to_string();
            (!fact.row.contains(&standby)).then_some(fact)
        });
        others.collect()
    };
    difference(&of(before), &of(after))
}

/// The facts about the active user, which gains what it is given to own.
fn active(pair: &Pair, before: &Facts, after: &Facts) -> Option<String> {
    let is_given = owned(before, pair.standby_user()) != owned(after, pair.standby_user());
    // The first grant on an object stores those of its owner too.
    let of_active = owned(after, pair.active_user());
    let of = |facts: &Facts| -> Facts {
        let standby = Json::from(pair.standby_user()).to_string();
        let own = facts
            .iter()
            .filter(|fact| fact.subject == pair.active_user());
        let own = own.filter(|fact| !is_given || OF_ACCOUNTS.contains(&&*fact.source));
        let own = own.filter(|fact| !of_active.contains(&object(fact)));
        own.filter(|fact| !fact.row.contains(&standby))
            .cloned()
            .collect()
    };
    difference(&of(before), &of(after))
}

/// What the active user could do, and one of the two users cannot.
fn lost(pair: &Pair, before: &Facts, after: &Facts) -> Option<String> {
    let could = effective(before, pair.active_user());
    let mut all = BTreeSet::new();
    for user in [pair.active_user(), pair.standby_user()] {
        let can = effective(after, user);
        all.extend(
            could
                .difference(&can)
                .map(|fact| format!("{user}: {fact:?}")),
        );
    }
    (!all.is_empty()).then(|| all.into_iter().collect::<Vec<_>>().join("\n"))
}

fn effective(facts: &Facts, user: &str) -> Facts {
    let own = facts
        .iter()
        .filter(|fact| fact.source == "effective" && fact.subject == user);
    own.map(|fact| normalized(fact, user)).collect()
}

fn normalized(fact: &Fact, user: &str) -> Fact {
    Fact {
        subject: String::new(),
        row: without_name(&fact.row, user),
        ..fact.clone()
    }
}

fn parsed(row: &str) -> Map<String, Json> {
    serde_json::from_str(row).unwrap()
}

fn text<'a>(row: &'a Map<String, Json>, column: &str) -> &'a str {
    row.get(column).and_then(Json::as_str).unwrap_or_default()
}

/// The object of a row: database, schema and name.
fn object(fact: &Fact) -> (&'static str, String, String) {
    let row = parsed(&fact.row);
    let first = |columns: &[&str]| {
        let mut columns = columns.iter();
        let found = columns.find_map(|column| row.get(*column)?.as_str());
        found.unwrap_or_default().to_owned()
    };
    let schema = first(&["namespace_name", "schema_name"]);
    let name = first(&[
        "relation_name",
        "function_name",
        "model_name",
        "object_name",
    ]);
    (fact.database, schema, name)
}

fn owned(facts: &Facts, user: &str) -> Owned {
    objects(facts, |row| text(row, "owner") == user)
}

fn objects(facts: &Facts, is_wanted: impl Fn(&Map<String, Json>) -> bool) -> Owned {
    let owners = facts.iter().filter(|fact| fact.source == "owners");
    let all = owners.filter_map(|fact| {
        let row = parsed(&fact.row);
        let key = (
            fact.database,
            text(&row, "schema").to_owned(),
            text(&row, "name").to_owned(),
        );
        is_wanted(&row).then_some(key)
    });
    all.collect()
}

/// The rows about the two users, except on what one of them owns.
fn twins(pair: &Pair, facts: &Facts) -> Option<String> {
    let of_pair = objects(facts, |row| is_of_pair(pair, text(row, "owner")));
    let views = objects(facts, |row| ["v", "m"].contains(&text(row, "kind")));
    let of_models = objects(facts, |row| text(row, "kind") == "mlfunc");
    let of = |user: &str| -> Facts {
        let mut all: BTreeMap<Fact, bool> = BTreeMap::new();
        for fact in facts.iter().filter(|fact| fact.subject == user) {
            let source = fact.source.as_str();
            if !OF_GRANTS.contains(&source) && !OF_ACCOUNTS.contains(&source)
                || source == "pg_shadow"
            {
                continue;
            }
            let mut row = parsed(&fact.row);
            let key = object(fact);
            let is_on_views_only = ["SELECT", "DROP"].contains(&text(&row, "privilege_type"));
            let is_left_out = of_pair.contains(&key)
                || views.contains(&key) && !is_on_views_only
                || of_models.contains(&key) && source == "svv_function_privileges"
                || source == "svv_default_privileges" && is_of_pair(pair, text(&row, "owner_name"));
            if is_left_out {
                continue;
            }
            // One privilege of several grantors has several rows.
            let option = row.remove("admin_option") == Some(Json::Bool(true));
            let row = Json::Object(row).to_string();
            let fact = normalized(
                &Fact {
                    row,
                    ..fact.clone()
                },
                user,
            );
            *all.entry(fact).or_default() |= option;
        }
        let with_option = all.into_iter().map(|(mut fact, option)| {
            fact.row += if option { " with option" } else { "" };
            fact
        });
        with_option.collect()
    };
    difference(&of(pair.active_user()), &of(pair.standby_user()))
}
