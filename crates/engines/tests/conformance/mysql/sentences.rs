//! Tests of MariaDB and MySQL only.

use sqlx::Row;
use sqlx::mysql::MySqlConnection;
use twinkey_core::code::{Code, Diagnostic as _};
use twinkey_core::secret::ExposeSecret;
use twinkey_engines::{
    Credentials, Engine, InspectRequest, MysqlOptions, Severity, SignInChecks, TlsMode,
};
use twinkey_testkit::mysql::Flavor;

use super::{MASTER, Server, account, pattern};
use crate::case::{Case, all_changes, refusal, rendered};
use crate::passwords::new_password;

pub async fn all(server: &Server) {
    all_accounts_of_a_user_rotate_after_any_cut(server).await;
    accounts_must_list_the_selected_account(server).await;
    a_standby_differs_in_the_name_and_the_hash_only(server).await;
    a_thousand_grants_take_no_more_statements_than_differ(server).await;
    a_surplus_account_is_dropped_unless_it_is_a_definer(server).await;
    a_grant_on_a_dropped_table_does_not_stop_a_run(server).await;
    a_grant_on_a_missing_object_is_kept_for_both(server).await;
    a_grant_that_cannot_be_copied_stops_a_run_first(server).await;
    without_process_sessions_are_not_available(server).await;
    the_listed_fixes_are_enough_for_a_run(server).await;
    administrators_of_rds_are_refused(server).await;
    match server.flavor {
        Flavor::Mariadb => {
            a_validating_plugin_is_reported_with_its_fix(server).await;
            an_ed25519_user_is_rotated_and_signs_in(server).await;
            grants_to_public_concern_no_pair(server).await;
            a_grant_on_a_package_is_copied(server).await;
        }
        Flavor::Mysql => {
            a_retained_password_is_discarded(server).await;
            the_first_sign_in_after_a_change_needs_verified_tls(server).await;
        }
    }
}

/// A case with two more accounts of the base user.
async fn with_three_accounts<'a>(server: &'a Server, base: &str) -> Case<'a> {
    let case = Case::new(server, base).await;
    let password = case.current.password.expose_secret();
    server
        .quietly(&format!(
            "CREATE USER '{base}'@'10.%' IDENTIFIED BY '{password}' REQUIRE SSL"
        ))
        .await;
    server
        .quietly(&format!(
            "CREATE USER '{base}'@'localhost' IDENTIFIED BY '{password}'"
        ))
        .await;
    let namespace = pattern(&case.namespace);
    server
        .sql(&format!(
            "GRANT SELECT ON {namespace}.* TO '{base}'@'10.%'; \
             GRANT ALL PRIVILEGES ON {namespace}.* TO '{base}'@'localhost'"
        ))
        .await;
    case
}

async fn administrators_of_rds_are_refused(server: &Server) {
    let case = Case::new(server, "mighty").await;
    let user = account("mighty");
    let role = "rds_superuser_role";
    server.sql(&format!("CREATE ROLE {role}")).await;
    let mut grants = vec![
        (
            format!("GRANT {role} TO {user}"),
            format!("REVOKE {role} FROM {user}"),
            role,
        ),
        (
            format!("GRANT CREATE USER ON *.* TO {user} WITH GRANT OPTION"),
            format!("REVOKE CREATE USER, GRANT OPTION ON *.* FROM {user}"),
            "CREATE USER and GRANT OPTION",
        ),
    ];
    if server.flavor == Flavor::Mysql {
        grants.push((
            format!("GRANT ROLE_ADMIN ON *.* TO {user}"),
            format!("REVOKE ROLE_ADMIN ON *.* FROM {user}"),
            "ROLE_ADMIN",
        ));
    }
    for (grant, revoke, what) in grants {
        server.sql(&grant).await;
        let inspection = case.inspect().await;
        let refused = refusal(&inspection).unwrap_or_else(|| panic!("{grant} is accepted"));
        assert!(refused.what.contains(what), "{refused:?}");
        server.sql(&revoke).await;
        assert_eq!(refusal(&case.inspect().await), None, "{revoke}");
    }
}

