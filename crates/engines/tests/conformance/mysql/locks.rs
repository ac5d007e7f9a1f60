//! The pair's lock, while applications and administrators hold its names.

use sqlx::mysql::MySqlConnection;
use twinkey_engines::{Admin, Credentials, EngineError, LockHolder, PairLock};
use twinkey_testkit::mysql::Flavor;

use super::{MASTER, Server, account, run};
use crate::case::{Case, all_changes, rendered};
use crate::contention::runs_beside_an_application;
use crate::harness::Harness;
use crate::passwords::new_password;
use crate::sentences::guards::WAIT_LIMIT;

/// More than the names of a lock.
const ALL: u32 = 20;

pub async fn all(server: &Server) {
    an_application_with_the_lock_prevents_no_run(server).await;
    an_application_with_all_names_is_named_or_ended(server).await;
    sessions_are_ended_by_the_procedure_of_rds(server).await;
    an_administrator_with_the_lock_may_be_a_run(server).await;
    a_holder_that_the_master_does_not_see_may_be_a_run(server).await;
    a_first_name_taken_during_a_run_stops_its_change(server).await;
    two_runs_never_hold_one_lock(server).await;
}

/// The first name of a lock, which version 0.1 uses too, or a further one.
fn name(base: &str, number: u32) -> String {
    let suffix = if number == 1 {
        String::new()
    } else {
        format!("#{number}")
    };
    format!("CONCAT('twinkey/pair/', LEFT(SHA2('{base}', 256), 32), '{suffix}')")
}

async fn take(connection: &mut MySqlConnection, base: &str, number: u32) {
    let name = name(base, number);
    run(connection, &format!("SELECT GET_LOCK({name}, 60)")).await;
}

async fn free(connection: &mut MySqlConnection, base: &str) {
    let name = name(base, 1);
    run(connection, &format!("SELECT RELEASE_LOCK({name})")).await;
}

fn holder(lock: PairLock) -> LockHolder {
    match lock {
        PairLock::Held(holder) => holder,
        PairLock::Taken => panic!("the lock was free"),
    }
}

async fn make_user(server: &Server, name: &str, namespace: &str) -> Credentials {
    let user = Credentials {
        username: name.into(),
        password: new_password(),
    };
    server.make_user(&user).await;
    let user_account = account(name);
    server
        .sql(&format!("GRANT SELECT ON {namespace}.* TO {user_account}"))
        .await;
    user
}

async fn an_application_with_the_lock_prevents_no_run(server: &Server) {
    let mut case = Case::new(server, "bystander").await;
    for _ in 0..2 {
        let mut app = server.connect_as(&case.namespace, &case.current).await;
        take(&mut app, "bystander", 1).await;

        let (mut one, mut two) = (case.admin().await, case.admin().await);
        let holders = one.lock_holders(&case.pair).await.unwrap();
        assert_eq!(holders.len(), 1, "{holders:?}");
        assert_eq!(holders[0].user.as_ref(), Some(&case.current.username));
        assert!(holders[0].client.is_some() && holders[0].since.is_some());
        assert!(!holders[0].may_be_run);

        assert_eq!(one.lock(&case.pair).await.unwrap(), PairLock::Taken);
        let run_of_one = holder(two.lock(&case.pair).await.unwrap());
        assert_eq!(run_of_one.user.as_deref(), Some(MASTER));
        assert!(run_of_one.may_be_run);
        free(&mut app, "bystander").await;
        let still = holder(two.lock(&case.pair).await.unwrap());
        assert_eq!(still.id, run_of_one.id, "a name is free, the lock is not");
        take(&mut app, "bystander", 1).await;
        one.close().await;
        two.close().await;

        case.rotate().await;
        case.run_workload().await;
        server.sql(&holders[0].end).await;
        let mut three = case.admin().await;
        become_free(three.as_mut(), &case).await;
    }
}

