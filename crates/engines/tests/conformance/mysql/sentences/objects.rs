//! Grants on objects: missing ones, views, packages.

use twinkey_core::code::Code;
use twinkey_engines::Severity;

use super::super::{Server, account, run};
use super::described;
use crate::case::Case;

pub async fn a_grant_on_a_dropped_table_does_not_stop_a_run(server: &Server) {
    let mut case = Case::new(server, "gone").await;
    let (namespace, base) = (case.namespace.clone(), account("gone"));
    server
        .sql(&format!(
            "CREATE TABLE {namespace}.gone (a int); CREATE TABLE {namespace}.kept (a int, b int); \
             GRANT SELECT ON {namespace}.gone TO {base}; \
             GRANT SELECT (a, b) ON {namespace}.kept TO {base}; \
             DROP TABLE {namespace}.gone; ALTER TABLE {namespace}.kept DROP COLUMN b"
        ))
        .await;
    let findings = case.rotate().await.findings;
    let reported = findings
        .iter()
        .filter(|f| f.what.contains("does not exist"));
    assert_eq!(reported.count(), 2, "{findings:#?}");
    case.run_workload().await;
    case.rotate().await;
}

/// A migration or a restore between two runs, and during two.
pub async fn a_grant_on_a_missing_object_is_kept_for_both(server: &Server) {
    let mut case = Case::new(server, "moment").await;
    let (namespace, base) = (case.namespace.clone(), account("moment"));
    let create_table = format!("CREATE TABLE {namespace}.u (a int)");
    server
        .sql(&format!(
            "CREATE TABLE {namespace}.t (a int); {create_table}; \
             CREATE VIEW {namespace}.v AS SELECT a FROM {namespace}.t; \
             GRANT SELECT, SHOW VIEW ON {namespace}.v TO {base}; \
             GRANT SELECT, INSERT ON {namespace}.u TO {base} WITH GRANT OPTION; \
             RENAME TABLE {namespace}.t TO {namespace}.t_old; DROP TABLE {namespace}.u"
        ))
        .await;
    let before = described(server, "moment", "%").await;
    for _ in 0..2 {
        case.rotate().await;
        assert_eq!(described(server, "moment", "%").await, before);
        assert_eq!(described(server, "moment_clone", "%").await, before);
    }
    // Only the standby has these, and their objects are missing.
    server
        .sql(&format!(
            "GRANT CREATE, SELECT ON {namespace}.w TO 'moment_clone'@'%'; \
             GRANT DELETE ON {namespace}.v TO 'moment_clone'@'%'"
        ))
        .await;
    // CREATE is what an interruption leaves.
    let revoke = format!("REVOKE CREATE ON `{namespace}`.`w` FROM `moment_clone`@`%`");
    assert_eq!(case.differences().await, [revoke]);
    server
        .sql(&format!(
            "RENAME TABLE {namespace}.t_old TO {namespace}.t; {create_table}; \
             CREATE TABLE {namespace}.w (a int)"
        ))
        .await;
    for _ in 0..2 {
        case.rotate().await;
        assert_eq!(described(server, "moment", "%").await, before);
        assert_eq!(described(server, "moment_clone", "%").await, before);
    }
}

pub async fn a_grant_that_cannot_be_copied_stops_a_run_first(server: &Server) {
    let mut case = Case::new(server, "refused").await;
    let (namespace, base) = (case.namespace.clone(), account("refused"));
    let create = format!("CREATE PROCEDURE {namespace}.p() SELECT 1");
    server
        .sql(&format!(
            "CREATE TABLE {namespace}.t (a int); CREATE TABLE {namespace}.u (a int); {create}; \
             CREATE VIEW {namespace}.v AS SELECT a FROM {namespace}.t; \
             GRANT SELECT (a) ON {namespace}.v TO {base}; \
             GRANT INSERT (a) ON {namespace}.u TO {base}; \
             GRANT EXECUTE ON PROCEDURE {namespace}.p TO {base}"
        ))
        .await;
    // Else the grants of a procedure are dropped with it.
    server
        .sql(&format!(
            "SET GLOBAL automatic_sp_privileges = OFF; DROP PROCEDURE {namespace}.p; \
             SET GLOBAL automatic_sp_privileges = ON; \
             RENAME TABLE {namespace}.t TO {namespace}.t_old, {namespace}.u TO {namespace}.u_old"
        ))
        .await;
    let findings = case.inspect().await.findings;
    let refused: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .inspect(|finding| assert_eq!(finding.code, Some(Code::PrivilegesDiffer)))
        .filter_map(|finding| finding.fix.as_deref())
        .collect();
    assert_eq!(
        refused,
        [
            format!(
                "create `{namespace}`.`u` again, or REVOKE INSERT (`a`) ON `{namespace}`.`u` FROM `refused`@`%`"
            ),
            format!(
                "create what the view `{namespace}`.`v` selects from, or REVOKE SELECT (`a`) ON `{namespace}`.`v` FROM `refused`@`%`"
            ),
            format!(
                "create PROCEDURE `{namespace}`.`p` again, or REVOKE EXECUTE ON PROCEDURE `{namespace}`.`p` FROM `refused`@`%`"
            ),
        ]
    );
    server
        .sql(&format!(
            "{create}; \
             RENAME TABLE {namespace}.t_old TO {namespace}.t, {namespace}.u_old TO {namespace}.u"
        ))
        .await;
    for _ in 0..2 {
        let findings = case.rotate().await.findings;
        assert!(findings.iter().all(|f| f.severity != Severity::Error));
        assert_eq!(
            described(server, "refused", "%").await,
            described(server, "refused_clone", "%").await
        );
    }
}

pub async fn a_grant_on_a_package_is_copied(server: &Server) {
    let mut case = Case::new(server, "packaged").await;
    let (namespace, base) = (case.namespace.clone(), account("packaged"));
    let mut connection = server.connect_as("mysql", server.superuser()).await;
    for sql in [
        "SET sql_mode = 'ORACLE'".to_owned(),
        format!("CREATE PACKAGE {namespace}.`p``k` AS PROCEDURE p1; END"),
        format!(
            "CREATE PACKAGE BODY {namespace}.`p``k` AS PROCEDURE p1 AS BEGIN SELECT 1; END; END"
        ),
        format!("GRANT EXECUTE ON PACKAGE {namespace}.`p``k` TO {base}"),
        format!("GRANT EXECUTE ON PACKAGE BODY {namespace}.`p``k` TO {base} WITH GRANT OPTION"),
    ] {
        run(&mut connection, &sql).await;
    }
    for _ in 0..2 {
        case.rotate().await;
        let clone = described(server, "packaged_clone", "%").await;
        assert_eq!(described(server, "packaged", "%").await, clone);
        assert_eq!(
            clone.iter().filter(|line| line.contains("PACKAGE")).count(),
            2
        );
    }
    let revoke = format!("REVOKE EXECUTE ON PACKAGE {namespace}.`p``k` FROM {base}");
    run(&mut connection, &revoke).await;
    case.rotate().await;
    let clone = described(server, "packaged_clone", "%").await;
    assert_eq!(described(server, "packaged", "%").await, clone);
}