async fn all_accounts_of_a_user_rotate_after_any_cut(server: &Server) {
    let mut case = with_three_accounts(server, "many").await;
    let inspection = case.rotate().await;
    assert_eq!(inspection.set_password.len(), 3);
    case.run_workload().await;
    // From here on only the three passwords differ. A sign-in tests one account and no other.
    case.rotate().await;
    for cut in 0..=3 {
        let next = case.next();
        let changes = all_changes(&case.inspect().await);
        assert_eq!(changes.len(), 3, "{changes:#?}");
        let mut admin = case.admin().await;
        admin
            .apply(&rendered(&changes[..cut], &next.password))
            .await
            .unwrap();
        assert_eq!(
            case.holds(admin.as_mut(), &next.password).await,
            Some(cut == 3),
            "after {cut} of 3"
        );
    }
    // With a new standby one of the accounts is locked until the last password is set.
    server
        .sql("DROP USER 'many_clone'@'%', 'many_clone'@'10.%', 'many_clone'@'localhost'")
        .await;
    let next = case.next();
    let changes = all_changes(&case.inspect().await);
    for cut in 0..=changes.len() {
        let mut admin = case.admin().await;
        admin
            .apply(&rendered(
                &changes[cut.saturating_sub(1)..cut],
                &next.password,
            ))
            .await
            .unwrap();
        let held = case.holds(admin.as_mut(), &next.password).await;
        assert_eq!(held, Some(cut == changes.len()), "after {cut}");
    }
    case.rotate().await;
}

/// The server shows the test as `localhost`.
async fn accounts_must_list_the_selected_account(server: &Server) {
    let case = with_three_accounts(server, "selected").await;
    for (listed, is_error) in [(vec!["%", "10.%"], true), (vec!["%", "localhost"], false)] {
        let accounts = Some(listed.into_iter().map(str::to_owned).collect());
        let engine = server
            .engine
            .clone()
            .with_options(MysqlOptions { accounts });
        let mut admin = engine.admin(&case.target(), &server.master).await.unwrap();
        let request = InspectRequest {
            pair: &case.pair,
            password: None,
            current: Some(&case.current.password),
            tls: TlsMode::VerifyFull,
            thorough: true,
        };
        let inspection = admin.inspect(&request).await.unwrap();
        let refused = refusal(&inspection);
        let code = is_error.then_some(Some(Code::PendingSigninFailed));
        assert_eq!(refused.map(|finding| finding.code), code, "{refused:?}");
    }
}

/// The server's description of an account, one fact a line, without the name and the hash.
async fn described(server: &Server, user: &str, host: &str) -> Vec<String> {
    let mut connection = server.connect_as("mysql", server.superuser()).await;
    let mut lines = Vec::new();
    for show in ["SHOW CREATE USER", "SHOW GRANTS FOR"] {
        lines.extend(texts(&mut connection, &format!("{show} '{user}'@'{host}'")).await);
    }
    let mut lines: Vec<String> = lines
        .into_iter()
        .map(|line| without_hash(&line.replace(&format!("`{user}`"), "`-`")))
        // MySQL sometimes prints a limit of 0.
        .map(|line| with_columns_in_order(&line.replace(" MAX_USER_CONNECTIONS 0", "")))
        .collect();
    // The order is that of the server's hash tables, and has no meaning.
    lines.sort();
    lines
}

/// Sorts the names between parentheses.
fn with_columns_in_order(line: &str) -> String {
    let mut parts = line.split('(');
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (columns, rest) = part.split_once(')').unwrap();
        let mut columns: Vec<&str> = columns.split(", ").collect();
        columns.sort_unstable();
        all += &format!("({}){rest}", columns.join(", "));
    }
    all
}

