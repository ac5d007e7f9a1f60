//! Pairs: privileges, ownership, settings, cuts, names, locks.

use sqlx::Row;
use std::num::NonZeroU32;

use super::server::{Case, Server, new_password, quoted, run, try_run};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::SecretString;
use twinkey::engine::{Credentials, Engine, EngineError};
use twinkey::secret::pair::Which;
use twinkey::secret::{ExposeSecret, verifier};

pub async fn all(server: &Server) {
    both_users_can_do_the_same_whoever_is_active(server).await;
    a_hostile_name_is_only_a_name(server).await;
    a_standby_without_its_password_cannot_sign_in_wherever_the_run_is_cut(server).await;
    a_pair_made_by_another_tool_is_adopted(server).await;
    what_the_master_lacks_is_reported_with_the_statement_that_mends_it(server).await;
    a_busy_table_is_left_alone_within_the_lock_timeout(server).await;
    only_one_connection_holds_the_lock_of_a_pair(server).await;
    sessions_of_the_standby_are_seen(server).await;
    a_verifier_is_what_the_server_would_have_stored(server).await;
    a_superuser_and_the_master_itself_are_refused(server).await;
}

async fn both_users_can_do_the_same_whoever_is_active(server: &Server) {
    let mut case = server.case("app", "app_db").await;
    server
        .sql(
            "postgres",
            "ALTER ROLE app SET search_path = \"$user\", public, \"odd, \"\"one\"; \
             ALTER ROLE app SET statement_timeout = '7s'; ALTER ROLE app CONNECTION LIMIT 7; \
             ALTER ROLE app IN DATABASE app_db SET work_mem = '5MB'; \
             ALTER ROLE app VALID UNTIL '2099-01-02 03:04:05+00'",
        )
        .await;
    run(
        &mut case.app().await,
        "CREATE SCHEMA s0; CREATE TABLE public.by_round_0 (n int)",
    )
    .await;
    for round in 1..=4 {
        case.rotate().await;
        let mut app = case.app().await;
        for earlier in 0..round {
            let table = format!("public.by_round_{earlier}");
            run(&mut app, &format!("ALTER TABLE {table} ADD COLUMN c{round} int; INSERT INTO {table} VALUES ({round})")).await;
        }
        run(
            &mut app,
            &format!("CREATE TABLE public.by_round_{round} (n int)"),
        )
        .await;
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
            assert_eq!(
                row.get::<String, _>(2),
                "app",
                "whoever signs in works as the base user"
            );
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

/// Somebody changes things between two runs.
async fn drift(server: &Server, case: &Case<'_>, round: i32) {
    let change = match round {
        1 => {
            "ALTER ROLE app_clone SET lock_timeout = '9s'; ALTER ROLE app_clone IN DATABASE app_db RESET work_mem; ALTER ROLE app_clone IN DATABASE app_db SET work_mem = '5MB'"
        }
        2 => {
            "CREATE ROLE readers; GRANT readers TO app; GRANT SELECT ON public.by_round_0 TO app_clone"
        }
        3 => "REVOKE readers FROM app",
        _ => return,
    };
    server.sql("app_db", change).await;
    let differences = case.differences().await;
    let wanted: &[&str] = match round {
        1 => &[r#"ALTER ROLE "app" SET "lock_timeout" TO '9s'"#],
        2 if server.version >= 16 => &[
            r#"GRANT "app" TO "rdsmaster" WITH INHERIT TRUE, SET TRUE"#,
            r#"REVOKE ALL PRIVILEGES ON TABLE public.by_round_0 FROM "app_clone""#,
            r#"REVOKE "app" FROM "rdsmaster""#,
        ],
        2 => &[
            r#"GRANT "app" TO "rdsmaster""#,
            r#"REVOKE ALL PRIVILEGES ON TABLE public.by_round_0 FROM "app_clone""#,
            r#"REVOKE "app" FROM "rdsmaster""#,
        ],
        _ => &[],
    };
    assert_eq!(differences, wanted);
}

async fn a_hostile_name_is_only_a_name(server: &Server) {
    let names = [
        r#"a"b'; DROP TABLE x; --"#,
        "Upper Case",
        "ünï-çødé $1 \\",
        &"x".repeat(57),
        "select",
        "a=b",
    ];
    for (number, name) in names.iter().enumerate() {
        let mut case = server.case(name, &format!("hostile_{number}")).await;
        server
            .sql(
                "postgres",
                &format!(
                    "ALTER ROLE {} SET search_path = {}",
                    quoted(name),
                    quoted(name)
                ),
            )
            .await;
        case.rotate().await;
        case.rotate().await;
        run(&mut case.app().await, "CREATE TABLE public.t ()").await;
    }
    for name in ["x".repeat(64), "a\0b".into(), "a,b".into(), String::new()] {
        server.engine.check_user_name(&name).unwrap_err();
    }
}

async fn a_standby_without_its_password_cannot_sign_in_wherever_the_run_is_cut(server: &Server) {
    let mut case = server.case("cut", "cut_db").await;
    let inspection = case.inspect().await;
    let next = Credentials {
        username: case.pair.standby_user().into(),
        password: new_password(),
    };
    let target = server.target("cut_db");
    for cut in 0..=inspection.differences.len() {
        let mut admin = case.admin().await;
        // Earlier cuts left their part; a run sees only what is left.
        let left = case.inspect().await.differences;
        let first = left.get(..1.min(left.len())).unwrap_or_default();
        admin.apply(first, &next.password).await.unwrap();
        let refused = server
            .engine
            .sign_in(&target, &next, &[])
            .await
            .unwrap_err();
        assert!(
            matches!(refused, EngineError::SignIn { .. }),
            "cut {cut}: {refused}"
        );
        let active = server.engine.sign_in(&target, &case.current, &[]).await;
        active.expect("the active user is as before");
    }
    assert!(case.differences().await.is_empty());
    case.rotate().await;
}

async fn a_pair_made_by_another_tool_is_adopted(server: &Server) {
    let mut case = server.case("adopted", "adopted_db").await;
    let password = new_password();
    server
        .quietly(
            "postgres",
            &format!(
                "CREATE ROLE adopted_clone LOGIN PASSWORD '{}'; GRANT adopted TO adopted_clone",
                password.expose_secret()
            ),
        )
        .await;
    server
        .sql("postgres", "CREATE DATABASE adopted_too OWNER adopted")
        .await;
    server.let_master_rotate("adopted_clone").await;
    let by_clone = Credentials {
        username: "adopted_clone".into(),
        password,
    };
    for database in ["adopted_db", "adopted_too"] {
        server
            .sql(database, "GRANT CREATE ON SCHEMA public TO adopted_clone")
            .await;
        let mut app = server.connect_as(database, &by_clone).await;
        run(&mut app, "CREATE TABLE public.t (n int); CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1").await;
        server.sql(database, "REVOKE CREATE ON SCHEMA public FROM adopted_clone; GRANT CREATE ON SCHEMA public TO adopted").await;
    }
    // The clone is active: its objects are handed over, its role setting is not touched.
    case.pair.active = Which::Clone;
    case.current = by_clone;
    let before = case.rotate().await;
    assert!(
        before
            .differences
            .iter()
            .all(|c| !c.statement.to_string().contains("SET \"role\""))
    );
    for database in ["adopted_db", "adopted_too"] {
        let mut app = server.connect_as(database, &case.current).await;
        run(
            &mut app,
            "ALTER TABLE public.t ADD COLUMN m int; ALTER FUNCTION public.f() STABLE",
        )
        .await;
    }
    assert!(!case.clone_is_active());
    let before = case.rotate().await;
    assert!(
        before
            .differences
            .iter()
            .any(|c| c.statement.to_string().contains("SET \"role\""))
    );
    run(&mut case.app().await, "CREATE TABLE public.u ()").await;
    assert!(case.differences().await.is_empty());
    let row = sqlx::query("SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = 'rdsmaster' AND m.roleid::regrole::text LIKE 'adopted%' AND to_jsonb(m) ->> 'inherit_option' = 'true'")
        .fetch_one(&mut server.connect("postgres").await)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 0, "the master kept a membership");
}

async fn what_the_master_lacks_is_reported_with_the_statement_that_mends_it(server: &Server) {
    let mut case = server.case("lacking", "lacking_db").await;
    if server.version >= 16 {
        server
            .sql("postgres", "REVOKE lacking FROM rdsmaster")
            .await;
    } else {
        server
            .sql("postgres", "ALTER ROLE rdsmaster NOCREATEROLE")
            .await;
    }
    server
        .sql(
            "postgres",
            "ALTER ROLE lacking SET log_min_messages = 'error'",
        )
        .await;
    let missing = case.inspect().await.missing;
    assert_eq!(missing.len(), 2, "{missing:#?}");
    for lack in missing {
        server.sql("postgres", &lack.fix.unwrap()).await;
    }
    case.rotate().await;
}

async fn a_busy_table_is_left_alone_within_the_lock_timeout(server: &Server) {
    let mut case = server.case("busy", "busy_db").await;
    case.rotate().await;
    case.rotate().await;
    server
        .sql(
            "busy_db",
            "CREATE TABLE public.held (); ALTER TABLE public.held OWNER TO busy_clone",
        )
        .await;
    let mut holder = server.connect("busy_db").await;
    run(
        &mut holder,
        "BEGIN; LOCK TABLE public.held IN ACCESS SHARE MODE",
    )
    .await;
    let before = case.inspect().await;
    let mut changes = before.differences.clone();
    changes.extend(before.set_password.clone());
    let error = case
        .admin()
        .await
        .apply(&changes, &new_password())
        .await
        .unwrap_err();
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

async fn only_one_connection_holds_the_lock_of_a_pair(server: &Server) {
    let case = server.case("locked", "locked_db").await;
    let (mut one, mut two) = (case.admin().await, case.admin().await);
    assert!(one.lock(&case.pair).await.unwrap());
    assert!(!two.lock(&case.pair).await.unwrap());
    drop(one);
    while !two.lock(&case.pair).await.unwrap() {
        tokio::task::yield_now().await;
    }
}

async fn sessions_of_the_standby_are_seen(server: &Server) {
    let case = server.case("seen", "seen_db").await;
    let _app = case.app().await;
    let sessions = case.admin().await.sessions("seen").await.unwrap().unwrap();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert!(
        case.inspect()
            .await
            .findings
            .iter()
            .any(|f| f.what.contains("not from where"))
    );
    server
        .sql("postgres", "GRANT pg_read_all_stats TO rdsmaster")
        .await;
    let sessions = case.admin().await.sessions("seen").await.unwrap().unwrap();
    assert_eq!(sessions[0].client.as_deref(), Some("127.0.0.1"));
    assert!(sessions[0].since.is_some());
    server
        .sql("postgres", "REVOKE pg_read_all_stats FROM rdsmaster")
        .await;
}

async fn a_verifier_is_what_the_server_would_have_stored(server: &Server) {
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

async fn a_superuser_and_the_master_itself_are_refused(server: &Server) {
    let mut case = server.case("mighty", "mighty_db").await;
    server.sql("postgres", "ALTER ROLE mighty SUPERUSER").await;
    let refused = |found: &[twinkey::engine::Finding]| {
        found
            .iter()
            .any(|f| f.severity == twinkey::engine::Severity::Error)
    };
    assert!(refused(&case.inspect().await.findings));
    case.pair = twinkey::secret::pair::Pair::of("rdsmaster", "_clone");
    assert!(refused(&case.inspect().await.findings));
    let error = try_run(
        &mut server.connect_as("postgres", &server.master).await,
        "ALTER ROLE mighty NOSUPERUSER",
    )
    .await;
    error.expect_err("the master is no superuser");
}

/// Every statement was logged: no verifier's password is there, nor 8 characters of one.
pub fn the_log_holds_no_password(server: &Server) {
    let log = std::fs::read_to_string(server.postgres.log_path()).unwrap();
    assert!(
        log.contains("LOGIN PASSWORD 'SCRAM-SHA-256$4096:"),
        "passwords were set"
    );
    for password in super::server::handed_out() {
        for at in 0..=password.len() - 8 {
            assert!(
                !log.contains(&password[at..at + 8]),
                "a password is in the log"
            );
        }
    }
}
