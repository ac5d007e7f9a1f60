//! Names, the master's privileges, locks, sessions, and users that are never rotated.

use std::time::Duration;

use twinkey_core::code::Code;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{Admin, EngineError, InspectRequest, Session};

use crate::case::{Case, refusal, rendered};
use crate::harness::Harness;

/// Time limit of a wait.
pub const WAIT_LIMIT: Duration = Duration::from_secs(60);

pub async fn all(harness: &dyn Harness) {
    a_hostile_name_is_only_a_name(harness).await;
    an_impossible_name_is_refused(harness);
    missing_privileges_are_reported_with_their_grants(harness).await;
    only_one_connection_holds_the_lock_of_a_pair(harness).await;
    a_released_lock_is_free_at_once(harness).await;
    a_reset_connection_keeps_no_state(harness).await;
    sessions_of_the_standby_are_seen(harness).await;
    sessions_of_the_standby_only_are_ended(harness).await;
    an_administrator_and_the_master_are_refused(harness).await;
    a_retired_standby_signs_in_after_its_next_password(harness).await;
}

async fn a_retired_standby_signs_in_after_its_next_password(harness: &dyn Harness) {
    let mut case = Case::new(harness, "retired").await;
    case.rotate().await;
    for _ in 0..2 {
        let previous = case.previous.clone().unwrap();
        let mut admin = case.admin().await;
        let inspection = case.inspect().await;
        assert!(!inspection.retire.is_empty(), "it signs in");
        for _ in 0..2 {
            admin
                .apply(&rendered(&inspection.retire, &previous.password))
                .await
                .unwrap();
        }
        let refused = case.sign_in(&previous).await.unwrap_err();
        assert!(matches!(refused, EngineError::SignIn { .. }), "{refused}");
        case.sign_in(&case.current).await.unwrap();
        // As in a rollback.
        let again = case.inspect().await;
        assert_eq!(again.differences, inspection.differences);
        admin
            .apply(&rendered(&again.set_password, &previous.password))
            .await
            .unwrap();
        case.sign_in(&previous).await.unwrap();
        let inspection = case.inspect().await;
        admin
            .apply(&rendered(&inspection.retire, &previous.password))
            .await
            .unwrap();
        case.rotate().await;
        case.run_workload().await;
    }
}

async fn a_hostile_name_is_only_a_name(harness: &dyn Harness) {
    for name in harness.hostile_names() {
        let mut case = Case::new(harness, &name).await;
        let engine = harness.engine();
        engine.check_user_name(&case.pair.base).unwrap();
        engine.check_user_name(&case.pair.clone).unwrap();
        for privilege in harness.privileges() {
            case.grant(privilege).await;
        }
        for _ in 0..2 {
            case.rotate().await;
            case.run_workload().await;
            let session = harness.open_session(&case.namespace, &case.current).await;
            let mut admin = case.admin().await;
            let sessions = admin.sessions(case.pair.active_user()).await.unwrap();
            assert!(!sessions.unwrap().is_empty(), "{name:?}");
            drop(session);
        }
    }
}

fn an_impossible_name_is_refused(harness: &dyn Harness) {
    for name in harness.impossible_names() {
        let error = harness.engine().check_user_name(&name).unwrap_err();
        assert!(matches!(error, EngineError::UserName { .. }), "{error}");
    }
}

async fn missing_privileges_are_reported_with_their_grants(harness: &dyn Harness) {
    let mut case = Case::new(harness, "lacking").await;
    let expected = harness.revoke_from_master(&case.namespace, "lacking").await;
    let missing = case.inspect().await.missing;
    assert_eq!(missing.len(), expected, "{missing:#?}");
    for lack in missing {
        harness.apply_fix(&case.namespace, &lack.fix.unwrap()).await;
    }
    case.rotate().await;
    case.rotate().await;
}

async fn a_released_lock_is_free_at_once(harness: &dyn Harness) {
    let case = Case::new(harness, "freed").await;
    let mut next = case.admin().await;
    for _ in 0..20 {
        let mut one = std::mem::replace(&mut next, case.admin().await);
        assert!(one.lock(&case.pair).await.unwrap().is_taken());
        one.close().await;
        assert!(next.lock(&case.pair).await.unwrap().is_taken());
        next.close().await;
        next = case.admin().await;
    }
}

async fn a_reset_connection_keeps_no_state(harness: &dyn Harness) {
    let case = Case::new(harness, "handed").await;
    let (mut one, mut two) = (case.admin().await, case.admin().await);
    for _ in 0..3 {
        assert!(one.lock(&case.pair).await.unwrap().is_taken());
        assert_eq!(one.reset().await, harness.reuses_connections());
        if !harness.reuses_connections() {
            break;
        }
        assert!(
            two.lock(&case.pair).await.unwrap().is_taken(),
            "the lock is free"
        );
        assert!(
            !one.lock(&case.pair).await.unwrap().is_taken(),
            "and not still its own"
        );
        two.close().await;
        two = case.admin().await;
    }
    one.close().await;
    two.close().await;
}