async fn texts(connection: &mut MySqlConnection, sql: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter().map(|row| row.get(0)).collect()
}

/// Removes the text after `PASSWORD '` or `AS '` up to the next quote.
fn without_hash(line: &str) -> String {
    for before in ["PASSWORD '", " AS '"] {
        if let Some((start, rest)) = line.split_once(before) {
            // A salt may hold an escaped quote.
            let end = rest
                .find("' ")
                .map_or("", |at| rest.get(at..).unwrap_or_default());
            return format!("{start}{before}{end}");
        }
    }
    line.to_owned()
}

async fn a_standby_differs_in_the_name_and_the_hash_only(server: &Server) {
    let mut case = with_three_accounts(server, "compared").await;
    let (namespace, master) = (case.namespace.clone(), account(MASTER));
    let base = account("compared");
    if server.flavor == Flavor::Mysql {
        // From here on `_` in the name of a schema is literal, and must not be escaped.
        server
            .sql(&format!(
                "SET GLOBAL partial_revokes = ON; \
                 GRANT ALL PRIVILEGES ON {namespace}.* TO {base}; \
                 GRANT ALL PRIVILEGES ON {namespace}.* TO {master} WITH GRANT OPTION"
            ))
            .await;
    }
    let schema = match server.flavor {
        Flavor::Mariadb => pattern(&namespace),
        Flavor::Mysql => namespace.clone(),
    };
    let default_role = match server.flavor {
        Flavor::Mariadb => format!(
            "SET DEFAULT ROLE compared_role FOR {base}; GRANT UPDATE ON mysql.* TO {master}; \
             ALTER USER {base} WITH MAX_STATEMENT_TIME 2.5"
        ),
        Flavor::Mysql => format!(
            "ALTER USER {base} DEFAULT ROLE compared_role; \
             ALTER USER {base} FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME 2 PASSWORD HISTORY 5 COMMENT 'it''s'; \
             GRANT SELECT, INSERT ON *.* TO 'compared'@'localhost'; \
             REVOKE INSERT ON mysql.* FROM 'compared'@'localhost'; \
             GRANT BACKUP_ADMIN ON *.* TO 'compared'@'localhost' WITH GRANT OPTION; \
             GRANT SELECT, INSERT ON *.* TO {master} WITH GRANT OPTION; \
             GRANT BACKUP_ADMIN ON *.* TO {master} WITH GRANT OPTION"
        ),
    };
    server
        .sql(&format!(
            "CREATE TABLE {namespace}.t (a int, `b``c` int); CREATE TABLE {namespace}.`t.u` (a int); \
             CREATE PROCEDURE {namespace}.p() SELECT 1; CREATE ROLE compared_role; \
             CREATE USER 'compared_proxied'@'localhost'; \
             GRANT compared_role TO {master} WITH ADMIN OPTION; \
             GRANT PROXY ON 'compared_proxied'@'localhost' TO {master} WITH GRANT OPTION; \
             ALTER USER {base} REQUIRE CIPHER 'it''s' WITH MAX_USER_CONNECTIONS 7 MAX_QUERIES_PER_HOUR 9000; \
             ALTER USER {base} PASSWORD EXPIRE INTERVAL 90 DAY; \
             ALTER USER {base} REQUIRE SSL; \
             GRANT SELECT (a, `b``c`), INSERT ON {namespace}.t TO {base} WITH GRANT OPTION; \
             GRANT SELECT ON {namespace}.`t.u` TO {base}; \
             GRANT EXECUTE ON PROCEDURE {namespace}.p TO {base}; \
             GRANT DROP ON {schema}.* TO {base} WITH GRANT OPTION; \
             GRANT compared_role TO {base}; \
             GRANT PROXY ON 'compared_proxied'@'localhost' TO {base}; {default_role}"
        ))
        .await;
    for _ in 0..2 {
        case.rotate().await;
        for host in ["%", "10.%", "localhost"] {
            let (base, clone) = (
                described(server, "compared", host).await,
                described(server, "compared_clone", host).await,
            );
            assert_eq!(base, clone);
            assert!(base[0].starts_with("CREATE USER `-`"), "{base:?}");
        }
    }
    // Changes between two runs are equal after the next one, in both directions.
    server
        .sql(&format!(
            "ALTER USER {base} REQUIRE NONE WITH MAX_USER_CONNECTIONS 0; \
             REVOKE SELECT (a) ON {namespace}.t FROM {base}; \
             REVOKE GRANT OPTION ON {schema}.* FROM {base}; \
             GRANT SELECT ON {namespace}.`t.u` TO {base} WITH GRANT OPTION; \
             GRANT compared_role TO {base} WITH ADMIN OPTION; \
             REVOKE PROXY ON 'compared_proxied'@'localhost' FROM {base}"
        ))
        .await;
    case.rotate().await;
    assert_eq!(
        described(server, "compared", "%").await,
        described(server, "compared_clone", "%").await
    );
    if server.flavor == Flavor::Mysql {
        // Partial revokes cannot be disabled while a user has one.
        server
            .sql(
                "DROP USER 'compared'@'localhost', 'compared_clone'@'localhost'; \
                 SET GLOBAL partial_revokes = OFF",
            )
            .await;
    }
}

