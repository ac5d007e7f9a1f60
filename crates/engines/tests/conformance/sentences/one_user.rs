//! The one user of `strategy = "single"`, whose password changes.

use twinkey_core::secret::pair::Pair;
use twinkey_engines::{Admin, Credentials, EngineError, PasswordChange, Severity, UserInspection};
use twinkey_engines::{UserRequest, render_changes};

use crate::case::{Case, rendered};
use crate::harness::Harness;
use crate::passwords::new_password;

pub async fn all(harness: &dyn Harness) {
    a_change_keeps_all_but_the_password(harness).await;
    awscurrent_is_restored_before_a_change(harness).await;
}

/// A user that changes its own password, which not every engine offers.
pub async fn a_user_changes_its_own_password(harness: &dyn Harness) {
    let mut case = Case::new(harness, "one_user_itself").await;
    for _ in 0..2 {
        let engine = harness.engine();
        let admin = engine.admin(&case.target(), &case.current).await.unwrap();
        change(&mut case, admin).await;
        case.run_workload().await;
    }
}

async fn a_change_keeps_all_but_the_password(harness: &dyn Harness) {
    let mut case = Case::new(harness, "one_user").await;
    for privilege in harness.privileges() {
        case.grant(privilege).await;
    }
    for _ in 0..3 {
        let admin = case.admin().await;
        change(&mut case, admin).await;
        case.run_workload().await;
        for privilege in harness.privileges() {
            assert!(case.may(&case.current, privilege).await, "{privilege}");
        }
    }
}

/// The steps of a run, with the flip.
async fn change(case: &mut Case<'_>, mut admin: Box<dyn Admin>) {
    let user = case.current.username.clone();
    let lock = admin.lock(&Pair::of_one(&user)).await.unwrap();
    assert!(lock.is_taken());
    let next = another(&case.current);
    let before = inspect(admin.as_mut(), &case.current, &next).await;
    assert_ne!(before.holds_password, Some(true), "not before it is set");
    let changes = rendered(&before.set_password, &next.password);
    admin.apply(&changes).await.unwrap();
    let after = inspect(admin.as_mut(), &case.current, &next).await;
    assert_ne!(after.holds_password, Some(false), "an account was left out");
    case.sign_in(&next).await.unwrap();
    let replaced = case.sign_in(&case.current).await;
    match before.change {
        PasswordChange::Retains => drop(replaced.unwrap()),
        PasswordChange::Replaces => {
            let refused = replaced.unwrap_err();
            assert!(matches!(refused, EngineError::SignIn { .. }), "{refused}");
        }
        PasswordChange::RetainsOther => panic!("AWSCURRENT is the primary password"),
    }
    admin.close().await;
    case.current = next;
}

async fn awscurrent_is_restored_before_a_change(harness: &dyn Harness) {
    let case = Case::new(harness, "one_user_restored").await;
    let current = &case.current;
    let [lost, next] = [(); 2].map(|()| another(current));
    let mut admin = case.admin().await;
    let before = inspect(admin.as_mut(), current, &lost).await;
    if before.change == PasswordChange::Replaces {
        return;
    }
    // A run set its password, and its version was lost.
    let changes = rendered(&before.set_password, &lost.password);
    admin.apply(&changes).await.unwrap();
    let found = inspect(admin.as_mut(), current, &next).await;
    assert_eq!(found.change, PasswordChange::RetainsOther);
    let restored = render_changes(&found.restore_current, &current.password).unwrap();
    admin.apply(&restored).await.unwrap();
    case.sign_in(current).await.unwrap();
    case.sign_in(&lost).await.unwrap();
    let found = inspect(admin.as_mut(), current, &next).await;
    assert_eq!(found.change, PasswordChange::Retains);
    let changes = rendered(&found.set_password, &next.password);
    admin.apply(&changes).await.unwrap();
    case.sign_in(current).await.unwrap();
    case.sign_in(&next).await.unwrap();
    case.sign_in(&lost).await.unwrap_err();
    // After the flip and `retire_after`.
    let flipped = inspect(admin.as_mut(), &next, &next).await;
    let discarded = rendered(&flipped.discard, &next.password);
    assert!(!discarded.is_empty());
    admin.apply(&discarded).await.unwrap();
    case.sign_in(&next).await.unwrap();
    case.sign_in(current).await.unwrap_err();
}

fn another(than: &Credentials) -> Credentials {
    Credentials {
        username: than.username.clone(),
        password: new_password(),
    }
}

async fn inspect(
    admin: &mut dyn Admin,
    current: &Credentials,
    pending: &Credentials,
) -> UserInspection {
    let request = UserRequest {
        user: &current.username,
        current: &current.password,
        pending: Some(&pending.password),
    };
    let inspection = admin.inspect_user(&request).await.unwrap();
    let is_error = |finding: &twinkey_engines::Finding| finding.severity == Severity::Error;
    assert!(!inspection.findings.iter().any(is_error), "{inspection:?}");
    assert_eq!(inspection.missing, []);
    inspection
}