async fn become_free(admin: &mut dyn Admin, case: &Case<'_>) {
    let freed = async {
        while !admin.lock_holders(&case.pair).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let freed = tokio::time::timeout(WAIT_LIMIT, freed).await;
    freed.expect("the session of the holder ends");
}

async fn an_application_with_all_names_is_named_or_ended(server: &Server) {
    let mut case = Case::new(server, "obstinate").await;
    let mut app = server.connect_as(&case.namespace, &case.current).await;
    for number in 1..=ALL {
        take(&mut app, "obstinate", number).await;
    }
    let right = match server.flavor {
        Flavor::Mariadb => "CONNECTION ADMIN",
        Flavor::Mysql => "CONNECTION_ADMIN",
    };
    let master = account(MASTER);
    server
        .sql(&format!("REVOKE {right} ON *.* FROM {master}"))
        .await;
    let mut admin = case.admin().await;
    let found = holder(admin.lock(&case.pair).await.unwrap());
    assert_eq!(found.user.as_deref(), Some("obstinate"));
    assert!(!found.may_be_run);
    server
        .sql(&format!("GRANT {right} ON *.* TO {master}"))
        .await;
    case.rotate().await;
    server
        .sql(&format!("REVOKE {right} ON *.* FROM {master}"))
        .await;
}

async fn sessions_are_ended_by_the_procedure_of_rds(server: &Server) {
    let case = Case::new(server, "Rds").await;
    let lower = make_user(server, "rds", &case.namespace).await;
    let master = account(MASTER);
    server
        .sql(&format!(
            "CREATE PROCEDURE mysql.rds_kill (thread BIGINT) KILL thread; \
             GRANT EXECUTE ON PROCEDURE mysql.rds_kill TO {master}"
        ))
        .await;
    let mut admin = case.admin().await;
    assert_eq!(admin.cannot_end_sessions("Rds").await.unwrap(), []);
    let _one = server.connect_as(&case.namespace, &case.current).await;
    let _two = server.connect_as(&case.namespace, &lower).await;
    let ended = admin.end_sessions("Rds").await.unwrap();
    assert_eq!(ended, 1, "the process list compares without case");
    let left = admin.sessions("rds").await.unwrap().unwrap();
    assert_eq!(left.len(), 1);
    server.sql("DROP PROCEDURE mysql.rds_kill").await;
}

async fn an_administrator_with_the_lock_may_be_a_run(server: &Server) {
    let case = Case::new(server, "administered").await;
    let other = make_user(server, "other_master", &case.namespace).await;
    let mut session = server.connect_as(&case.namespace, &other).await;
    take(&mut session, "administered", 1).await;
    let mut admin = case.admin().await;
    assert!(admin.lock(&case.pair).await.unwrap().is_taken());
    assert!(admin.reset().await);
    // The right comes from a role.
    server
        .sql(
            "CREATE ROLE keepers, more_keepers; GRANT CREATE USER ON *.* TO keepers; \
             GRANT keepers TO more_keepers; GRANT more_keepers TO 'other_master'@'%'",
        )
        .await;
    let found = holder(admin.lock(&case.pair).await.unwrap());
    assert_eq!(found.user.as_deref(), Some("other_master"));
    assert!(found.may_be_run);
}

async fn a_holder_that_the_master_does_not_see_may_be_a_run(server: &Server) {
    let case = Case::new(server, "unwatched").await;
    let mut app = server.connect_as(&case.namespace, &case.current).await;
    take(&mut app, "unwatched", 1).await;
    let master = account(MASTER);
    server
        .sql(&format!("REVOKE PROCESS ON *.* FROM {master}"))
        .await;
    let mut blind = case.admin().await;
    let found = holder(blind.lock(&case.pair).await.unwrap());
    assert_eq!((found.user, found.may_be_run), (None, true));
    let (fix, _) = found.end.split_once(", so that").unwrap();
    server.sql(fix).await;
    let mut seeing = case.admin().await;
    assert!(seeing.lock(&case.pair).await.unwrap().is_taken());
}

async fn a_first_name_taken_during_a_run_stops_its_change(server: &Server) {
    let case = Case::new(server, "overtaken").await;
    let mut app = server.connect_as(&case.namespace, &case.current).await;
    take(&mut app, "overtaken", 1).await;
    let mut admin = case.admin().await;
    assert!(admin.lock(&case.pair).await.unwrap().is_taken());
    free(&mut app, "overtaken").await;
    // As version 0.1 does.
    let mut old = server.connect_as(&case.namespace, server.master()).await;
    take(&mut old, "overtaken", 1).await;
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
        take(&mut app, "contended", 1).await;
        run(&mut app, "DO SLEEP(0.001)").await;
        free(&mut app, "contended").await;
    })
    .await;
}
