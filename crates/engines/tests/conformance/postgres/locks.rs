//! The pair's lock, while applications and administrators hold its first key.

use sqlx::postgres::PgConnection;
use twinkey_engines::{EngineError, LockHolder, PairLock};

use super::{Server, quoted, run};
use crate::case::{Case, all_changes, rendered};
use crate::contention::runs_beside_an_application;
use crate::harness::Harness;
use crate::passwords::new_password;

pub async fn all(server: &Server) {
    an_application_with_the_lock_prevents_no_run(server).await;
    an_administrator_with_the_lock_may_be_a_run(server).await;
    a_first_key_taken_during_a_run_stops_its_change(server).await;
    two_runs_never_hold_one_lock(server).await;
}

/// The first key of a pair, which version 0.1 uses too.
fn first_key(base: &str) -> String {
    let base = base.replace('\'', "''");
    format!("('x' || left(encode(sha256('twinkey/pair/{base}'), 'hex'), 16))::bit(64)::bigint")
}

async fn take(connection: &mut PgConnection, base: &str) {
    run(
        connection,
        &format!("SELECT pg_advisory_lock({})", first_key(base)),
    )
    .await;
}

async fn free(connection: &mut PgConnection, base: &str) {
    run(
        connection,
        &format!("SELECT pg_advisory_unlock({})", first_key(base)),
    )
    .await;
}

fn holder(lock: PairLock) -> LockHolder {
    match lock {
        PairLock::Held(holder) => holder,
        PairLock::Taken => panic!("the lock was free"),
    }
}

async fn an_application_with_the_lock_prevents_no_run(server: &Server) {
    let mut case = Case::new(server, "by\"stander").await;
    for _ in 0..2 {
        let mut app = server.connect_as(&case.namespace, &case.current).await;
        run(&mut app, "SET application_name = 'the shop'").await;
        take(&mut app, &case.pair.base).await;

        let (mut one, mut two) = (case.admin().await, case.admin().await);
        let holders = one.lock_holders(&case.pair).await.unwrap();
        assert_eq!(holders.len(), 1, "{holders:?}");
        assert_eq!(holders[0].user.as_ref(), Some(&case.current.username));
        assert_eq!(holders[0].application.as_deref(), Some("the shop"));
        assert!(!holders[0].may_be_run);

        assert_eq!(one.lock(&case.pair).await.unwrap(), PairLock::Taken);
        let run_of_one = holder(two.lock(&case.pair).await.unwrap());
        assert_eq!(run_of_one.user.as_deref(), Some(super::MASTER));
        assert!(run_of_one.may_be_run && run_of_one.since.is_some());
        free(&mut app, &case.pair.base).await;
        let still = holder(two.lock(&case.pair).await.unwrap());
        assert_eq!(still, run_of_one, "the first key is free, the lock is not");
        take(&mut app, &case.pair.base).await;
        one.close().await;
        two.close().await;

        case.rotate().await;
        case.run_workload().await;
        let end = &holders[0].end;
        server.sql(&case.namespace, end).await;
        let mut three = case.admin().await;
        let freed = async {
            while !three.lock_holders(&case.pair).await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let freed = tokio::time::timeout(crate::sentences::guards::WAIT_LIMIT, freed).await;
        freed.expect("the statement of the holder ends it");
    }
}

async fn an_administrator_with_the_lock_may_be_a_run(server: &Server) {
    let case = Case::new(server, "administered").await;
    let other = twinkey_engines::Credentials {
        username: "other_master".into(),
        password: new_password(),
    };
    server.make_user(&other, "LOGIN CREATEROLE").await;
    let mut session = server.connect_as(&case.namespace, &other).await;
    take(&mut session, "administered").await;
    let mut admin = case.admin().await;
    let found = holder(admin.lock(&case.pair).await.unwrap());
    assert_eq!(found.user.as_deref(), Some("other_master"));
    assert!(found.may_be_run);
    // Without the right it could not change the pair.
    let name = quoted(&other.username);
    server
        .sql("postgres", &format!("ALTER ROLE {name} NOCREATEROLE"))
        .await;
    assert!(admin.lock(&case.pair).await.unwrap().is_taken());
}

async fn a_first_key_taken_during_a_run_stops_its_change(server: &Server) {
    let case = Case::new(server, "overtaken").await;
    let mut app = server.connect_as(&case.namespace, &case.current).await;
    take(&mut app, "overtaken").await;
    let mut admin = case.admin().await;
    assert!(admin.lock(&case.pair).await.unwrap().is_taken());
    free(&mut app, "overtaken").await;
    // As version 0.1 does.
    let mut old = server.connect_as(&case.namespace, server.master()).await;
    take(&mut old, "overtaken").await;
    let changes = all_changes(&case.inspect().await);
    let next = case.next();
    let error = admin
        .apply(&rendered(&changes, &next.password))
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Busy { .. }), "{error}");
    assert!(!case.inspect().await.standby_exists);
}

async fn two_runs_never_hold_one_lock(server: &Server) {
    let case = Case::new(server, "contended").await;
    let mut app = server.connect_as(&case.namespace, &case.current).await;
    runs_beside_an_application(&case, async || {
        take(&mut app, "contended").await;
        run(&mut app, "SELECT pg_sleep(0.001)").await;
        free(&mut app, "contended").await;
    })
    .await;
}
