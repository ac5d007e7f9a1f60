//! Conformance that only Redshift needs: password forms, admin logins, the lease, and the API.

use std::time::Duration;

use twinkey_core::code::Diagnostic as _;
use twinkey_core::secret::ExposeSecret;
use twinkey_engines::redshift::Redshift;
use twinkey_engines::{Credentials, Engine, EngineError, Inspection, RedshiftOptions, Target};

use super::copies::{self, rows};
use super::{Deployment, MASTER, OTHER, Server, context, digest};
use crate::case::{Case, all_changes, refusal, rendered};
use crate::harness::Harness;
use crate::passwords::leaked;
use twinkey_testkit::aws::redshift::{HOME, IDENTITY, WORKGROUP};

pub async fn all(server: &Server) {
    copies::all(server).await;
    a_password_keeps_its_form(server).await;
    an_admin_can_be_a_database_user_or_the_iam_identity(server).await;
    an_admin_without_access_to_all_rows_is_reported(server).await;
    a_holder_that_lost_its_lease_changes_nothing(server).await;
    an_error_of_a_statement_contains_no_digest(server).await;
    a_throttling_api_only_delays(server).await;
    no_probe_secret_remains_and_no_text_contains_a_password(server).await;
}

async fn a_password_keeps_its_form(server: &Server) {
    let mut case = Case::new(server, "digested").await;
    let stored = "SELECT split_part(passwd, '|', 1) FROM pg_shadow WHERE usename = 'digested_clone' AND passwd LIKE 'sha256%'";
    case.rotate().await;
    assert_eq!(
        rows(server, HOME, stored).await,
        [""; 0],
        "the active user's is md5"
    );
    case.rotate().await;
    let digest = twinkey_core::secret::verifier::redshift_sha256(&case.current.password).unwrap();
    let alter = format!("ALTER USER digested PASSWORD '{}'", digest.expose_secret());
    server.dba(HOME, &[&alter]).await;
    case.rotate().await;
    assert_eq!(rows(server, HOME, stored).await, ["(sha256)"]);
}

/// Runs one rotation with another engine than the fixture's.
async fn rotate_with(engine: &Redshift, case: &Case<'_>, server: &Server) -> Credentials {
    let next = case.next();
    let mut admin = engine.admin(&case.target(), &server.master).await.unwrap();
    assert!(admin.lock(&case.pair).await.unwrap().is_taken());
    let before = case.inspect_by(admin.as_mut(), None).await;
    assert_eq!((refusal(&before), &before.missing), (None, &Vec::new()));
    let changes = all_changes(&before);
    admin
        .apply(&rendered(&changes, &next.password))
        .await
        .unwrap();
    admin.close().await;
    next
}

async fn an_admin_can_be_a_database_user_or_the_iam_identity(server: &Server) {
    let create = format!("ALTER USER \"{IDENTITY}\" CREATEUSER PASSWORD 'Some0Password'");
    // The database user of the identity is created at its first sign-in.
    let client = aws_sdk_redshiftdata::Client::new(&twinkey_testkit::aws::sdk_config(
        &server.stand_in.url(),
    ));
    let first = client
        .execute_statement()
        .workgroup_name(WORKGROUP)
        .database(HOME);
    first
        .sql("SELECT 1")
        .wait_time_seconds(30)
        .send()
        .await
        .unwrap();
    server.dba(HOME, &[&create]).await;
    let db_user = RedshiftOptions {
        db_user: Some(MASTER.into()),
        ..RedshiftOptions::default()
    };
    let itself = RedshiftOptions::default();
    for (name, options, who) in [
        ("by_user", db_user, MASTER),
        ("by_identity", itself, IDENTITY),
    ] {
        if server.deployment == Deployment::Serverless && options.db_user.is_some() {
            continue;
        }
        let mut around = context(&server.stand_in, server.deployment);
        around.master_secret = None;
        let engine = Redshift::new(options, &around);
        let case = Case::new(server, name).await;
        let count = server.stand_in.redshift().history().len();
        let next = rotate_with(&engine, &case, server).await;
        case.sign_in(&next).await.unwrap();
        let history = server.stand_in.redshift().history();
        let made = history[count..]
            .iter()
            .find(|seen| seen.sql.starts_with("CREATE USER"));
        assert_eq!(made.unwrap().user.as_deref(), Some(who));
    }
}

