//! Contents and visibility of the catalog views.

use super::*;

/// A setup with a user `app` that has privileges of every kind.
async fn furnished() -> Setup {
    let setup = Setup::new().await;
    setup.user("app").await;
    setup.admin(&[
        "CREATE SCHEMA s", "CREATE TABLE s.t (a int, b int)", "CREATE VIEW s.v AS SELECT * FROM s.t",
        "CREATE FUNCTION s.f(a int, b varchar) RETURNS int STABLE AS $$ SELECT 1 $$ LANGUAGE sql",
        "CREATE PROCEDURE s.p() AS $$ BEGIN END $$ LANGUAGE plpgsql",
        "CREATE MODEL s.m FROM s.t TARGET b FUNCTION predict IAM_ROLE default",
        "CREATE GROUP g WITH USER app", "CREATE ROLE r", "GRANT ROLE r TO app WITH ADMIN OPTION",
        "GRANT SELECT, DROP ON TABLE s.t, s.v TO app WITH GRANT OPTION", "GRANT UPDATE (a) ON s.t TO app",
        "GRANT USAGE, ALTER ON SCHEMA s TO app", "GRANT TEMP ON DATABASE dev TO app",
        "GRANT EXECUTE ON FUNCTION s.f(int, varchar) TO app", "GRANT EXECUTE ON PROCEDURE s.p() TO app",
        "GRANT USAGE ON LANGUAGE plpythonu TO app", "GRANT EXECUTE ON MODEL s.m TO app",
        "GRANT CREATE MODEL TO app", "GRANT INSERT ON s.t TO GROUP g", "GRANT DELETE ON s.t TO ROLE r",
        "ALTER DEFAULT PRIVILEGES FOR USER admin IN SCHEMA s GRANT SELECT ON TABLES TO app",
        "ALTER DEFAULT PRIVILEGES FOR USER admin GRANT EXECUTE ON PROCEDURES TO app",
        "ALTER DEFAULT PRIVILEGES FOR USER app GRANT EXECUTE ON FUNCTIONS TO GROUP g",
        "ALTER USER app SYSLOG ACCESS RESTRICTED CONNECTION LIMIT 7 SESSION TIMEOUT 600 VALID UNTIL '2099-01-02'",
        "ALTER USER app SET query_group TO 'quick'",
    ]).await;
    setup
}

/// Queries with the expected rows of `app`.
const SEEN: [(&str, &[&str]); 14] = [
    (
        "SELECT namespace_name, relation_name, privilege_type, admin_option FROM svv_relation_privileges WHERE identity_name = 'app' AND identity_type = 'user'",
        &[
            "s t DROP true",
            "s t SELECT true",
            "s v DROP true",
            "s v SELECT true",
        ],
    ),
    (
        "SELECT identity_name, identity_type, privilege_type FROM svv_relation_privileges WHERE identity_type IN ('group', 'role')",
        &["g group INSERT", "r role DELETE"],
    ),
    (
        "SELECT relation_name, column_name, privilege_type FROM svv_column_privileges WHERE identity_name = 'app'",
        &["t a UPDATE"],
    ),
    (
        "SELECT namespace_name, privilege_type FROM svv_schema_privileges WHERE identity_name = 'app'",
        &["s ALTER", "s USAGE"],
    ),
    (
        "SELECT database_name, privilege_type FROM svv_database_privileges WHERE identity_name = 'app'",
        &["dev TEMPORARY"],
    ),
    (
        "SELECT function_name, argument_types, privilege_type FROM svv_function_privileges WHERE identity_name = 'app'",
        &["f integer, character varying EXECUTE", "p  EXECUTE"],
    ),
    (
        "SELECT language_name, privilege_type FROM svv_language_privileges WHERE identity_name = 'app'",
        &["mlfunc USAGE", "plpythonu USAGE"],
    ),
    (
        "SELECT model_name, privilege_type FROM svv_ml_model_privileges WHERE identity_name = 'app'",
        &["m EXECUTE"],
    ),
    (
        "SELECT schema_name, object_type, owner_name, privilege_type, grantee_type FROM svv_default_privileges WHERE grantee_name = 'app'",
        &[
            "null PROCEDURE admin EXECUTE user",
            "s RELATION admin SELECT user",
        ],
    ),
    (
        "SELECT role_name, admin_option FROM svv_user_grants WHERE user_name = 'app'",
        &["r true"],
    ),
    (
        "SELECT createdb, superuser, connection_limit, syslog_access, session_timeout FROM svv_user_info WHERE user_name = 'app'",
        &["false false 7 RESTRICTED 600"],
    ),
    (
        "SELECT groname FROM pg_group, pg_user WHERE usesysid = ANY(grolist) AND usename = 'app'",
        &["g"],
    ),
    (
        "SELECT usename, passwd, useconfig FROM pg_user WHERE usename = 'app'",
        &["app ******** {query_group=quick}"],
    ),
    (
        "SELECT role_name FROM svv_roles WHERE role_owner = 'admin'",
        &["r"],
    ),
];

