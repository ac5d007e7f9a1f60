//! Tests of MariaDB and MySQL only.

mod accounts;
mod objects;
mod passwords;

use sqlx::Row;
use sqlx::mysql::MySqlConnection;
use twinkey_core::secret::ExposeSecret;
use twinkey_testkit::mysql::Flavor;

use self::accounts::with_three_accounts;
use super::{MASTER, Server, account, pattern};
use crate::case::{Case, refusal};

pub async fn all(server: &Server) {
    accounts::all_accounts_of_a_user_rotate_after_any_cut(server).await;
    accounts::accounts_must_list_the_selected_account(server).await;
    // Later the master has SELECT on everything.
    objects::a_surplus_grant_on_an_unseen_view_is_revoked(server).await;
    objects::columns_of_a_view_that_is_not_opened_stop_a_run_first(server).await;
    a_standby_differs_in_the_name_and_the_hash_only(server).await;
    a_thousand_grants_take_no_more_statements_than_differ(server).await;
    accounts::a_surplus_account_is_dropped_unless_it_is_a_definer(server).await;
    objects::a_grant_on_a_dropped_table_does_not_stop_a_run(server).await;
    objects::a_grant_on_a_missing_object_is_kept_for_both(server).await;
    objects::a_grant_that_cannot_be_copied_stops_a_run_first(server).await;
    passwords::an_expired_standby_gets_its_next_password(server).await;
    without_process_sessions_are_not_available(server).await;
    the_listed_fixes_are_enough_for_a_run(server).await;
    administrators_of_rds_are_refused(server).await;
    match server.flavor {
        Flavor::Mariadb => {
            passwords::a_validating_plugin_is_reported_with_its_fix(server).await;
            passwords::an_ed25519_user_is_rotated_and_signs_in(server).await;
            grants_to_public_concern_no_pair(server).await;
            objects::a_grant_on_a_package_is_copied(server).await;
        }
        Flavor::Mysql => {
            passwords::a_retained_password_is_discarded(server).await;
            passwords::the_first_sign_in_after_a_change_needs_verified_tls(server).await;
        }
    }
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
