//! The rules of the decision, each broken once: the model finds the violation.

use super::*;
use crate::rotation::decide::single::OneUser;
use crate::rotation::decide::{Own, Proof, Users};

/// The one user of an observation.
fn user(o: &Observed) -> OneUser {
    match o.users {
        Users::One(user) => user,
        Users::Pair => unreachable!("the model has one user"),
    }
}

const NO_WAY_IN: &str = "the credentials do not sign in";
const NO_SUCCESS: &str = "an undisturbed run ends with";

/// Checks that the model finds this violation with a decision.
fn violates(expected: &str, decision: Decision<'_>) {
    finds(expected, &explore(&starts(false, 0), decision, RULES));
}

fn finds(expected: &str, result: &Result<Explored, String>) {
    let violation = result.as_ref().unwrap_err();
    assert!(violation.contains(expected), "{violation}");
}

#[test]
fn a_pending_password_is_carried_on() {
    violates(NO_SUCCESS, &|o| match decide(o) {
        Action::PutPending { .. } => Action::PutPending { carry: false },
        action => action,
    });
}

#[test]
fn the_password_is_awspending_before_the_change() {
    violates(NO_WAY_IN, &|o| match decide(o) {
        Action::LabelPending if !o.converged => Action::Converge,
        action => action,
    });
}

#[test]
fn only_what_signs_in_is_promoted() {
    violates(NO_WAY_IN, &|o| match decide(o) {
        Action::Converge => Action::Promote,
        action => action,
    });
}

#[test]
fn a_flip_waits_for_every_account() {
    violates(NO_WAY_IN, &|o| {
        let mut o = *o;
        o.standby.has_password |= user(&o).own_signs_in;
        o.proof = o.proof.map(|_| Proof::Accepted);
        decide(&o)
    });
}

#[test]
fn no_guard_prolongs_the_gap() {
    violates("a guard prolongs the gap", &|o| {
        let guards = Guards {
            current_refused: false,
            ..o.guards
        };
        match guards.refusals().first() {
            Some(refusal) => Action::Refuse(*refusal),
            None => decide(o),
        }
    });
}

#[test]
fn a_later_run_leaves_the_gap() {
    violates(NO_SUCCESS, &|o| match decide(o) {
        Action::PutPending { .. } if o.guards.current_refused => {
            Action::Refuse(Refusal::CurrentRefused)
        }
        action => action,
    });
}

#[test]
fn no_label_is_removed() {
    violates(NO_WAY_IN, &|o| match o.own {
        Own::Pending(Content::Outdated) => Action::DropPending,
        _ => decide(o),
    });
}

#[test]
fn no_label_leaves_another_pending_password() {
    violates(NO_WAY_IN, &|o| match (o.own, decide(o)) {
        (
            Own::Unlabelled(Content::Fits),
            Action::Refuse(Refusal::PendingConflict | Refusal::LostRace),
        ) => Action::LabelPending,
        (_, action) => action,
    });
}

#[test]
fn nothing_begins_while_no_password_signs_in() {
    violates("while no password signs in", &|o| match decide(o) {
        Action::Refuse(Refusal::CurrentRefused) => Action::PutPending { carry: false },
        action => action,
    });
}

#[test]
fn awscurrent_is_the_primary_password_at_a_change() {
    violates(NO_WAY_IN, &|o| match decide(o) {
        Action::RestoreCurrent => Action::Converge,
        action => action,
    });
}

#[test]
fn a_late_write_cannot_move_awspending() {
    let rules = Rules { put_labels: true };
    finds(NO_WAY_IN, &explore(&starts(true, 1), &decide, rules));
}
