//! What is so on the server now: read-only, plain data.
//!
//! What can go wrong, and what prevents it:
//! - a user of the pair's name in another database is taken for the pair's: a pair lives where its active
//!   user does, in `admin` or in the secret's own database, and a double in the other one is told;
//! - a version does not know what restricts a user's sign-in: it is asked, and where it refuses the question
//!   it is asked without it;
//! - the master may not read users, and the answer is an error in the middle: it is a power that it lacks.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc};
use serde_json::Value as Json;

use super::connect::{ADMIN, Connection, homes};
use super::facts::{Facts, Master, Unknown, User, Users};
use super::greeting::{documents, roles};
use super::sessions;
use crate::{EngineError, InspectRequest};

/// Looks the pair up; `own` is the rotation's database.
///
/// # Errors
/// The connection's.
pub(super) async fn facts(
    connection: &Connection,
    version: &str,
    master: &Master,
    own: Option<&str>,
    request: &InspectRequest<'_>,
) -> Result<Facts, EngineError> {
    let pair = request.pair;
    let mut facts = Facts {
        version: version.to_owned(),
        home: ADMIN.to_owned(),
        own: own.unwrap_or(ADMIN).to_owned(),
        master: master.clone(),
        users: Some(Users::default()),
        doubles: Vec::new(),
        unknown: BTreeSet::new(),
    };
    // A run asks for the sessions themselves, and takes no answer for one.
    if request.thorough && !sessions::are_told(connection).await? {
        facts.unknown.insert(Unknown::CurrentOp);
    }
    let mut found: Vec<(&str, Users)> = Vec::new();
    let mut closed = None;
    for home in homes(own) {
        let active = look_up(connection, home, pair.active_user(), &mut facts).await?;
        let standby = look_up(connection, home, pair.standby_user(), &mut facts).await?;
        match (active, standby) {
            (Some(active), Some(standby)) => found.push((home, Users { active, standby })),
            _ => {
                closed.get_or_insert(home);
            }
        }
    }
    let lives = found.iter().position(|(_, users)| users.active.is_some());
    // Who may not look into one of two databases may still work in the other.
    let at = match (lives, closed) {
        (None, Some(closed)) => {
            closed.clone_into(&mut facts.home);
            facts.users = None;
            return Ok(facts);
        }
        (lives, _) => lives.unwrap_or_default(),
    };
    let (home, users) = found.swap_remove(at);
    home.clone_into(&mut facts.home);
    facts.users = Some(users);
    facts.doubles = found
        .into_iter()
        .flat_map(|(_, users)| [users.active, users.standby])
        .flatten()
        .collect();
    Ok(facts)
}

/// A user; the inner `None`: there is no such user; the outer: the master may not see it.
async fn look_up(
    connection: &Connection,
    home: &str,
    name: &str,
    facts: &mut Facts,
) -> Result<Option<Option<User>>, EngineError> {
    let what = "looking up the pair's users";
    let who = doc! { "user": name, "db": home };
    let plain = doc! { "usersInfo": who };
    let mut answer = None;
    if !facts.unknown.contains(&Unknown::Restrictions) {
        let mut full = plain.clone();
        full.insert("showAuthenticationRestrictions", true);
        match connection.ask(home, full).await {
            Err(failure) if failure.is_unknown() => {
                facts.unknown.insert(Unknown::Restrictions);
            }
            other => answer = Some(other),
        }
    }
    let answer = match answer {
        Some(answer) => answer,
        None => connection.ask(home, plain).await,
    };
    match answer {
        Ok(answer) => Ok(Some(
            documents(&answer, "users")
                .first()
                .map(|user| read(user, name, home)),
        )),
        Err(failure) if failure.is_unauthorized() => Ok(None),
        // A server whose users all live in `admin` need not know the question.
        Err(failure) if failure.is_unknown() && home != ADMIN => Ok(Some(None)),
        Err(failure) => Err(connection.explain(what, false, failure)),
    }
}

fn read(told: &Document, name: &str, home: &str) -> User {
    let texts = |list: &str| -> Option<BTreeSet<String>> {
        let all = told.get_array(list).ok()?;
        let all = all
            .iter()
            .filter_map(|text| Some(text.as_str()?.to_owned()));
        Some(all.collect())
    };
    let json = |field: &str| told.get(field).and_then(|it| serde_json::to_value(it).ok());
    User {
        name: name.to_owned(),
        home: home.to_owned(),
        roles: roles(told, "roles"),
        mechanisms: texts("mechanisms"),
        restrictions: match json("authenticationRestrictions") {
            Some(Json::Array(all)) => all,
            _ => Vec::new(),
        },
        custom_data: json("customData").filter(|data| *data != serde_json::json!({})),
    }
}