async fn only_one_connection_holds_the_lock_of_a_pair(harness: &dyn Harness) {
    let case = Case::new(harness, "locked").await;
    let (mut one, mut two) = (case.admin().await, case.admin().await);
    assert!(one.lock(&case.pair).await.unwrap().is_taken());
    assert!(!two.lock(&case.pair).await.unwrap().is_taken());
    let mut flipped = case.pair.clone();
    flipped.active = flipped.active.other();
    assert!(
        !two.lock(&flipped).await.unwrap().is_taken(),
        "both directions of a pair share one lock"
    );
    let another = Pair::of("lockee", "_clone");
    assert!(
        two.lock(&another).await.unwrap().is_taken(),
        "another pair is free"
    );
    one.close().await;
    let freed = async {
        while !two.lock(&case.pair).await.unwrap().is_taken() {
            tokio::task::yield_now().await;
        }
    };
    let freed = tokio::time::timeout(WAIT_LIMIT, freed).await;
    freed.expect("the lock ends when its holder closes");
}

async fn sessions_of_the_standby_are_seen(harness: &dyn Harness) {
    let mut case = Case::new(harness, "seen").await;
    case.rotate().await;
    let mut admin = case.admin().await;
    let standby = case.previous.clone().unwrap();
    let session = harness.open_session(&case.namespace, &standby).await;
    let _active = harness.open_session(&case.namespace, &case.current).await;
    let seen = sessions_become(admin.as_mut(), &standby.username, 1).await;
    assert_eq!(seen[0].user, standby.username);
    drop(session);
    sessions_become(admin.as_mut(), &standby.username, 0).await;
}

async fn sessions_of_the_standby_only_are_ended(harness: &dyn Harness) {
    let mut case = Case::new(harness, "ended").await;
    case.rotate().await;
    let standby = case.previous.clone().unwrap();
    let mut admin = case.admin().await;
    let lacks = admin.cannot_end_sessions(&standby.username).await.unwrap();
    if !harness.ends_sessions() {
        assert_eq!(lacks[0].code, Some(Code::DbRefused), "{lacks:?}");
        return;
    }
    for lack in lacks {
        assert_eq!(lack.code, Some(Code::PrivilegesMissing), "{lack:?}");
        harness.apply_fix(&case.namespace, &lack.fix.unwrap()).await;
    }
    let mut admin = case.admin().await;
    let left = admin.cannot_end_sessions(&standby.username).await.unwrap();
    assert_eq!(left, []);
    assert!(admin.lock(&case.pair).await.unwrap().is_taken());
    // The sessions of a user that does not exist.
    assert_eq!(admin.end_sessions("no_such_user").await.unwrap(), 0);
    let _sessions = [
        harness.open_session(&case.namespace, &standby).await,
        harness.open_session(&case.namespace, &standby).await,
        harness.open_session(&case.namespace, &case.current).await,
    ];
    sessions_become(admin.as_mut(), &standby.username, 2).await;
    let ended = admin.end_sessions(&standby.username).await.unwrap();
    assert_eq!(ended, 2);
    sessions_become(admin.as_mut(), &standby.username, 0).await;
    sessions_become(admin.as_mut(), &case.current.username, 1).await;
    assert_eq!(admin.end_sessions(&standby.username).await.unwrap(), 0);
    admin.close().await;
}

/// Waits for the number of sessions: dropped connections end a little later.
async fn sessions_become(admin: &mut dyn Admin, user: &str, wanted: usize) -> Vec<Session> {
    let become_so = async {
        loop {
            let seen = admin.sessions(user).await.unwrap().unwrap();
            if seen.len() == wanted {
                return seen;
            }
        }
    };
    let seen = tokio::time::timeout(WAIT_LIMIT, become_so).await;
    seen.unwrap_or_else(|_| panic!("{user:?} never has {wanted} session(s)"))
}

async fn an_administrator_and_the_master_are_refused(harness: &dyn Harness) {
    let target = harness.target(harness.home());
    let mut names = harness.administrators().await;
    assert!(!names.is_empty());
    names.push(harness.master().username.clone());
    for name in names {
        let request = InspectRequest {
            pair: &Pair::of(&name, "_clone"),
            password: None,
            current: None,
            tls: target.tls.mode,
            thorough: true,
        };
        let admin = harness.engine().admin(&target, harness.master()).await;
        let inspection = admin.unwrap().inspect(&request).await.unwrap();
        assert!(refusal(&inspection).is_some(), "{name:?}: {inspection:#?}");
    }
}
