//! What a person should know before a run: pure.

use super::facts::{Facts, Role, Unknown, User, Users};
use super::powers::{self, Need};
use crate::{Finding, Severity};
use twinkey_core::secret::pair::Pair;

/// Roles with which one can give oneself everything (MongoDB manual, "Built-In Roles", "Superuser Roles").
const MIGHTY: [(&str, Option<&str>); 5] = [
    ("root", None),
    ("__system", None),
    ("userAdminAnyDatabase", None),
    ("userAdmin", Some("admin")),
    ("dbOwner", Some("admin")),
];

/// Roles that reach further than an application's database.
const BROAD: [&str; 5] = [
    "readAnyDatabase",
    "readWriteAnyDatabase",
    "dbAdminAnyDatabase",
    "clusterAdmin",
    "hostManager",
];

/// What is refused, and what is worth knowing.
pub(super) fn findings(facts: &Facts, pair: &Pair, users: &Users) -> Vec<Finding> {
    let mut all = Vec::new();
    if facts.users.is_none() {
        return all;
    }
    if users.active.is_none() {
        all.push(Finding::new(
            Severity::Error,
            format!(
                "the active user {:?} does not exist in {:?}",
                pair.active_user(),
                facts.home
            ),
            Some(
                "make the secret's user name that of a user of this server, and dbname the database in which it was created, if that is not admin"
                    .into(),
            ),
        ));
    }
    for user in users.active.iter().chain(&users.standby) {
        refusals(facts, user, &mut all);
    }
    for double in &facts.doubles {
        all.push(Finding::new(
            Severity::Error,
            format!(
                "there is a user {:?} in {:?} and the pair lives in {:?}: which of them a client means depends on its authSource",
                double.name, double.home, facts.home
            ),
            Some(format!(
                "drop the one that is not used: db.getSiblingDB({:?}).dropUser({:?})",
                double.home, double.name
            )),
        ));
    }
    if let Some(active) = &users.active {
        broad(active, &mut all);
    }
    if facts.master.plain_text {
        all.push(Finding::new(
            Severity::Warning,
            "the new password itself will cross the network in clear: the server takes no hash of it, and there is no TLS".into(),
            Some("set tls.mode = \"verify-full\"".into()),
        ));
    }
    all.extend(facts.unknown.iter().map(|what| unknown(facts, *what)));
    if !facts.master.powers.have(&Need::Sessions) {
        all.push(Finding::new(
            Severity::Note,
            "the master does not see who is signed in: a consumer that still lives on the standby goes unnoticed".into(),
            Some(powers::grant(facts, &Role::new("clusterMonitor", "admin"))),
        ));
    }
    all
}

fn unknown(facts: &Facts, what: Unknown) -> Finding {
    let what = match what {
        Unknown::Restrictions => {
            "from where a user may sign in (showAuthenticationRestrictions): that is not compared"
        }
        Unknown::CurrentOp => {
            "who is signed in (currentOp): a consumer that still lives on the standby goes unnoticed"
        }
    };
    let text = format!("version {} does not tell {what}", facts.version);
    Finding::new(Severity::Note, text, None)
}

fn refusals(facts: &Facts, user: &User, all: &mut Vec<Finding>) {
    let name = &user.name;
    let mut refuse = |what: String, fix: &str| {
        all.push(Finding::new(
            Severity::Error,
            format!("{name:?} {what}, and is not rotated as an application's user"),
            Some(fix.to_owned()),
        ));
    };
    let ordinary = "make an ordinary user for the application, with roles on its own database";
    let mighty = user.roles.iter().find(|role| {
        let is = |(name, db): &(&str, Option<&str>)| {
            role.role == *name && db.is_none_or(|db| role.db == db)
        };
        MIGHTY.iter().any(is)
    });
    if *name == facts.master.user {
        refuse(
            "is the master itself".into(),
            "give a master secret with another user, or rotate the master by its own managed rotation",
        );
    } else if name == "serviceadmin" {
        refuse("is Amazon DocumentDB's own user".into(), ordinary);
    } else if let Some(role) = mighty {
        refuse(format!("has the role {role}"), ordinary);
    } else if let Some(other) = other_mechanism(user) {
        refuse(
            format!("signs in with {other}, which is no password"),
            "use SCRAM-SHA-256 or SCRAM-SHA-1, or leave it out of the rotations",
        );
    }
}

fn other_mechanism(user: &User) -> Option<&String> {
    let mut all = user.mechanisms.iter().flatten();
    all.find(|mechanism| !mechanism.starts_with("SCRAM-"))
}

fn broad(active: &User, all: &mut Vec<Finding>) {
    let reaching: Vec<String> = active
        .roles
        .iter()
        .filter(|role| BROAD.contains(&role.role.as_str()))
        .map(Role::to_string)
        .collect();
    if reaching.is_empty() {
        return;
    }
    all.push(Finding::new(
        Severity::Warning,
        format!(
            "{:?} has {}: more than one application's database, and its twin gets the same",
            active.name,
            reaching.join(", ")
        ),
        Some("users that Amazon DocumentDB made before 26 March 2020 have such roles by default; give it roles on its own database".into()),
    ));
}
