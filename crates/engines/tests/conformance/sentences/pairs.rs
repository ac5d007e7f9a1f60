//! Equality of the two users, in both directions, and after changes between two runs.

use twinkey_engines::EngineError;

use crate::case::{Case, all_changes, rendered};
use crate::harness::Harness;

pub async fn all(harness: &dyn Harness) {
    the_standby_can_do_all_that_the_active_user_can(harness).await;
    changes_between_two_runs_are_equal_on_the_pair(harness).await;
    a_grant_to_the_standby_is_shown_and_then_revoked(harness).await;
    the_same_changes_once_more_change_nothing(harness).await;
}

async fn the_standby_can_do_all_that_the_active_user_can(harness: &dyn Harness) {
    let mut case = Case::new(harness, "app").await;
    for privilege in harness.privileges() {
        assert!(!case.may(&case.current, privilege).await, "{privilege}");
        case.grant(privilege).await;
    }
    for _ in 0..4 {
        case.rotate().await;
        case.run_workload().await;
        let replaced = case.previous.clone().unwrap();
        case.run_workload_as(&replaced).await;
        for privilege in harness.privileges() {
            for who in [&case.current, &replaced] {
                let may = case.may(who, privilege).await;
                assert!(may, "{:?} may not {privilege}", who.username);
            }
        }
    }
}

async fn changes_between_two_runs_are_equal_on_the_pair(harness: &dyn Harness) {
    let mut case = Case::new(harness, "drifting").await;
    case.rotate().await;
    // In both directions, each privilege is granted in one round and revoked in another.
    let is_granted = |number: usize, round: usize| (number + round) % 4 < 2;
    for round in 0..4 {
        let all = harness.privileges().iter().enumerate();
        for (number, privilege) in all.clone() {
            if is_granted(number, round) {
                case.grant(privilege).await;
            } else if round > 0 && is_granted(number, round - 1) {
                case.revoke(privilege).await;
            }
        }
        case.rotate().await;
        let replaced = case.previous.clone().unwrap();
        for (number, privilege) in all {
            for who in [&case.current, &replaced] {
                let may = case.may(who, privilege).await;
                let wanted = is_granted(number, round);
                assert_eq!(may, wanted, "{:?}: {privilege}", who.username);
            }
        }
    }
}

async fn a_grant_to_the_standby_is_shown_and_then_revoked(harness: &dyn Harness) {
    let mut case = Case::new(harness, "by_hand").await;
    case.rotate().await;
    case.rotate().await;
    for _ in 0..2 {
        if case.standby_has_own_privileges() {
            grant_by_hand(&case).await;
        }
        case.rotate().await;
        for privilege in harness.privileges() {
            let may = case.may(&case.current, privilege).await;
            assert!(!may, "{privilege} is still there");
        }
        case.run_workload().await;
    }
}

async fn grant_by_hand(case: &Case<'_>) {
    let (harness, namespace) = (case.harness, &case.namespace);
    let standby = case.pair.standby_user();
    // Objects that the active user created since the last run may already differ.
    let before = case.differences().await;
    for privilege in harness.privileges() {
        harness.grant(namespace, standby, privilege).await;
        let shown = case.differences().await;
        assert_ne!(shown, before, "{privilege} is not shown");
        harness.revoke(namespace, standby, privilege).await;
        assert_eq!(case.differences().await, before);
    }
    for privilege in harness.privileges() {
        harness.grant(namespace, standby, privilege).await;
    }
}

async fn the_same_changes_once_more_change_nothing(harness: &dyn Harness) {
    let mut case = Case::new(harness, "again").await;
    for round in 0..3 {
        let next = case.next();
        let inspection = case.inspect().await;
        let changes = all_changes(&inspection);
        let mut admin = case.admin().await;
        admin
            .apply(&rendered(&changes, &next.password))
            .await
            .unwrap();
        match admin.apply(&rendered(&changes, &next.password)).await {
            // "It exists already", where the engine's language lacks IF NOT EXISTS.
            Ok(()) | Err(EngineError::Refused { .. }) => {}
            Err(error) => panic!("round {round}: {error}"),
        }
        let again = admin
            .apply(&rendered(&inspection.set_password, &next.password))
            .await;
        again.expect("the same password once more");
        assert_eq!(case.differences().await, [""; 0], "round {round}");
        case.sign_in(&next).await.unwrap();
        case.rotate().await;
        case.run_workload().await;
    }
}
