//! The decision over every combination of facts, also those that no run observes.

use super::*;
use crate::rotation::decide::single::{OneUser, PasswordChange};
use crate::rotation::decide::{Elsewhere, Hooks, Own, Proof, Standby, Users};
use crate::rotation::model::{every_elsewhere, every_own};

/// Every combination of the facts, without guards.
fn combinations() -> Vec<Observed> {
    let proofs = [
        None,
        Some(Proof::Refused),
        Some(Proof::Behind),
        Some(Proof::Unreachable),
        Some(Proof::PoolerRefused),
        Some(Proof::Accepted),
    ];
    let changes = [
        PasswordChange::Replaces,
        PasswordChange::Retains,
        PasswordChange::RetainsOther,
    ];
    let mut all = Vec::new();
    let elsewheres = every_elsewhere();
    for own in every_own() {
        for elsewhere in &elsewheres {
            for proof in proofs {
                for change in changes {
                    for bits in 0..32_u8 {
                        let on = |n: u8| bits & (1 << n) != 0;
                        // A password signs in if all accounts have it, and if a document has it.
                        let has_document = matches!(
                            own,
                            Own::Unlabelled(Content::Fits) | Own::Pending(Content::Fits)
                        );
                        let is_carried = matches!(
                            elsewhere,
                            Elsewhere::Pending {
                                content: Content::Fits | Content::Outdated,
                                ..
                            }
                        );
                        if (on(0) && !on(1)) || (on(1) && !has_document) || (on(2) && !is_carried) {
                            continue;
                        }
                        all.push(Observed {
                            users: Users::One(OneUser {
                                own_signs_in: on(1),
                                elsewhere_signs_in: on(2),
                                change,
                            }),
                            own,
                            elsewhere: *elsewhere,
                            guards: Guards {
                                current_refused: on(3),
                                ..Guards::default()
                            },
                            standby: Standby {
                                equal: true,
                                has_password: on(0),
                            },
                            proof,
                            pooler_secrets_stale: false,
                            hooks: Hooks::Absent,
                            converged: on(4),
                            end_sessions: false,
                        });
                    }
                }
            }
        }
    }
    all
}

fn user(o: &Observed) -> OneUser {
    match o.users {
        Users::One(user) => user,
        Users::Pair => unreachable!("all have one user"),
    }
}

fn has_effect(action: Action) -> bool {
    !matches!(action, Action::Refuse(_) | Action::Done | Action::Prove)
}

#[test]
fn every_action_follows_from_what_signs_in() {
    let all = combinations();
    for o in &all {
        let (action, user) = (decide(o), user(o));
        let refused = o.guards.current_refused;
        if refused && !user.own_signs_in && !user.elsewhere_signs_in {
            assert!(!has_effect(action), "{action:?} {o:?}");
        }
        match action {
            Action::PutPending { carry: false } => assert!(!refused, "{o:?}"),
            Action::PutPending { carry: true } => {
                assert_ne!(o.elsewhere, Elsewhere::Nothing, "{o:?}");
            }
            Action::RestoreCurrent => {
                assert_eq!(o.own, Own::Pending(Content::Fits));
                assert!(!refused && user.change == PasswordChange::RetainsOther);
            }
            Action::Converge => {
                assert_eq!(o.own, Own::Pending(Content::Fits));
                assert!(!o.standby.has_password && !o.converged, "{o:?}");
                assert!(!refused || user.own_signs_in, "{o:?}");
                assert!(refused || user.change != PasswordChange::RetainsOther);
            }
            Action::Promote => {
                assert!(o.standby.has_password, "{o:?}");
                let passes = [Proof::Accepted, Proof::Unreachable, Proof::PoolerRefused];
                let proof = o.proof.unwrap();
                assert!(proof == Proof::Accepted || (refused && passes.contains(&proof)));
            }
            Action::DropPending | Action::PutPoolerSecrets | Action::EndSessions => {
                panic!("{action:?} {o:?}")
            }
            _ => {}
        }
    }
    println!("{} combinations of facts of one user", all.len());
}

#[test]
fn no_guard_lets_an_effect_through_before_the_change() {
    let always = |set: &dyn Fn(&mut Guards)| {
        for mut o in combinations() {
            set(&mut o.guards);
            let action = decide(&o);
            let open = o.guards.current_refused || !has_effect(action);
            assert!(open, "{action:?} {o:?}");
        }
    };
    always(&|guards| guards.managed_elsewhere = true);
    always(&|guards| guards.replaced = true);
    always(&|guards| guards.window_closed = true);
    always(&|guards| guards.master_refused = true);
    always(&|guards| guards.other_server = true);
    always(&|guards| guards.reader_elsewhere = true);
    always(&|guards| guards.locked = true);
    always(&|guards| guards.gap_not_accepted = true);
    always(&|guards| guards.pair_shared = true);
    always(&|guards| guards.unfit = true);
    always(&|guards| guards.master_lacks = true);
}

#[test]
fn min_interval_and_endpoints_stop_a_change() {
    let stops = |set: &dyn Fn(&mut Guards)| {
        for mut o in combinations() {
            set(&mut o.guards);
            let action = decide(&o);
            let changes = matches!(action, Action::RestoreCurrent | Action::Converge)
                || action == (Action::PutPending { carry: false });
            assert!(!changes || o.guards.current_refused, "{action:?} {o:?}");
        }
    };
    stops(&|guards| guards.too_soon = true);
    stops(&|guards| guards.reader_behind = true);
    stops(&|guards| guards.reader_unreachable = true);
}

#[test]
fn the_gap_of_another_secret_is_left_alone() {
    for mut o in combinations() {
        o.guards.current_refused = true;
        o.guards.replaced = true;
        let action = decide(&o);
        assert!(!has_effect(action), "{action:?} {o:?}");
    }
}

#[test]
fn two_runs_do_not_write_in_the_gap() {
    for mut o in combinations() {
        o.guards.current_refused = true;
        for set in [
            |guards: &mut Guards| guards.managed_elsewhere = true,
            |guards: &mut Guards| guards.locked = true,
        ] {
            let mut o = o;
            set(&mut o.guards);
            let action = decide(&o);
            assert!(
                !has_effect(action) || action == Action::Promote,
                "{action:?} {o:?}"
            );
        }
    }
}
