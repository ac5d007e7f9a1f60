//! What the two users of a pair have in common: every class of privileges that Redshift's catalogue knows.

use sqlx::{AssertSqlSafe, Row};

use super::Server;
use crate::case::Case;
use twinkey_testkit::aws::redshift::HOME;

pub async fn all(server: &Server) {
    every_class_of_privilege_is_copied_and_taken_back(server).await;
    what_a_group_a_role_or_everybody_gives_is_not_made_the_users_own(server).await;
    what_the_clone_made_is_handed_to_the_base_user(server).await;
}

/// Of the user: what no other sentence grants. `{p}` is the place.
const FURNISH: [&str; 19] = [
    "CREATE MODEL {p}.m FROM {p}.whole TARGET n FUNCTION predict IAM_ROLE default",
    "GRANT EXECUTE ON MODEL {p}.m TO furnished",
    "GRANT CREATE MODEL TO furnished",
    "GRANT CREATE, TEMP ON DATABASE dev TO furnished",
    "GRANT USAGE, ALTER ON SCHEMA {p}_more TO furnished",
    "GRANT SELECT ON {p}.whole TO furnished WITH GRANT OPTION",
    "GRANT INSERT, DROP, ALTER, TRUNCATE ON {p}.whole TO furnished",
    "GRANT UPDATE (seen), SELECT (unseen) ON {p}.part TO furnished",
    "GRANT EXECUTE ON PROCEDURE {p}.act() TO furnished WITH GRANT OPTION",
    "GRANT USAGE ON LANGUAGE plpythonu TO furnished",
    "GRANT ROLE {p}_role TO furnished WITH ADMIN OPTION",
    "ALTER GROUP {p}_group ADD USER furnished",
    "ALTER DEFAULT PRIVILEGES FOR USER awsuser IN SCHEMA {p} GRANT SELECT ON TABLES TO furnished",
    "ALTER DEFAULT PRIVILEGES FOR USER awsuser GRANT EXECUTE ON FUNCTIONS TO furnished WITH GRANT OPTION",
    "ALTER DEFAULT PRIVILEGES FOR USER furnished IN SCHEMA {p} GRANT SELECT ON TABLES TO GROUP {p}_group",
    "ALTER DEFAULT PRIVILEGES FOR USER furnished GRANT EXECUTE ON PROCEDURES TO ROLE {p}_role",
    "ALTER USER furnished CREATEDB CONNECTION LIMIT 7 SESSION TIMEOUT 600 SYSLOG ACCESS UNRESTRICTED",
    "ALTER USER furnished VALID UNTIL '2099-01-02 03:04:05'",
    "ALTER USER furnished SET query_group TO 'it''s quick'",
];

/// Some of it again.
const UNFURNISH: [&str; 10] = [
    "REVOKE EXECUTE ON MODEL {p}.m FROM {u}",
    "REVOKE CREATE ON DATABASE dev FROM {u}",
    "REVOKE GRANT OPTION FOR SELECT ON {p}.whole FROM {u}",
    "REVOKE DROP ON {p}.whole FROM {u}",
    "REVOKE UPDATE (seen) ON {p}.part FROM {u}",
    "REVOKE ADMIN OPTION FOR ROLE {p}_role FROM {u}",
    "ALTER DEFAULT PRIVILEGES FOR USER awsuser IN SCHEMA {p} REVOKE SELECT ON TABLES FROM {u}",
    "ALTER DEFAULT PRIVILEGES FOR USER {u} IN SCHEMA {p} REVOKE SELECT ON TABLES FROM GROUP {p}_group",
    "ALTER USER {u} NOCREATEDB CONNECTION LIMIT UNLIMITED",
    "ALTER USER {u} RESET query_group",
];

