//! Changes from facts: pure.
//!
//! The clone is a member of the base user, and its sessions become the base user at sign-in (`ALTER
//! ROLE clone SET role = 'base'`), or the owner role that an administrator chose for the base user's
//! sessions. So both users own the same objects and have the same privileges, whichever is active.
//!
//! # Failure modes
//! - A change affects the active user of a running application: statements about a role's own state
//!   name the standby only. The clone gets its role setting, and loses its own grants, only while
//!   it is the standby.
//! - An incomplete standby signs in: it is created NOLOGIN, and one last statement sets LOGIN and
//!   the password.
//! - A statement without effect fails, because 16 and later refuse attributes that the master may
//!   not set: statements name only attributes that differ.
//! - The only copy of a setting, a limit or an attribute is lost: the base user is the source of all
//!   of them, also while it is the standby. Then it keeps its own, and is given only what it lacks and
//!   the active clone has. The clone gets the base user's when it is the standby.
//! - Two transactions of one run wait for each other: changes in other databases are committed
//!   before the transaction in the rotation's own database begins.

pub(super) mod attributes;
mod password;
mod settings;
#[cfg(test)]
mod tests;

use super::inspect::{Facts, Role};
use super::quote::ident;
use super::signin_causes::causes;
use super::{ownership, preflight};
use crate::{Change, ChangeKind, Finding, Inspection, PostgresOptions, Severity, StandbyAccess};
use twinkey_core::secret::pair::{Pair, PairMember};

/// The changes that make the standby equal, and the findings.
pub(super) fn plan(facts: &Facts, pair: &Pair, options: &PostgresOptions) -> Inspection {
    let standby = pair.active.other();
    let mut findings = preflight::findings(facts, pair, options);
    findings.extend(password::finding(facts, facts.active_is_md5));
    let mut differences = ownership::in_other_databases(facts, pair);
    if facts.role(standby).is_none() && standby == PairMember::Clone {
        differences.push(Change::plain(
            ChangeKind::Create,
            format!("CREATE ROLE {} NOLOGIN", ident(&pair.clone)),
            "the clone does not exist; it cannot sign in until it is complete",
        ));
    }
    if standby == PairMember::Clone {
        membership(facts, pair, &mut differences);
        foreign_memberships(facts, pair, options, &mut differences, &mut findings);
    }
    attributes::compare(facts, pair, options, &mut differences, &mut findings);
    let unsettable = settings::compare(facts, pair, options, &mut differences, &mut findings);
    differences.extend(ownership::in_own_database(facts, pair));
    findings.extend(ownership::for_superusers(facts));
    findings.extend(ownership::left_alone(facts, pair));
    findings.extend(ownership::closed_databases(facts));
    let members = preflight::members_of_clone(facts, pair, options, &differences);
    findings.extend(members);
    let mut missing = preflight::missing(facts, pair, options);
    missing.extend(settings::missing(facts, pair, &unsettable));
    missing.extend(ownership::missing(facts, pair));
    Inspection {
        obstacles: causes(facts, pair),
        standby_obstacles: Vec::new(),
        server: format!("PostgreSQL {}", facts.version_text),
        standby_exists: facts.role(standby).is_some(),
        readable: true,
        standby_access: access(facts.role(standby)),
        cloned_by_aws: options.set_role && cloned_by_aws(facts, pair),
        differences,
        set_password: password::assumed(facts, pair),
        other_form: password::other(facts, pair),
        retire: retire(facts, pair),
        session_role: Some(settings::session_role(facts, pair, options)),
        // A role has one password, which the sign-in tests.
        holds_password: None,
        findings,
        missing,
    }
}

fn access(standby: Option<&Role>) -> StandbyAccess {
    match standby {
        Some(role) if role.login && !role.expired => StandbyAccess::Enabled,
        _ => StandbyAccess::Disabled,
    }
}

/// Whether the active clone is as AWS's function leaves it: a member of the base user, without the
/// role setting of a clone of twinkey's.
fn cloned_by_aws(facts: &Facts, pair: &Pair) -> bool {
    let mut memberships = facts.memberships.iter();
    let is_member = memberships.any(|m| m.member == pair.clone && m.role == pair.base);
    let settings = facts.settings_of(&pair.clone);
    pair.active == PairMember::Clone
        && is_member
        && !settings.contains_key(&(None, "role".to_owned()))
}

fn retire(facts: &Facts, pair: &Pair) -> Vec<Change> {
    let standby = facts.role(pair.active.other());
    let signs_in = standby.filter(|role| role.login);
    let locked = signs_in.map(|role| {
        Change::plain(
            ChangeKind::Retire,
            format!("ALTER ROLE {} NOLOGIN", ident(&role.name)),
            "no application uses it; setting its next password enables it again",
        )
    });
    locked.into_iter().collect()
}

/// Whether a run makes the clone a member of the base user.
pub(super) fn joins_base(facts: &Facts, pair: &Pair) -> bool {
    let complete = facts.memberships.iter().any(|m| {
        m.member == pair.clone
            && m.role == pair.base
            && m.inherit.unwrap_or(true)
            && m.set.unwrap_or(true)
    });
    // With a membership of the base user in the clone, the server refuses it.
    !complete && facts.in_clone.is_empty()
}

fn membership(facts: &Facts, pair: &Pair, differences: &mut Vec<Change>) {
    if joins_base(facts, pair) {
        let options = if facts.version >= 160_000 {
            " WITH INHERIT TRUE, SET TRUE"
        } else {
            ""
        };
        let (base, clone) = (ident(&pair.base), ident(&pair.clone));
        differences.push(Change::plain(
            ChangeKind::Grant,
            format!("GRANT {base} TO {clone}{options}"),
            "the clone has the base user's privileges by membership",
        ));
    }
    if facts.clone.as_ref().is_some_and(|clone| !clone.inherit) {
        differences.push(Change::plain(
            ChangeKind::Setting,
            format!("ALTER ROLE {} INHERIT", ident(&pair.clone)),
            "without INHERIT the membership has no effect",
        ));
    }
}

/// Memberships of the clone that the base user lacks.
fn foreign_memberships(
    facts: &Facts,
    pair: &Pair,
    options: &PostgresOptions,
    differences: &mut Vec<Change>,
    findings: &mut Vec<Finding>,
) {
    let of_clone = facts
        .memberships
        .iter()
        .filter(|m| m.member == pair.clone && m.role != pair.base);
    for m in of_clone {
        let revoke = format!("REVOKE {} FROM {}", ident(&m.role), ident(&pair.clone));
        let text = preflight::granted_by(facts, revoke, &m.grantor);
        if m.revocable {
            differences.push(Change::plain(
                ChangeKind::Revoke,
                text,
                format!(
                    "{:?} was granted to the clone itself, not to {:?}",
                    m.role, pair.base
                ),
            ));
        } else {
            let severity = if options.set_role {
                Severity::Warning
            } else {
                Severity::Error
            };
            findings.push(Finding::new(
                severity,
                format!(
                    "the clone is a member of {:?} itself, which the master cannot revoke{}",
                    m.role,
                    if options.set_role {
                        "; its sessions do not use it, because they become the base user"
                    } else {
                        ""
                    }
                ),
                Some(text),
            ));
        }
    }
}