async fn an_admin_without_access_to_all_rows_is_reported(server: &Server) {
    let case = Case::new(server, "unseen").await;
    let lacks = |inspection: &Inspection, part: &str| {
        let mut missing = inspection.missing.iter();
        missing.any(|finding| finding.what.contains(part))
    };
    let (relations, others) = ("svv_relation_privileges", "ACCESS SYSTEM TABLE");
    let become_weak = [
        format!("ALTER USER {MASTER} NOCREATEUSER"),
        format!("GRANT ROLE \"sys:secadmin\" TO {MASTER}"),
    ];
    server
        .dba(HOME, &become_weak.each_ref().map(String::as_str))
        .await;
    let seen = case.inspect().await;
    assert!(
        lacks(&seen, relations) && lacks(&seen, others),
        "{:#?}",
        seen.missing
    );
    let unrestricted = format!("ALTER USER {MASTER} SYSLOG ACCESS UNRESTRICTED");
    server.dba(HOME, &[&unrestricted]).await;
    let seen = case.inspect().await;
    assert!(
        !lacks(&seen, relations) && lacks(&seen, others),
        "{:#?}",
        seen.missing
    );
    server
        .dba(HOME, &[&format!("GRANT ROLE \"sys:monitor\" TO {MASTER}")])
        .await;
    let seen = case.inspect().await;
    assert!(
        !lacks(&seen, relations) && !lacks(&seen, others),
        "{:#?}",
        seen.missing
    );
    assert!(
        lacks(&seen, "set default privileges"),
        "{:#?}",
        seen.missing
    );
    the_table_of_locks_is_created_by_the_hint(server, &case).await;
    let back = [
        format!("ALTER USER {MASTER} CREATEUSER SYSLOG ACCESS RESTRICTED"),
        format!("REVOKE ROLE \"sys:secadmin\" FROM {MASTER}"),
        format!("REVOKE ROLE \"sys:monitor\" FROM {MASTER}"),
    ];
    server.dba(HOME, &back.each_ref().map(String::as_str)).await;
}

/// In a database without the table, for an admin that is no superuser.
async fn the_table_of_locks_is_created_by_the_hint(server: &Server, case: &Case<'_>) {
    let target = Target {
        dbname: Some(OTHER.into()),
        ..case.target()
    };
    let grant = format!("GRANT CREATE ON DATABASE \"{OTHER}\" TO \"{MASTER}\"");
    for lacks in [true, false] {
        let engine = server.engine();
        let mut admin = engine.admin(&target, &server.master).await.unwrap();
        assert!(admin.lock(&case.pair).await.unwrap().is_taken());
        let seen = case.inspect_by(admin.as_mut(), None).await;
        let mut missing = seen.missing.iter();
        let found = missing.any(|finding| finding.fix.as_deref() == Some(&*grant));
        assert_eq!(found, lacks, "{:#?}", seen.missing);
        if lacks {
            let changes = all_changes(&seen);
            let next = case.next();
            let refused = admin.apply(&rendered(&changes, &next.password)).await;
            refused.expect_err("it has no lease");
            server.dba(OTHER, &[&grant]).await;
        }
        admin.close().await;
    }
    let revoke = grant.replace("GRANT", "REVOKE").replace(" TO ", " FROM ");
    server.dba(OTHER, &[&revoke]).await;
}