/// What the catalogue says of a user, `{u}`, without its name.
const PORTRAIT: [&str; 13] = [
    "SELECT database_name, privilege_type, admin_option FROM svv_database_privileges WHERE identity_name = '{u}'",
    "SELECT namespace_name, privilege_type, admin_option FROM svv_schema_privileges WHERE identity_name = '{u}'",
    "SELECT relation_name, privilege_type, admin_option FROM svv_relation_privileges WHERE identity_name = '{u}' AND relation_name NOT LIKE 'by_round%'",
    "SELECT relation_name, column_name, privilege_type FROM svv_column_privileges WHERE identity_name = '{u}'",
    "SELECT function_name, argument_types, admin_option FROM svv_function_privileges WHERE identity_name = '{u}'",
    "SELECT language_name, admin_option FROM svv_language_privileges WHERE identity_name = '{u}'",
    "SELECT model_name, privilege_type FROM svv_ml_model_privileges WHERE identity_name = '{u}'",
    "SELECT role_name, admin_option FROM svv_user_grants WHERE user_name = '{u}'",
    "SELECT groname FROM pg_group, pg_user WHERE usesysid = ANY(grolist) AND usename = '{u}'",
    "SELECT owner_name, schema_name, object_type, privilege_type, admin_option FROM svv_default_privileges WHERE grantee_name = '{u}' AND owner_name NOT LIKE 'furnished%'",
    "SELECT grantee_name, schema_name, object_type, privilege_type, admin_option FROM svv_default_privileges WHERE owner_name = '{u}' AND grantee_name NOT LIKE 'furnished%'",
    "SELECT createdb, connection_limit, session_timeout, syslog_access, valuntil FROM svv_user_info, pg_user WHERE usename = user_name AND user_name = '{u}'",
    "SELECT unnest(useconfig) FROM pg_user WHERE usename = '{u}'",
];

/// What a DBA sees, a line a row, sorted.
pub async fn rows(server: &Server, database: &str, sql: &str) -> Vec<String> {
    let mut root = server.stand_in.redshift().root(database).await.unwrap();
    let sql = format!("SELECT t::text FROM ({sql}) t ORDER BY 1");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut root).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn portrait(server: &Server, user: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for sql in PORTRAIT {
        all.push(rows(server, HOME, &sql.replace("{u}", user)).await);
    }
    all
}

async fn every_class_of_privilege_is_copied_and_taken_back(server: &Server) {
    let mut case = Case::new(server, "furnished").await;
    for sql in FURNISH {
        server.dba(HOME, &[&sql.replace("{p}", &case.place)]).await;
    }
    for round in 0..4 {
        case.rotate().await;
        let (base, clone) = (&case.pair.base, &case.pair.clone);
        let (one, two) = (portrait(server, base).await, portrait(server, clone).await);
        for (at, (one, two)) in one.iter().zip(&two).enumerate() {
            assert_eq!(one, two, "round {round}: {}", PORTRAIT[at]);
            assert!(
                round > 0 || !one.is_empty(),
                "nothing to copy: {}",
                PORTRAIT[at]
            );
        }
        if round == 1 {
            for sql in UNFURNISH {
                let sql = sql
                    .replace("{p}", &case.place)
                    .replace("{u}", case.pair.active_user());
                server.dba(HOME, &[&sql]).await;
            }
        }
    }
}

async fn what_a_group_a_role_or_everybody_gives_is_not_made_the_users_own(server: &Server) {
    let mut case = Case::new(server, "member").await;
    let place = case.place.clone();
    for sql in [
        "ALTER GROUP {p}_group ADD USER member",
        "GRANT ROLE {p}_role TO member",
        "GRANT SELECT ON {p}.whole TO PUBLIC",
    ] {
        server.dba(HOME, &[&sql.replace("{p}", &place)]).await;
    }
    case.rotate().await;
    case.rotate().await;
    let own = "SELECT relation_name FROM svv_relation_privileges WHERE identity_name LIKE 'member%' AND relation_name NOT LIKE 'by_round%'";
    assert_eq!(rows(server, HOME, own).await, [""; 0]);
    for who in [&case.current, case.previous.as_ref().unwrap()] {
        for privilege in ["a table", "a group", "a role"] {
            assert!(case.may(who, privilege).await, "{privilege}");
        }
    }
}

async fn what_the_clone_made_is_handed_to_the_base_user(server: &Server) {
    let mut case = Case::new(server, "maker").await;
    for _ in 0..3 {
        case.rotate().await;
        case.work().await;
    }
    // Twice: what the clone owns is handed over when it is the standby again.
    case.rotate().await;
    case.rotate().await;
    let sql = format!(
        "SELECT usename FROM pg_class c JOIN pg_user ON usesysid = relowner JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE nspname = '{}' AND relname LIKE 'by_round%' GROUP BY 1",
        case.place
    );
    assert_eq!(rows(server, HOME, &sql).await, ["(maker)"]);
}
