//! Copies of every kind of privilege in Redshift's catalog.

use sqlx::{AssertSqlSafe, Row};

use super::Server;
use crate::case::Case;
use twinkey_testkit::aws::redshift::HOME;

pub async fn all(server: &Server) {
    every_kind_of_privilege_is_copied_and_revoked(server).await;
    privileges_of_groups_and_roles_are_not_copied_as_direct_grants(server).await;
    objects_of_the_clone_change_owner_to_the_base_user(server).await;
}

/// Grants that no other test makes. `{p}` is the place.
const GRANTS: [&str; 19] = [
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

/// Statements that revoke a part of [`GRANTS`].
const REVOKES: [&str; 10] = [
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

/// Queries of a user's privileges without its name; `{u}` is the user.
const PRIVILEGE_QUERIES: [&str; 13] = [
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

/// Rows of a superuser's query as sorted text.
pub async fn rows(server: &Server, database: &str, sql: &str) -> Vec<String> {
    let mut root = server.stand_in.redshift().root(database).await.unwrap();
    let sql = format!("SELECT t::text FROM ({sql}) t ORDER BY 1");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut root).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn privileges_of(server: &Server, user: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for sql in PRIVILEGE_QUERIES {
        all.push(rows(server, HOME, &sql.replace("{u}", user)).await);
    }
    all
}

async fn every_kind_of_privilege_is_copied_and_revoked(server: &Server) {
    let mut case = Case::new(server, "furnished").await;
    for sql in GRANTS {
        server
            .dba(HOME, &[&sql.replace("{p}", &case.namespace)])
            .await;
    }
    for round in 0..4 {
        case.rotate().await;
        let (base, clone) = (&case.pair.base, &case.pair.clone);
        let (one, two) = (
            privileges_of(server, base).await,
            privileges_of(server, clone).await,
        );
        for (at, (one, two)) in one.iter().zip(&two).enumerate() {
            assert_eq!(one, two, "round {round}: {}", PRIVILEGE_QUERIES[at]);
            assert!(
                round > 0 || !one.is_empty(),
                "nothing to copy: {}",
                PRIVILEGE_QUERIES[at]
            );
        }
        if round == 1 {
            for sql in REVOKES {
                let sql = sql
                    .replace("{p}", &case.namespace)
                    .replace("{u}", case.pair.active_user());
                server.dba(HOME, &[&sql]).await;
            }
        }
    }
}

async fn privileges_of_groups_and_roles_are_not_copied_as_direct_grants(server: &Server) {
    let mut case = Case::new(server, "member").await;
    let place = case.namespace.clone();
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

async fn objects_of_the_clone_change_owner_to_the_base_user(server: &Server) {
    let mut case = Case::new(server, "maker").await;
    for _ in 0..3 {
        case.rotate().await;
        case.run_workload().await;
    }
    // The owner changes while the clone is the standby, so that two rotations are needed.
    case.rotate().await;
    case.rotate().await;
    let sql = format!(
        "SELECT usename FROM pg_class c JOIN pg_user ON usesysid = relowner JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE nspname = '{}' AND relname LIKE 'by_round%' GROUP BY 1",
        case.namespace
    );
    assert_eq!(rows(server, HOME, &sql).await, ["(maker)"]);
}
