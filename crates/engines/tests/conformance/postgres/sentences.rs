//! Tests of PostgreSQL only: role settings, ownership, table locks, its forms of a password.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::SecretString;
use sqlx::Row;
use twinkey_core::code::Diagnostic as _;
use twinkey_core::secret::pair::PairMember;
use twinkey_core::secret::{ExposeSecret, verifier};
use twinkey_engines::{Credentials, EngineError};

use super::{MASTER, Server, quoted, run, try_run};
use crate::case::{Case, all_changes, rendered};
use crate::harness::Harness;
use crate::passwords::new_password;

pub async fn all(server: &Server) {
    both_users_work_as_the_base_user_with_its_limits(server).await;
    a_pair_made_by_another_tool_is_adopted(server).await;
    a_busy_table_delays_a_run_by_the_lock_timeout_only(server).await;
    a_reader_of_statistics_sees_addresses_of_sessions(server).await;
    a_verifier_equals_the_one_that_the_server_makes(server).await;
    the_master_is_no_superuser(server).await;
}

async fn both_users_work_as_the_base_user_with_its_limits(server: &Server) {
    let mut case = Case::new(server, "configured").await;
    let namespace = &case.namespace;
    server
        .sql(
            "postgres",
            &format!(
                "ALTER ROLE configured SET search_path = \"$user\", public, \"odd, \"\"one\"; \
                 ALTER ROLE configured SET statement_timeout = '7s'; ALTER ROLE configured CONNECTION LIMIT 7; \
                 ALTER ROLE configured IN DATABASE {namespace} SET work_mem = '5MB'; \
                 ALTER ROLE configured VALID UNTIL '2099-01-02 03:04:05+00'"
            ),
        )
        .await;
    for round in 1..=4 {
        case.rotate().await;
        case.run_workload().await;
        let mut app = server.connect_as(&case.namespace, &case.current).await;
        for (setting, wanted) in [
            ("search_path", "\"$user\", public, \"odd, \"\"one\""),
            ("statement_timeout", "7s"),
            ("work_mem", "5MB"),
        ] {
            let row =
                sqlx::query("SELECT current_setting($1), session_user::text, current_user::text")
                    .bind(setting)
                    .fetch_one(&mut app)
                    .await
                    .unwrap();
            assert_eq!(row.get::<String, _>(0), wanted);
            assert_eq!(row.get::<String, _>(1), case.current.username);
            assert_eq!(row.get::<String, _>(2), "configured");
        }
        let row = sqlx::query("SELECT rolconnlimit, rolvaliduntil = '2099-01-02 03:04:05+00' FROM pg_roles WHERE rolname = $1")
            .bind(&case.current.username)
            .fetch_one(&mut app)
            .await
            .unwrap();
        assert_eq!((row.get::<i32, _>(0), row.get::<bool, _>(1)), (7, true));
        drift(server, &case, round).await;
    }
}

/// Changes settings and limits between two runs.
async fn drift(server: &Server, case: &Case<'_>, round: i32) {
    let namespace = &case.namespace;
    let change = match round {
        1 => format!(
            "ALTER ROLE configured_clone SET lock_timeout = '9s'; ALTER ROLE configured_clone IN DATABASE {namespace} RESET work_mem; ALTER ROLE configured_clone IN DATABASE {namespace} SET work_mem = '5MB'"
        ),
        2 => "CREATE ROLE readers; GRANT readers TO configured; GRANT SELECT ON public.by_round_0 TO configured_clone".into(),
        3 => "REVOKE readers FROM configured".into(),
        _ => return,
    };
    server.sql(namespace, &change).await;
    let differences = case.differences().await;
    let wanted: &[&str] = match round {
        1 => &[r#"ALTER ROLE "configured" SET "lock_timeout" TO '9s'"#],
        2 if server.version >= 16 => &[
            r#"GRANT "configured" TO "rdsmaster" WITH INHERIT TRUE, SET TRUE"#,
            r#"REVOKE ALL PRIVILEGES ON TABLE public.by_round_0 FROM "configured_clone""#,
            r#"REVOKE "configured" FROM "rdsmaster""#,
        ],
        2 => &[
            r#"GRANT "configured" TO "rdsmaster""#,
            r#"REVOKE ALL PRIVILEGES ON TABLE public.by_round_0 FROM "configured_clone""#,
            r#"REVOKE "configured" FROM "rdsmaster""#,
        ],
        _ => &[],
    };
    assert_eq!(differences, wanted);
}

async fn a_pair_made_by_another_tool_is_adopted(server: &Server) {
    let mut case = Case::new(server, "adopted").await;
    let by_clone = Credentials {
        username: "adopted_clone".into(),
        password: new_password(),
    };
    server.make_user(&by_clone, "LOGIN").await;
    server
        .sql("postgres", "GRANT adopted TO adopted_clone")
        .await;
    server
        .sql("postgres", "CREATE DATABASE adopted_too OWNER adopted")
        .await;
    server.let_master_rotate("adopted_clone").await;
    let databases = [case.namespace.clone(), "adopted_too".into()];
    for database in &databases {
        server
            .sql(database, "GRANT CREATE ON SCHEMA public TO adopted_clone")
            .await;
        let mut app = server.connect_as(database, &by_clone).await;
        run(&mut app, "CREATE TABLE public.t (n int); CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1").await;
        server.sql(database, "REVOKE CREATE ON SCHEMA public FROM adopted_clone; GRANT CREATE ON SCHEMA public TO adopted").await;
    }
    // The clone is active: its objects are handed over, and its role setting stays.
    case.pair.active = PairMember::Clone;
    case.current = by_clone;
    assert!(!sets_the_role(&mut case).await);
    for database in &databases {
        let mut app = server.connect_as(database, &case.current).await;
        run(
            &mut app,
            "ALTER TABLE public.t ADD COLUMN m int; ALTER FUNCTION public.f() STABLE",
        )
        .await;
    }
    assert_eq!(case.pair.active, PairMember::Base);
    assert!(sets_the_role(&mut case).await);
    case.run_workload().await;
    assert_eq!(case.differences().await, [""; 0]);
    let row = sqlx::query("SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = 'rdsmaster' AND m.roleid::regrole::text LIKE 'adopted%' AND to_jsonb(m) ->> 'inherit_option' = 'true'")
        .fetch_one(&mut server.connect("postgres").await)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 0, "the master kept a membership");
}

