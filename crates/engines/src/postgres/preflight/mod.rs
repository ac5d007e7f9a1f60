//! Findings before a run, and privileges that the master lacks: pure.

mod members;

use std::collections::BTreeSet;

pub(super) use self::members::members_of_clone;
use super::inspect::{Facts, RoleChoice};
use super::ownership;
use super::plan::{self, attributes};
use super::quote::{ident, literal};
use super::remedies;
use crate::{Finding, PostgresOptions, Severity};
use twinkey_core::code::Code;
use twinkey_core::secret::pair::{Pair, PairMember};

/// Whether the master may give this attribute to another role.
pub(super) fn may_set_attribute(facts: &Facts, attribute: &str) -> bool {
    let master = &facts.master;
    // Before 16 CREATEROLE was enough for all but BYPASSRLS; since 16 the master itself needs it.
    master.superuser
        || match attribute {
            "CREATEDB" => facts.version < 160_000 || master.createdb,
            "BYPASSRLS" => facts.version >= 160_000 && master.bypassrls,
            _ => true,
        }
}

/// The findings about the pair.
pub(super) fn findings(facts: &Facts, pair: &Pair, options: &PostgresOptions) -> Vec<Finding> {
    let mut all = Vec::new();
    if facts.in_recovery {
        all.push(Finding::new(
            Severity::Error,
            "the server is in recovery, so no user can be changed".into(),
            Some("use the writer's endpoint: this host is a reader".into()),
        ));
    }
    for which in [PairMember::Base, PairMember::Clone] {
        refusals(facts, pair, which, &mut all);
    }
    pair_mismatches(facts, pair, options, &mut all);
    all.extend(connect(facts, pair));
    if !facts.sees_sessions {
        all.push(Finding::new(
            Severity::Note,
            "the master sees that the standby has sessions, but not their address and start".into(),
            Some(format!(
                "GRANT pg_read_all_stats TO {}",
                ident(&facts.master.name)
            )),
        ));
    }
    all
}

fn refusals(facts: &Facts, pair: &Pair, which: PairMember, all: &mut Vec<Finding>) {
    let name = pair.name(which);
    let Some(user) = facts.role(which) else {
        return;
    };
    let mut refuse = |what: &str, fix: String| {
        all.push(Finding::new(
            Severity::Error,
            format!("{name:?} {what}, and is not rotated as an application's user"),
            Some(fix),
        ));
    };
    let ordinary = format!("create an ordinary user for the application; {name:?} is not one");
    if user.superuser {
        refuse("is a superuser", ordinary);
    } else if user.name == facts.master.name {
        refuse(
            "is the master itself",
            "use a master secret with another user, or rotate the master by its own managed rotation".into(),
        );
    } else if user.replication {
        refuse(
            "has REPLICATION",
            format!(
                "ALTER ROLE {} NOREPLICATION, or leave it out of the rotations",
                ident(name)
            ),
        );
    }
}

fn pair_mismatches(facts: &Facts, pair: &Pair, options: &PostgresOptions, all: &mut Vec<Finding>) {
    if facts.base.is_none() {
        let create = format!(
            "CREATE ROLE {} LOGIN, with the privileges of the application",
            ident(&pair.base)
        );
        all.push(Finding::new(
            Severity::Error,
            format!("the base user {:?} does not exist", pair.base),
            Some(match pair.active {
                PairMember::Base => create,
                PairMember::Clone => format!(
                    "if {:?} is the application's own user and no clone, set clone_suffix for the rotation to another ending; otherwise {create}",
                    pair.clone
                ),
            }),
        ));
        return;
    }
    let leave_clone = leave_clone(facts, pair);
    if pair.active == PairMember::Base {
        all.extend(leave_clone.map(|revoke| {
            Finding::new(
                Severity::Error,
                format!(
                    "{:?} is a member of {:?}, so the server refuses to make the clone a member of the base user",
                    pair.base, pair.clone
                ),
                Some(revoke),
            )
        }));
        return;
    }
    if facts.clone.is_none() {
        all.push(Finding::new(
            Severity::Error,
            format!("the active user {:?} does not exist", pair.clone),
            Some("make the secret's user name that of a user of this server".into()),
        ));
        return;
    }
    let member = facts
        .memberships
        .iter()
        .any(|m| m.member == pair.clone && m.role == pair.base);
    if !member {
        let grant = format!("GRANT {} TO {}", ident(&pair.base), ident(&pair.clone));
        all.push(Finding {
            code: Some(Code::PrivilegesDiffer),
            ..Finding::new(
                Severity::Error,
                format!(
                    "{:?} is active and not a member of {:?}: the two are no pair",
                    pair.clone, pair.base
                ),
                Some(
                    leave_clone
                        .map_or_else(|| grant.clone(), |revoke| format!("{revoke}; {grant}")),
                ),
            )
        });
    } else if options.set_role && !facts.works_as_base(pair) {
        all.push(Finding::new(
            Severity::Note,
            "sessions of the clone do not have the role of the base user's yet; they will once the clone has been the standby".into(),
            None,
        ));
    }
    all.extend(
        facts
            .role_choices
            .iter()
            .filter_map(|choice| role_of_clone(choice, facts, pair)),
    );
    all.extend(attributes_of_roles(facts, pair));
}

