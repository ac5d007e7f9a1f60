//! Members of the clone: pure.
//!
//! # Failure modes
//! - A run makes the clone a member of the base user, and roles that are members of the clone get the
//!   base user's privileges: the run is refused, unless they have these already.
//! - Such a role loses what a run revokes from the clone: the run is refused, unless the role has it by
//!   the base user.
//! - A role that may only administer the clone (ADMIN OPTION without INHERIT and SET, as the creator of
//!   a role has on 16) stops every run: it has no privileges of the clone, and is no finding.

use super::super::inspect::{Facts, MemberOfClone};
use super::super::ownership;
use super::super::plan::attributes;
use super::{leave, may_set_attribute};
use crate::{Change, ChangeKind, Finding, PostgresOptions, Severity};
use twinkey_core::secret::pair::{Pair, PairMember};

/// Roles that would gain or lose privileges by a run, as members of the clone.
pub(in super::super) fn members_of_clone(
    facts: &Facts,
    pair: &Pair,
    options: &PostgresOptions,
    differences: &[Change],
) -> Vec<Finding> {
    let clone_is_standby = pair.active == PairMember::Base;
    let attributes = attributes::differing(facts, pair, options).into_iter();
    let attributes: Vec<bool> = attributes
        .filter(|(attribute, _)| clone_is_standby && may_set_attribute(facts, attribute))
        .map(|(_, on)| on)
        .collect();
    let joins = clone_is_standby
        && (differences.iter().any(|c| c.kind == ChangeKind::Grant)
            || facts.clone.as_ref().is_some_and(|clone| !clone.inherit));
    let revokes = clone_is_standby && ownership::revokes_beyond_base(facts, pair)
        || ownership::leaves_pair(facts, pair);
    let gains = |m: &MemberOfClone| !m.has_base && (joins || m.sets && attributes.contains(&true));
    let loses = |m: &MemberOfClone| revokes || m.sets && attributes.contains(&false);
    let members = facts.members_of_clone.iter().filter_map(|m| {
        let (base, clone) = (&pair.base, &pair.clone);
        let effect = match (gains(m), loses(m)) {
            (true, _) => format!("the run would give it the privileges of {base:?}"),
            (_, true) => "the run would revoke the clone's own privileges from it".to_owned(),
            _ => return None,
        };
        Some(Finding::new(
            Severity::Error,
            format!("{:?} is a member of {clone:?}, so {effect}", m.member),
            Some(leave(facts, pair, &m.member, &m.grantor, m.handed_on)),
        ))
    });
    members.collect()
}