#[tokio::test]
async fn the_views_show_grants_in_redshifts_terms() {
    let setup = furnished().await;
    for (sql, expected) in SEEN {
        assert_eq!(setup.column("admin", sql).await, expected, "{sql}");
    }
    for none in [
        "svv_datashare_privileges",
        "svv_iam_privileges",
        "svv_rls_attached_policy",
        "svv_attached_masking_policy",
    ] {
        assert_eq!(
            setup
                .column("admin", &format!("SELECT * FROM {none}"))
                .await,
            [""; 0]
        );
    }
}

#[tokio::test]
async fn users_see_their_own_rows_by_default() {
    let setup = furnished().await;
    setup.user("other").await;
    let relations = SEEN[0].0;
    assert_eq!(setup.column("app", relations).await, SEEN[0].1, "the own");
    assert_eq!(setup.column("other", relations).await, [""; 0]);
    assert_eq!(
        setup
            .column("other", "SELECT user_name FROM svv_user_info")
            .await,
        ["other"]
    );
    let (give, take) = (
        "ALTER USER other SYSLOG ACCESS UNRESTRICTED",
        "ALTER USER other SYSLOG ACCESS RESTRICTED",
    );
    setup.admin(&[give]).await;
    assert_eq!(setup.column("other", relations).await, SEEN[0].1, "{give}");
    setup.admin(&[take]).await;
    assert_eq!(setup.column("other", relations).await, [""; 0], "{take}");
    let hidden = setup.run("other", "SELECT * FROM pg_user_info").await;
    assert!(
        hidden.unwrap_err().contains("permission denied"),
        "a superuser's only"
    );
}

#[tokio::test]
async fn revoked_privileges_are_not_in_the_views() {
    let setup = furnished().await;
    setup
        .admin(&[
            "REVOKE GRANT OPTION FOR SELECT ON s.t FROM app",
            "REVOKE ALL ON s.v FROM app",
            "REVOKE DROP ON s.t FROM app",
            "REVOKE UPDATE (a) ON s.t FROM app",
            "REVOKE ALL ON SCHEMA s FROM app",
            "REVOKE EXECUTE ON MODEL s.m FROM app",
            "REVOKE CREATE MODEL FROM app",
            "ALTER USER app RESET query_group",
            "ALTER DEFAULT PRIVILEGES FOR USER admin IN SCHEMA s REVOKE SELECT ON TABLES FROM app",
            "ALTER DEFAULT PRIVILEGES FOR USER admin REVOKE EXECUTE ON PROCEDURES FROM app",
        ])
        .await;
    assert_eq!(setup.column("admin", SEEN[0].0).await, ["s t SELECT false"]);
    for at in [2, 3, 7, 8] {
        assert_eq!(
            setup.column("admin", SEEN[at].0).await,
            [""; 0],
            "{}",
            SEEN[at].0
        );
    }
    assert_eq!(
        setup.column("admin", SEEN[12].0).await,
        ["app ******** null"]
    );
}

#[tokio::test]
async fn every_database_has_its_own_views_and_grants() {
    let setup = furnished().await;
    setup.admin(&["CREATE DATABASE second"]).await;
    let there = |sql: &str| {
        setup
            .execute("admin", sql)
            .database("second")
            .wait_time_seconds(30)
    };
    for sql in [
        "CREATE TABLE only_here (n int)",
        "GRANT SELECT ON only_here TO app",
    ] {
        there(sql).send().await.unwrap();
    }
    let query = "SELECT relation_name FROM svv_relation_privileges WHERE identity_name = 'app'";
    let submitted = there(query).send().await.unwrap();
    let rows = setup
        .client
        .get_statement_result()
        .id(submitted.id().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(rows.total_num_rows(), 1);
    let databases =
        "SELECT database_name FROM svv_redshift_databases WHERE database_type = 'local'";
    assert_eq!(setup.column("admin", databases).await, ["dev", "second"]);
    let refused = setup
        .batch("admin", &["CREATE DATABASE third"])
        .wait_time_seconds(30)
        .send()
        .await
        .unwrap();
    assert_eq!(
        refused.status().unwrap().as_str(),
        "FAILED",
        "not in a transaction"
    );
}