/// Ends the memberships in the clone that the base user has.
fn leave_clone(facts: &Facts, pair: &Pair) -> Option<String> {
    let of_base = facts.in_clone.iter();
    let statements = of_base.map(|m| leave(facts, pair, &m.member, &m.grantor, m.handed_on));
    let statements: Vec<String> = statements.collect();
    (!statements.is_empty()).then(|| statements.join("; "))
}

/// Ends one membership in the clone, with those that the member granted (16 and later).
fn leave(facts: &Facts, pair: &Pair, member: &str, grantor: &str, handed_on: bool) -> String {
    let revoke = format!("REVOKE {} FROM {}", ident(&pair.clone), ident(member));
    let cascade = if handed_on { " CASCADE" } else { "" };
    granted_by(facts, revoke, grantor) + cascade
}

/// A REVOKE of a membership, of one grantor where the server stores several (16 and later).
pub(super) fn granted_by(facts: &Facts, revoke: String, grantor: &str) -> String {
    if facts.version >= 160_000 {
        format!("{revoke} GRANTED BY {}", ident(grantor))
    } else {
        revoke
    }
}

/// CONNECT, without which the base user cannot sign in.
fn connect(facts: &Facts, pair: &Pair) -> Option<Finding> {
    (pair.active == PairMember::Clone && !facts.base_connects).then(|| Finding {
        code: Some(Code::PrivilegesDiffer),
        ..Finding::new(
            Severity::Error,
            format!(
                "the base user {:?} may not connect to {:?}; the server checks it before a session takes its role",
                pair.base, facts.database
            ),
            Some(remedies::no_connect(&pair.base, &facts.database)),
        )
    })
}

/// A role of the active clone whose privileges the base user's sessions lack.
fn role_of_clone(choice: &RoleChoice, facts: &Facts, pair: &Pair) -> Option<Finding> {
    let database = choice.database.as_deref();
    let works_as = facts.session_role(pair, database);
    let is_clones = choice.of.as_ref() == Some(&pair.clone);
    let is_kept = choice.held
        || !choice.usable_by_clone
        || [works_as, &pair.base, "none"].contains(&choice.role.as_str());
    if !is_clones || is_kept {
        return None;
    }
    let (role, base) = (ident(&choice.role), ident(&pair.base));
    let scope = database.map_or_else(String::new, |d| format!(" IN DATABASE {}", ident(d)));
    let set = format!(
        "ALTER ROLE {base}{scope} SET role TO {}",
        literal(&choice.role)
    );
    let fix = if let Some(cycle) = facts.cycle(&choice.role, &pair.base) {
        if facts.lacks(cycle) {
            return None;
        }
        // The base user cannot have the role, and has the same privileges.
        let clone = ident(&pair.clone);
        format!(
            "ALTER ROLE {clone}{scope} SET role TO {}",
            literal(works_as)
        )
    } else if choice.usable {
        set
    } else {
        format!("GRANT {role} TO {base}; {set}")
    };
    Some(Finding {
        code: Some(Code::PrivilegesDiffer),
        ..Finding::new(
            Severity::Error,
            format!(
                "sessions of the active clone have the role {:?}, those of the base user {works_as:?}, which lacks its privileges",
                choice.role
            ),
            Some(fix),
        )
    })
}

