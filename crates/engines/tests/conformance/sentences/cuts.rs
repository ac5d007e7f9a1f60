//! Crashes of a run after each of its changes, and the next run, which completes it.
//!
//! Where an engine has transactions, a real crash leaves less than these tests do.

use twinkey_engines::{Change, Credentials, EngineError};

use crate::case::{Case, all_changes, rendered};
use crate::harness::Harness;

pub async fn all(harness: &dyn Harness) {
    a_new_standby_cannot_sign_in_after_any_cut(harness).await;
    the_old_password_signs_in_until_the_new_one_is_set(harness).await;
}

async fn a_new_standby_cannot_sign_in_after_any_cut(harness: &dyn Harness) {
    for cut in 0.. {
        let mut case = Case::new(harness, &format!("cut_{cut}")).await;
        grant_every_other(&case, 0).await;
        let Some(next) = cut_off(&case, cut).await else {
            assert!(cut > 2, "a new standby takes more than a password");
            break;
        };
        case.run_workload().await;
        case.rotate().await;
        case.run_workload().await;
        case.sign_in(&next).await.unwrap_err();
    }
}

async fn the_old_password_signs_in_until_the_new_one_is_set(harness: &dyn Harness) {
    let mut case = Case::new(harness, "recut").await;
    case.rotate().await;
    case.rotate().await;
    for cut in 0.. {
        // The base user is active, and the two users differ in both directions.
        grant_every_other(&case, cut).await;
        for privilege in harness.privileges() {
            let standby = case.pair.standby_user();
            harness.grant(&case.namespace, standby, privilege).await;
        }
        let Some(next) = cut_off(&case, cut).await else {
            assert!(cut > 2, "the users did not differ");
            break;
        };
        case.run_workload().await;
        case.rotate().await;
        case.run_workload().await;
        case.sign_in(&next).await.unwrap_err();
        case.rotate().await;
    }
}

/// Grants another half of the privileges each time, so that the users always differ.
async fn grant_every_other(case: &Case<'_>, time: usize) {
    for (number, privilege) in case.harness.privileges().iter().enumerate() {
        if (number + time).is_multiple_of(2) {
            case.grant(privilege).await;
        } else if time > 0 {
            case.revoke(privilege).await;
        }
    }
}

/// Executes the first `cut` changes, and checks the sign-ins. Returns the pending credentials;
/// `None` if there are fewer changes.
async fn cut_off(case: &Case<'_>, cut: usize) -> Option<Credentials> {
    let next = case.next();
    let inspection = case.inspect().await;
    let changes = all_changes(&inspection);
    let done = changes.get(..cut)?;
    let mut admin = case.admin().await;
    admin.apply(&rendered(done, &next.password)).await.unwrap();
    drop(admin);
    let shown: Vec<String> = done
        .iter()
        .map(|c: &Change| c.statement.to_string())
        .collect();
    case.sign_in(&case.current)
        .await
        .expect("the active user is as before");
    let signed_in = case.sign_in(&next).await;
    if cut <= inspection.differences.len() {
        let refused = signed_in.expect_err("a half-made standby signs in");
        let is_refusal = matches!(refused, EngineError::SignIn { .. });
        assert!(is_refusal, "after {shown:#?}: {refused}");
        if let Some(previous) = &case.previous {
            let still = case.sign_in(previous).await;
            assert!(still.is_ok(), "AWSPREVIOUS after {shown:#?}: {still:?}");
        }
    } else if cut == changes.len() {
        signed_in.expect("all changes are made");
    }
    if cut >= inspection.differences.len() {
        assert_eq!(case.differences().await, [""; 0], "after {shown:#?}");
    }
    Some(next)
}
