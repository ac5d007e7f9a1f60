//! Grants on objects: missing ones, views, packages.

use twinkey_core::code::Code;
use twinkey_engines::Severity;

use super::super::{MASTER, Server, account, run};
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
                "create or grant what CHECK TABLE `{namespace}`.`v` names, or REVOKE SELECT (`a`) ON `{namespace}`.`v` FROM `refused`@`%`"
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

/// The master sees no column of a view on which it has DROP alone.
pub async fn a_surplus_grant_on_an_unseen_view_is_revoked(server: &Server) {
    let mut case = Case::new(server, "unseen_view").await;
    let (far, clone) = (
        format!("{}_far", case.namespace),
        account("unseen_view_clone"),
    );
    case.rotate().await;
    case.rotate().await;
    let master = account(MASTER);
    server
        .sql(&format!(
            "CREATE DATABASE {far}; CREATE TABLE {far}.t (a int); \
             CREATE VIEW {far}.valid AS SELECT a FROM {far}.t; \
             CREATE VIEW {far}.broken AS SELECT a FROM {far}.t; \
             CREATE TABLE {far}.plain (a int)"
        ))
        .await;
    for name in ["valid", "broken", "plain"] {
        server
            .sql(&format!(
                "GRANT DROP ON {far}.{name} TO {master} WITH GRANT OPTION; \
                 GRANT DROP ON {far}.{name} TO {clone}"
            ))
            .await;
    }
    server
        .sql(&format!(
            "CREATE OR REPLACE VIEW {far}.broken AS SELECT a FROM {far}.plain; \
             RENAME TABLE {far}.plain TO {far}.moved; CREATE TABLE {far}.plain (b int)"
        ))
        .await;
    let revoke =
        |name: &str| format!("REVOKE DROP ON `{far}`.`{name}` FROM `unseen_view_clone`@`%`");
    assert_eq!(case.differences().await, [revoke("plain"), revoke("valid")]);
    let findings = case.inspect().await.findings;
    let notes = findings.iter().filter_map(|finding| finding.fix.as_deref());
    let notes: Vec<&str> = notes.filter(|fix| fix.starts_with("REVOKE ")).collect();
    assert_eq!(notes, [revoke("broken")]);
    case.rotate().await;
}

/// A grant on columns opens the view, with the privileges of its DEFINER or of the master.
pub async fn columns_of_a_view_that_is_not_opened_stop_a_run_first(server: &Server) {
    let mut case = Case::new(server, "closed").await;
    let (namespace, base) = (case.namespace.clone(), account("closed"));
    let (far, master) = (format!("{namespace}_far"), account(MASTER));
    server
        .sql(&format!(
            "CREATE DATABASE {far}; CREATE TABLE {far}.t (a int); CREATE USER 'definer'@'%'; \
             GRANT SELECT ON {far}.t TO 'definer'@'%'; \
             CREATE DEFINER = 'definer'@'%' VIEW {namespace}.definer AS SELECT a FROM {far}.t; \
             CREATE SQL SECURITY INVOKER VIEW {namespace}.invoker AS SELECT a FROM {far}.t; \
             GRANT SELECT (a) ON {namespace}.definer TO {base}; \
             GRANT SELECT (a) ON {namespace}.invoker TO {base}; \
             GRANT INSERT ON {namespace}.invoker TO {base}; \
             REVOKE SELECT ON {far}.t FROM 'definer'@'%'"
        ))
        .await;
    let findings = case.inspect().await.findings;
    let refused: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .inspect(|finding| assert_eq!(finding.code, Some(Code::PrivilegesDiffer)))
        .filter_map(|finding| finding.fix.as_deref())
        .collect();
    let fix = |name: &str| {
        let view = format!("`{namespace}`.`{name}`");
        format!(
            "create or grant what CHECK TABLE {view} names, or REVOKE SELECT (`a`) ON {view} FROM `closed`@`%`"
        )
    };
    assert_eq!(refused, [fix("definer"), fix("invoker")]);
    server
        .sql(&format!(
            "GRANT SELECT ON {far}.t TO 'definer'@'%'; GRANT SELECT ON {far}.t TO {master}"
        ))
        .await;
    for _ in 0..2 {
        case.rotate().await;
        assert_eq!(
            described(server, "closed", "%").await,
            described(server, "closed_clone", "%").await
        );
    }
    server.sql("DROP USER 'definer'@'%'").await;
}