/// Rotates, and returns whether the clone got its role setting.
async fn sets_the_role(case: &mut Case<'_>) -> bool {
    let before = case.rotate().await;
    let mut changes = before.differences.iter();
    changes.any(|change| change.statement.to_string().contains("SET \"role\""))
}

async fn a_busy_table_delays_a_run_by_the_lock_timeout_only(server: &Server) {
    let mut case = Case::new(server, "busy").await;
    case.rotate().await;
    case.rotate().await;
    server
        .sql(
            &case.namespace,
            "CREATE TABLE public.held (); ALTER TABLE public.held OWNER TO busy_clone",
        )
        .await;
    let mut holder = server.connect(&case.namespace).await;
    run(
        &mut holder,
        "BEGIN; LOCK TABLE public.held IN ACCESS SHARE MODE",
    )
    .await;
    let before = case.inspect().await;
    let mut admin = case.admin().await;
    let applied = admin
        .apply(&rendered(&all_changes(&before), &new_password()))
        .await;
    let error = applied.unwrap_err();
    assert!(matches!(error, EngineError::Busy { .. }), "{error}");
    assert!(error.retryable());
    assert_eq!(
        case.inspect().await.differences,
        before.differences,
        "nothing was changed"
    );
    run(&mut holder, "ROLLBACK").await;
    case.rotate().await;
}

async fn a_reader_of_statistics_sees_addresses_of_sessions(server: &Server) {
    let case = Case::new(server, "watched").await;
    let _app = server.open_session(&case.namespace, &case.current).await;
    let findings = case.inspect().await.findings;
    let mut fixes = findings.iter().filter_map(|f| f.fix.as_deref());
    let fix = fixes.find(|fix| fix.starts_with("GRANT pg_read_all_stats "));
    server.sql("postgres", fix.unwrap()).await;
    let seen = case.admin().await.sessions("watched").await;
    let sessions = seen.unwrap().unwrap();
    assert_eq!(sessions[0].client.as_deref(), Some("127.0.0.1"));
    assert!(sessions[0].since.is_some());
    let revoke = format!("REVOKE pg_read_all_stats FROM {MASTER}");
    server.sql("postgres", &revoke).await;
}

async fn a_verifier_equals_the_one_that_the_server_makes(server: &Server) {
    let mut connection = server.connect("postgres").await;
    for password in [
        "pencil",
        "a\u{a0}b",
        "\u{ad}x",
        "pass\u{7}word",
        "Ⅸ ünï",
        "\u{feff}",
    ] {
        run(
            &mut connection,
            &format!("SET log_statement = none; CREATE ROLE verified PASSWORD '{password}'"),
        )
        .await;
        let row = sqlx::query("SELECT rolpassword FROM pg_authid WHERE rolname = 'verified'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let stored: String = row.get(0);
        let salt = stored.split(['$', ':']).nth(2).unwrap();
        let made = verifier::scram_sha_256_with(
            &SecretString::from(password),
            &BASE64_STANDARD.decode(salt).unwrap(),
            NonZeroU32::new(4096).unwrap(),
        );
        assert_eq!(made.expose_secret(), stored, "{password:?}");
        run(
            &mut connection,
            &format!("SET password_encryption = md5; ALTER ROLE verified PASSWORD '{password}'"),
        )
        .await;
        let row = sqlx::query("SELECT rolpassword FROM pg_authid WHERE rolname = 'verified'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let made = verifier::md5(&SecretString::from(password), "verified");
        assert_eq!(made.expose_secret(), row.get::<String, _>(0));
        run(
            &mut connection,
            "DROP ROLE verified; RESET password_encryption",
        )
        .await;
    }
}

/// Precondition of the other tests.
async fn the_master_is_no_superuser(server: &Server) {
    let mut master = server.connect_as("postgres", &server.master).await;
    let superuser = quoted(&server.postgres.superuser().username);
    let tried = try_run(&mut master, &format!("ALTER ROLE {superuser} NOSUPERUSER")).await;
    tried.expect_err("the master is no superuser");
}