async fn a_holder_that_lost_its_lease_changes_nothing(server: &Server) {
    let case = Case::new(server, "leased").await;
    let (mut one, mut two) = (case.admin().await, case.admin().await);
    assert!(one.lock(&case.pair).await.unwrap().is_taken());
    let changes = all_changes(&case.inspect_by(one.as_mut(), None).await);
    server
        .dba(
            HOME,
            &["UPDATE twinkey.locks SET expires = getdate() - interval '1 hour'"],
        )
        .await;
    assert!(
        two.lock(&case.pair).await.unwrap().is_taken(),
        "an expired lease is free"
    );
    let next = case.next();
    let late = one
        .apply(&rendered(&changes, &next.password))
        .await
        .unwrap_err();
    assert!(matches!(late, EngineError::Busy { .. }), "{late}");
    assert!(!case.inspect_by(two.as_mut(), None).await.standby_exists);
    let holders = one.lock_holders(&case.pair).await.unwrap();
    assert_eq!(holders.len(), 1, "{holders:?}");
    one.close().await;
    let mut three = case.admin().await;
    assert!(
        !three.lock(&case.pair).await.unwrap().is_taken(),
        "closing releases no other holder's lease"
    );
    two.close().await;
    assert!(three.lock(&case.pair).await.unwrap().is_taken());
    three.close().await;
    // What no run writes.
    for expires in ["NULL", "getdate() + interval '1 hour'"] {
        let forged = format!("INSERT INTO twinkey.locks VALUES ('leased', 'another', {expires})");
        server.dba(HOME, &[&forged]).await;
        let mut admin = case.admin().await;
        assert_eq!(admin.lock_holders(&case.pair).await.unwrap(), []);
        assert!(admin.lock(&case.pair).await.unwrap().is_taken());
        admin.close().await;
    }
}

async fn an_error_of_a_statement_contains_no_digest(server: &Server) {
    let case = Case::new(server, "explained").await;
    let next = case.next();
    let changes = all_changes(&case.inspect().await);
    server
        .stand_in
        .redshift()
        .fail(" PASSWORD 'md5", 1, "permission denied by the test");
    let mut admin = case.admin().await;
    let error = admin
        .apply(&rendered(&changes, &next.password))
        .await
        .unwrap_err();
    let shown = format!("{error} {}", error.hint());
    assert!(shown.contains("by the test"), "{shown}");
    let digest = digest(&next);
    assert!(!shown.contains(&digest[3..11]), "{shown}");
    admin.close().await;
}

async fn a_throttling_api_only_delays(server: &Server) {
    let mut case = Case::new(server, "delayed").await;
    let faults = server.stand_in.faults();
    let a_while = Duration::from_secs(2);
    for (action, name) in [
        ("BatchExecuteStatement", "ActiveStatementsExceededException"),
        ("DescribeStatement", "ThrottlingException"),
        ("GetStatementResult", "ThrottlingException"),
        ("CreateSecret", "ThrottlingException"),
        ("DeleteSecret", "ThrottlingException"),
    ] {
        faults.answer_for(action, a_while, 400, name);
        case.rotate().await;
    }
    faults.answer("DescribeStatement", 2, 500, "InternalServerException");
    case.rotate().await;
    case.run_workload().await;
}

async fn no_probe_secret_remains_and_no_text_contains_a_password(server: &Server) {
    let names = server.stand_in.store().names().await.unwrap();
    assert_eq!(names, ["master"], "probe secrets are gone");
    let history = server.stand_in.redshift().history();
    let texts: String = history
        .iter()
        .map(|seen| format!("{}\n", seen.sql))
        .collect();
    assert_eq!(leaked(texts.as_bytes()), None);
    let clear = history.iter().find(|seen| {
        let sql = seen.sql.to_ascii_uppercase();
        sql.contains(" PASSWORD ")
            && !sql.contains(" PASSWORD DISABLE")
            && !sql.contains(" PASSWORD 'MD5")
            && !sql.contains(" PASSWORD 'SHA256|")
    });
    assert!(clear.is_none(), "{clear:?}");
    let log = std::fs::read(server.stand_in.redshift().server().log_path()).unwrap();
    assert_eq!(leaked(&log), None, "the database behind it");
    let elsewhere = history.iter().any(|seen| seen.database == OTHER);
    assert!(elsewhere, "every local database was inspected");
}
