use super::*;

fn id(n: u8) -> VersionId {
    VersionId(format!("{n:032}"))
}

fn labels(of: &[(u8, &[&str])]) -> Labels {
    of.iter()
        .map(|(n, on_it)| (id(*n), on_it.iter().map(ToString::to_string).collect()))
        .collect()
}

const C: &str = stage::CURRENT;
const P: &str = stage::PREVIOUS;
const N: &str = stage::PENDING;

#[test]
fn a_default_put_moves_current_and_previous() {
    let one = put(&Labels::new(), &id(1), None).unwrap();
    assert_eq!(one, labels(&[(1, &[C])]));
    let two = put(&one, &id(2), None).unwrap();
    assert_eq!(two, labels(&[(1, &[P]), (2, &[C])]));
    let three = put(&two, &id(3), None).unwrap();
    assert_eq!(three, labels(&[(1, &[]), (2, &[P]), (3, &[C])]));
}

#[test]
fn a_pending_put_moves_pending_only() {
    let before = labels(&[(1, &[C]), (2, &[N])]);
    let after = put(&before, &id(3), Some(&[N.into()])).unwrap();
    assert_eq!(after, labels(&[(1, &[C]), (2, &[]), (3, &[N])]));
}

#[test]
fn the_first_version_is_always_current() {
    let after = put(&Labels::new(), &id(1), Some(&[N.into()])).unwrap();
    assert_eq!(after, labels(&[(1, &[C, N])]));
}

#[test]
fn promotion_and_rollback_swap_current_and_previous() {
    let before = labels(&[(1, &[P]), (2, &[C]), (3, &[N])]);
    let promoted = move_stage(&before, C, Some(&id(2)), Some(&id(3))).unwrap();
    assert_eq!(promoted, labels(&[(1, &[]), (2, &[P]), (3, &[C, N])]));
    let back = move_stage(&promoted, C, Some(&id(3)), Some(&id(2))).unwrap();
    assert_eq!(back, labels(&[(1, &[]), (2, &[C]), (3, &[N, P])]));
}

#[test]
fn an_unused_label_needs_no_from_version() {
    let before = labels(&[(1, &[C]), (2, &[])]);
    let after = move_stage(&before, "blue", None, Some(&id(2))).unwrap();
    assert_eq!(after, labels(&[(1, &[C]), (2, &["blue"])]));
    assert_eq!(
        move_stage(&after, "blue", None, Some(&id(2))).unwrap(),
        after
    );
    assert_eq!(
        move_stage(&after, "blue", Some(&id(2)), None).unwrap(),
        before
    );
}

#[test]
fn refusals_have_the_names_of_aws() {
    let before = labels(&[(1, &[C]), (2, &[N])]);
    let kind = |label, from: Option<u8>, to: Option<u8>| {
        move_stage(&before, label, from.map(id).as_ref(), to.map(id).as_ref())
            .unwrap_err()
            .kind
    };
    assert_eq!(kind(C, None, None), RefusalKind::InvalidParameter);
    assert_eq!(kind(C, None, Some(2)), RefusalKind::InvalidParameter);
    assert_eq!(kind(C, Some(2), Some(2)), RefusalKind::InvalidParameter);
    assert_eq!(kind(C, Some(2), Some(1)), RefusalKind::InvalidParameter);
    assert_eq!(kind(C, Some(9), Some(2)), RefusalKind::InvalidParameter);
    assert_eq!(kind(C, Some(1), None), RefusalKind::InvalidParameter);
    assert_eq!(
        kind("blue", Some(1), Some(2)),
        RefusalKind::InvalidParameter
    );
    assert_eq!(kind(C, Some(1), Some(9)), RefusalKind::ResourceNotFound);
    assert_eq!(kind("", None, Some(1)), RefusalKind::Validation);
    assert_eq!(
        kind(&"x".repeat(257), None, Some(1)),
        RefusalKind::Validation
    );
    assert_eq!(
        put(&before, &id(3), Some(&[])).unwrap_err().kind,
        RefusalKind::Validation
    );
}

#[test]
fn a_secret_has_at_most_twenty_labels() {
    let many: Vec<String> = (0..19).map(|n| format!("l{n}")).collect();
    let full = put(&labels(&[(1, &[C])]), &id(2), Some(&many)).unwrap();
    assert_eq!(
        move_stage(&full, "one-more", None, Some(&id(1)))
            .unwrap_err()
            .kind,
        RefusalKind::LimitExceeded
    );
}

/// Checks every arrangement of three labels over three versions with every request. A label is
/// never on two versions, AWSCURRENT never vanishes, and an accepted move names the version it
/// left.
#[test]
fn no_request_breaks_the_rules() {
    let places = [None, Some(1), Some(2), Some(3)];
    let mut tried = 0;
    for current in [1, 2, 3] {
        for previous in places {
            for pending in places {
                let mut before = labels(&[(1, &[]), (2, &[]), (3, &[])]);
                for (label, on) in [(C, Some(current)), (P, previous), (N, pending)] {
                    if let Some(n) = on {
                        before.get_mut(&id(n)).unwrap().insert(label.into());
                    }
                }
                for label in [C, P, N] {
                    for from in places {
                        for to in places {
                            tried += 1;
                            let (from, to) = (from.map(id), to.map(id));
                            let was = holder(&before, label).cloned();
                            let Ok(after) = move_stage(&before, label, from.as_ref(), to.as_ref())
                            else {
                                continue;
                            };
                            for each in [C, P, N] {
                                let on = after.values().filter(|l| l.contains(each)).count();
                                assert!(on <= 1, "{each} is on {on} versions");
                            }
                            assert!(holder(&after, C).is_some());
                            assert_eq!(holder(&after, label), to.as_ref());
                            assert!(was == from || (from.is_none() && was == to));
                            if label == C && was != to {
                                assert_eq!(holder(&after, P), was.as_ref());
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(tried, 3 * 16 * 3 * 16);
}

#[test]
fn pruning_keeps_the_newest_and_labelled_versions() {
    let versions: Vec<(VersionId, bool)> = (0..30).rev().map(|n| (id(n), n == 3)).collect();
    let gone = prunable(&versions, 20);
    assert_eq!(gone.len(), 9);
    assert!(!gone.contains(&id(3)));
    assert!(!gone.contains(&id(10)));
    assert!(gone.contains(&id(9)));
}