async fn a_thousand_grants_take_no_more_statements_than_differ(server: &Server) {
    const MANY: usize = 1000;
    let mut case = Case::new(server, "thousand").await;
    let (namespace, base) = (case.namespace.clone(), account("thousand"));
    let mut connection = server.connect_as(&namespace, server.superuser()).await;
    for number in 0..MANY {
        let sql = format!("CREATE TABLE t{number} (a int); GRANT SELECT ON t{number} TO {base}");
        super::run(&mut connection, &sql).await;
    }
    let first = case.rotate().await;
    // One account, its own schema, and the tables.
    assert_eq!(first.differences.len(), MANY + 2);
    let nothing = case.rotate().await;
    assert_eq!(
        (nothing.differences.len(), nothing.set_password.len()),
        (0, 1)
    );
    let clone_lacks = format!(
        "REVOKE SELECT ON t1 FROM {base}; GRANT INSERT, UPDATE ON t2 TO {base}; \
         GRANT DELETE ON t3 TO {base} WITH GRANT OPTION"
    );
    super::run(&mut connection, &clone_lacks).await;
    let three = case.rotate().await;
    assert_eq!((three.differences.len(), three.set_password.len()), (3, 1));
}

async fn a_surplus_account_is_dropped_unless_it_is_a_definer(server: &Server) {
    let mut case = Case::new(server, "surplus").await;
    case.rotate().await;
    case.rotate().await;
    let namespace = case.namespace.clone();
    server
        .sql(&format!(
            "CREATE USER 'surplus_clone'@'h'; \
             CREATE DEFINER = 'surplus_clone'@'h' VIEW {namespace}.v AS SELECT 1"
        ))
        .await;
    let inspection = case.inspect().await;
    let refused: Vec<_> = inspection
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    assert_eq!(refused.len(), 1, "{refused:#?}");
    assert_eq!(refused[0].code, Some(Code::PrivilegesDiffer));
    let is_reported = |what: &str| inspection.findings.iter().any(|f| f.what.contains(what));
    assert!(is_reported(&format!("DEFINER of view {namespace}.v")));
    server.sql(&format!("DROP VIEW {namespace}.v")).await;
    assert_eq!(case.differences().await, ["DROP USER `surplus_clone`@`h`"]);
    case.rotate().await;
}

