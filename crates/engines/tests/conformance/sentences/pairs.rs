//! The two users are equal, whoever is active, and whatever somebody does between two runs.

use twinkey_engines::EngineError;

use crate::case::{Case, all_changes, ready};
use crate::harness::Harness;

pub async fn all(harness: &dyn Harness) {
    the_standby_can_do_all_that_the_active_user_can_whoever_is_active(harness).await;
    a_privilege_granted_or_taken_between_two_runs_is_equal_on_the_pair(harness).await;
    what_somebody_gave_to_the_standby_by_hand_is_shown_and_then_gone(harness).await;
    the_same_changes_once_more_change_nothing(harness).await;
}

async fn the_standby_can_do_all_that_the_active_user_can_whoever_is_active(harness: &dyn Harness) {
    let mut case = Case::new(harness, "app").await;
    for privilege in harness.privileges() {
        assert!(!case.may(&case.current, privilege).await, "{privilege}");
        case.grant(privilege).await;
    }
    for _ in 0..4 {
        case.rotate().await;
        case.work().await;
        let replaced = case.previous.clone().unwrap();
        case.work_as(&replaced).await;
        for privilege in harness.privileges() {
            for who in [&case.current, &replaced] {
                let may = case.may(who, privilege).await;
                assert!(may, "{:?} may not {privilege}", who.username);
            }
        }
    }
}

async fn a_privilege_granted_or_taken_between_two_runs_is_equal_on_the_pair(harness: &dyn Harness) {
    let mut case = Case::new(harness, "drifting").await;
    case.rotate().await;
    // Whoever is active, each privilege is granted at one time and taken at another.
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

async fn what_somebody_gave_to_the_standby_by_hand_is_shown_and_then_gone(harness: &dyn Harness) {
    let mut case = Case::new(harness, "by_hand").await;
    case.rotate().await;
    case.rotate().await;
    for _ in 0..2 {
        if case.standby_is_its_own() {
            grant_by_hand(&case).await;
        }
        case.rotate().await;
        for privilege in harness.privileges() {
            let may = case.may(&case.current, privilege).await;
            assert!(!may, "{privilege} is still there");
        }
        case.work().await;
    }
}

async fn grant_by_hand(case: &Case<'_>) {
    let (harness, place) = (case.harness, &case.place);
    let standby = case.pair.standby_user();
    // What the active user made since the last run may differ already.
    let before = case.differences().await;
    for privilege in harness.privileges() {
        harness.grant(place, standby, privilege).await;
        let shown = case.differences().await;
        assert_ne!(shown, before, "{privilege} is not shown");
        harness.revoke(place, standby, privilege).await;
        assert_eq!(case.differences().await, before);
    }
    for privilege in harness.privileges() {
        harness.grant(place, standby, privilege).await;
    }
}

async fn the_same_changes_once_more_change_nothing(harness: &dyn Harness) {
    let mut case = Case::new(harness, "again").await;
    for round in 0..3 {
        let next = case.next();
        let inspection = case.inspect().await;
        let changes = all_changes(&inspection);
        let mut admin = case.admin().await;
        admin.apply(&ready(&changes, &next.password)).await.unwrap();
        match admin.apply(&ready(&changes, &next.password)).await {
            // "It is there already", where the engine's language has no "unless it is there".
            Ok(()) | Err(EngineError::Refused { .. }) => {}
            Err(error) => panic!("round {round}: {error}"),
        }
        let again = admin
            .apply(&ready(&inspection.set_password, &next.password))
            .await;
        again.expect("the same password once more");
        assert_eq!(case.differences().await, [""; 0], "round {round}");
        case.sign_in(&next).await.unwrap();
        case.rotate().await;
        case.work().await;
    }
}