/// Attributes of the active clone's sessions that the base user's lack, because these have another role.
fn attributes_of_roles(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    if facts.works_as_base(pair) {
        return Vec::new();
    }
    let lacking = attributes::ALL.into_iter().flat_map(|attribute| {
        let roles = facts.without(pair, attribute).into_iter();
        roles.map(move |role| (attribute, role))
    });
    lacking
        .filter(|(_, role)| *role != pair.base)
        .map(|(attribute, role)| Finding {
            code: Some(Code::PrivilegesDiffer),
            ..Finding::new(
                Severity::Error,
                format!(
                    "sessions of the active clone have {attribute}, those of the base user have the role {role:?}, which lacks it"
                ),
                Some(format!("ALTER ROLE {} {attribute}", ident(role))),
            )
        })
        .collect()
}

/// Privileges that the master lacks for the changes.
pub(super) fn missing(facts: &Facts, pair: &Pair, options: &PostgresOptions) -> Vec<Finding> {
    let mut all = Vec::new();
    let master = &facts.master;
    if master.superuser {
        return all;
    }
    let name = ident(&master.name);
    if !master.createrole {
        all.push(Finding::lacks(
            format!("the master {:?} may not create or alter users", master.name),
            format!("ALTER ROLE {name} CREATEROLE"),
        ));
    }
    if facts.version >= 160_000 {
        let granted = granted(facts, pair);
        for (which, power) in [
            (PairMember::Base, &facts.over_base),
            (PairMember::Clone, &facts.over_clone),
        ] {
            let user = pair.name(which);
            let what = if facts.role(which).is_none() {
                continue;
            } else if !power.admin {
                format!(
                    "the master {:?} has no ADMIN OPTION on {user:?}, without which it can neither grant nor alter it",
                    master.name
                )
            } else if !power.grants && granted.contains(user) {
                format!(
                    "the master {:?} has ADMIN OPTION on {user:?} only by a role that it does not inherit: it may not grant {user:?}",
                    master.name
                )
            } else {
                continue;
            };
            all.push(Finding::lacks(
                what,
                remedies::admin_option(user, &master.name),
            ));
        }
    } else if !master.inherit && ownership::needs_membership(facts, pair) {
        all.push(Finding::lacks(
            format!("the master {:?} does not inherit the privileges of roles that it is a member of, which changing objects and grants of the clone requires", master.name),
            format!("ALTER ROLE {name} INHERIT"),
        ));
    }
    if facts.password_commands_denied {
        all.push(Finding::lacks(
            "rds.restrict_password_commands is on, and the master is not a member of rds_password: it may set no password".into(),
            format!("GRANT rds_password TO {name}"),
        ));
    }
    if !options.set_role || pair.active == PairMember::Clone {
        all.extend(missing_attributes(facts, pair, options));
    }
    all
}

/// Users of the pair that a run grants to the clone or to the master.
fn granted<'a>(facts: &'a Facts, pair: &'a Pair) -> BTreeSet<&'a str> {
    let mut all = ownership::joined(facts, pair);
    if pair.active == PairMember::Base && plan::joins_base(facts, pair) {
        all.insert(&pair.base);
    }
    all
}

fn missing_attributes(facts: &Facts, pair: &Pair, options: &PostgresOptions) -> Vec<Finding> {
    attributes::differing(facts, pair, options)
        .into_iter()
        .filter(|(attribute, _)| !may_set_attribute(facts, attribute))
        .map(|(attribute, on)| {
            let standby = ident(pair.standby_user());
            let no = if on { "" } else { "NO" };
            // Before 16 only a superuser sets BYPASSRLS.
            let fix = if attribute != "BYPASSRLS" || facts.version >= 160_000 {
                format!("ALTER ROLE {} {attribute}", ident(&facts.master.name))
            } else if facts.role(pair.active.other()).is_some() {
                format!("ALTER ROLE {standby} {no}{attribute}")
            } else {
                format!("CREATE ROLE {standby} NOLOGIN {attribute}, and set standby = \"adopt\" for the rotation")
            };
            Finding::lacks(
                format!("the active user has {attribute}, the standby has not (or the other way round), and the master may not set it"),
                fix,
            )
        })
        .collect()
}