async fn a_grant_on_a_dropped_table_does_not_stop_a_run(server: &Server) {
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
async fn a_grant_on_a_missing_object_is_kept_for_both(server: &Server) {
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

async fn a_grant_that_cannot_be_copied_stops_a_run_first(server: &Server) {
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

async fn grants_to_public_concern_no_pair(server: &Server) {
    let mut case = Case::new(server, "public").await;
    let namespace = case.namespace.clone();
    server
        .sql(&format!(
            "CREATE TABLE {namespace}.t (a int); CREATE PROCEDURE {namespace}.p() SELECT 1; \
             CREATE ROLE public_role"
        ))
        .await;
    let grants = [
        "INSERT ON *.*".to_owned(),
        format!("UPDATE ON {namespace}.*"),
        format!("SELECT, DELETE ON {namespace}.t"),
        format!("UPDATE (a) ON {namespace}.t"),
        format!("EXECUTE ON PROCEDURE {namespace}.p"),
        "public_role".to_owned(),
    ];
    let mut connection = server.connect_as("mysql", server.superuser()).await;
    for grant in &grants {
        // MariaDB has PUBLIC from 10.11 on.
        if super::try_run(&mut connection, &format!("GRANT {grant} TO PUBLIC"))
            .await
            .is_err()
        {
            return;
        }
    }
    let before = described(server, "public", "%").await;
    for _ in 0..2 {
        case.rotate().await;
    }
    assert_eq!(case.differences().await, [""; 0]);
    for grant in &grants {
        super::run(&mut connection, &format!("REVOKE {grant} FROM PUBLIC")).await;
    }
    for user in ["public", "public_clone"] {
        assert_eq!(described(server, user, "%").await, before);
    }
}

async fn a_grant_on_a_package_is_copied(server: &Server) {
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
        super::run(&mut connection, &sql).await;
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
    super::run(&mut connection, &revoke).await;
    case.rotate().await;
    let clone = described(server, "packaged_clone", "%").await;
    assert_eq!(described(server, "packaged", "%").await, clone);
}

/// `check` lists what the master lacks, and nothing else stops the run.
async fn the_listed_fixes_are_enough_for_a_run(server: &Server) {
    let mut case = Case::new(server, "fixed").await;
    let (far, base) = (format!("{}_far", case.namespace), account("fixed"));
    let password = case.current.password.expose_secret();
    server
        .quietly(&format!(
            "CREATE USER 'fixed'@'10.%' IDENTIFIED BY '{password}'"
        ))
        .await;
    let of_server = match server.flavor {
        Flavor::Mariadb => format!(
            "CREATE ROLE fixed_role; GRANT fixed_role TO {base}; \
             SET DEFAULT ROLE fixed_role FOR {base}; REVOKE fixed_role FROM {base}"
        ),
        Flavor::Mysql => {
            format!("GRANT BACKUP_ADMIN, SYSTEM_USER ON *.* TO {base} WITH GRANT OPTION")
        }
    };
    server
        .sql(&format!(
            "CREATE DATABASE {far}; CREATE TABLE {far}.t (a int); CREATE TABLE {far}.gone (a int); \
             CREATE PROCEDURE {far}.Upper() SELECT 1; GRANT ALL PRIVILEGES ON {far}.t TO {base}; \
             GRANT INSERT ON {far}.t TO 'fixed'@'10.%'; GRANT SELECT ON {far}.gone TO {base}; \
             GRANT EXECUTE ON PROCEDURE {far}.Upper TO {base}; \
             GRANT PROXY ON 'nobody'@'10.0.0.1' TO {base}; DROP TABLE {far}.gone; {of_server}"
        ))
        .await;
    apply_fixes(server, &case).await;
    case.rotate().await;
    if server.flavor == Flavor::Mysql {
        let revoke = format!("REVOKE SYSTEM_USER ON *.* FROM {}", account(MASTER));
        server.sql(&revoke).await;
    }
    apply_fixes(server, &case).await;
    case.rotate().await;
}

/// Grants the master what an inspection lists, until it lists nothing.
async fn apply_fixes(server: &Server, case: &Case<'_>) {
    for _ in 0..3 {
        for finding in case.inspect().await.missing {
            server.sql(&finding.fix.unwrap()).await;
        }
    }
}

async fn without_process_sessions_are_not_available(server: &Server) {
    let case = Case::new(server, "unseen").await;
    let master = account(MASTER);
    server
        .sql(&format!("REVOKE PROCESS ON *.* FROM {master}"))
        .await;
    assert_eq!(case.admin().await.sessions("unseen").await.unwrap(), None);
    let findings = case.inspect().await.findings;
    let fixes = findings.iter().filter_map(|f| f.fix.as_deref());
    let mut fixes = fixes.filter(|fix| fix.starts_with("GRANT PROCESS "));
    server.sql(fixes.next().unwrap()).await;
    let sessions = case.admin().await.sessions("unseen").await.unwrap();
    assert_eq!(sessions.map(|s| s.len()), Some(0));
}

async fn a_validating_plugin_is_reported_with_its_fix(server: &Server) {
    let mut case = Case::new(server, "validated").await;
    server.sql("INSTALL SONAME 'simple_password_check'").await;
    let missing = case.inspect().await.missing;
    assert_eq!(missing.len(), 1, "{missing:#?}");
    server.sql(missing[0].fix.as_ref().unwrap()).await;
    case.rotate().await;
    server
        .sql("UNINSTALL SONAME 'simple_password_check'; SET GLOBAL strict_password_validation = ON")
        .await;
}

async fn an_ed25519_user_is_rotated_and_signs_in(server: &Server) {
    let mut case = Case::new(server, "edward").await;
    let password = case.current.password.expose_secret();
    server
        .quietly(&format!(
            "ALTER USER {} IDENTIFIED VIA ed25519 USING PASSWORD('{password}')",
            account("edward")
        ))
        .await;
    for _ in 0..3 {
        case.rotate().await;
        let wrong = Credentials {
            password: new_password(),
            ..case.current.clone()
        };
        case.sign_in(&wrong).await.unwrap_err();
    }
    let lines = described(server, "edward_clone", "%").await;
    assert!(lines[0].contains("ed25519"), "{lines:?}");
}

async fn a_retained_password_is_discarded(server: &Server) {
    let mut case = Case::new(server, "retained").await;
    case.rotate().await;
    case.rotate().await;
    let retained = case.previous.clone().unwrap();
    server
        .quietly(&format!(
            "ALTER USER {} IDENTIFIED BY '{}' RETAIN CURRENT PASSWORD",
            account("retained_clone"),
            new_password().expose_secret()
        ))
        .await;
    case.sign_in(&retained).await.expect("it is retained");
    case.rotate().await;
    case.sign_in(&retained).await.unwrap_err();
}

async fn the_first_sign_in_after_a_change_needs_verified_tls(server: &Server) {
    let mut case = Case::new(server, "cached").await;
    case.rotate().await;
    // The superuser changes it, so that the server's cache lacks it.
    let fresh = Credentials {
        username: "cached".into(),
        password: new_password(),
    };
    server
        .quietly(&format!(
            "ALTER USER {} IDENTIFIED BY '{}'",
            account("cached"),
            fresh.password.expose_secret()
        ))
        .await;
    let mut target = case.target();
    target.tls.mode = TlsMode::Disable;
    let error = server
        .engine
        .sign_in(&target, &fresh, SignInChecks::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::TlsFailed, "{error}");
    assert!(error.to_string().contains("verified TLS"), "{error}");
    assert!(error.hint().contains("mode = \"verify-full\""), "{error}");
    // The server's cache has the master.
    let mut admin = server.engine.admin(&target, &server.master).await.unwrap();
    let request = InspectRequest {
        pair: &case.pair,
        password: None,
        current: None,
        tls: target.tls.mode,
        thorough: false,
    };
    let inspection = admin.inspect(&request).await.unwrap();
    assert_eq!(refusal(&inspection).unwrap().code, Some(Code::TlsFailed));
}
