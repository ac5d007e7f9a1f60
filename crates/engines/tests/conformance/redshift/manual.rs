//! Rules of Redshift's manual that PostgreSQL does not have.

use twinkey_core::code::Code;
use twinkey_engines::{EngineError, Severity};

use super::copies::rows;
use super::{Server, run};
use crate::case::{Case, all_changes, refusal, rendered};
use twinkey_testkit::aws::redshift::HOME;

pub async fn all(server: &Server) {
    names_in_upper_case_are_kept(server).await;
    a_model_is_granted_in_place_of_its_function(server).await;
    open_temporary_tables_are_ignored(server).await;
    a_grant_of_a_third_user_is_named(server).await;
    one_privilege_of_two_grantors_is_one(server).await;
    grants_in_a_shared_database_are_compared(server).await;
    refused_queries_are_reported(server).await;
    an_invalid_end_of_a_password_is_none(server).await;
    views_take_select_and_drop_only(server).await;
    reserved_roles_receive_no_grants(server).await;
    a_refused_change_of_an_owner_is_left(server).await;
    a_change_of_an_owner_waits_for_seconds_only(server).await;
    a_dropped_object_and_a_conflict_are_temporary(server).await;
}

/// A pair whose clone, the next standby, owns the table.
async fn with_table_of_the_clone<'a>(server: &'a Server, base: &str, table: &str) -> Case<'a> {
    let mut case = Case::new(server, base).await;
    case.rotate().await;
    let mut app = server.connect_as(HOME, &case.current).await;
    let create = format!("CREATE TABLE {}.{table} (n int)", case.namespace);
    run(&mut app, &create).await;
    case.rotate().await;
    case
}

async fn owner_of(server: &Server, table: &str) -> Vec<String> {
    let sql = format!("SELECT tableowner FROM pg_tables WHERE tablename = '{table}'");
    rows(server, HOME, &sql).await
}

async fn a_refused_change_of_an_owner_is_left(server: &Server) {
    let mut case = with_table_of_the_clone(server, "keeper", "kept_table").await;
    let reason = "must be owner of relation kept_table";
    // In the batch, and alone.
    let redshift = server.stand_in.redshift();
    redshift.fail("\"kept_table\" OWNER TO", 2, reason);
    case.rotate().await;
    assert_eq!(owner_of(server, "kept_table").await, ["(keeper_clone)"]);
    case.rotate().await;
    case.rotate().await;
    assert_eq!(owner_of(server, "kept_table").await, ["(keeper)"]);
}

async fn a_change_of_an_owner_waits_for_seconds_only(server: &Server) {
    let mut case = with_table_of_the_clone(server, "reader", "read_table").await;
    let mut app = server.connect_as(HOME, &case.current).await;
    let select = format!("SELECT * FROM {}.read_table", case.namespace);
    run(&mut app, "BEGIN").await;
    run(&mut app, &select).await;
    let mut admin = case.admin().await;
    assert!(admin.lock(&case.pair).await.unwrap().is_taken());
    let changes = all_changes(&case.inspect_by(admin.as_mut(), None).await);
    let next = case.next();
    let late = admin.apply(&rendered(&changes, &next.password)).await;
    let late = late.unwrap_err();
    assert!(matches!(late, EngineError::Busy { .. }), "{late}");
    admin.close().await;
    run(&mut app, "ROLLBACK").await;
    case.rotate().await;
    assert_eq!(owner_of(server, "read_table").await, ["(reader)"]);
}

async fn a_dropped_object_and_a_conflict_are_temporary(server: &Server) {
    let mut case = Case::new(server, "dropper").await;
    let place = case.namespace.clone();
    let grant = format!("GRANT SELECT ON {place}.whole TO dropper");
    server.dba(HOME, &[&grant]).await;
    let redshift = server.stand_in.redshift();
    for attempt in ["dropped", "conflict"] {
        let mut admin = case.admin().await;
        assert!(admin.lock(&case.pair).await.unwrap().is_taken());
        let changes = all_changes(&case.inspect_by(admin.as_mut(), None).await);
        if attempt == "dropped" {
            let drop = format!("DROP TABLE {place}.whole");
            server.dba(HOME, &[&drop]).await;
        } else {
            redshift.fail("UPDATE twinkey.locks", 1, "1023");
        }
        let next = case.next();
        let failed = admin.apply(&rendered(&changes, &next.password)).await;
        let failed = failed.unwrap_err();
        assert!(
            matches!(failed, EngineError::Busy { .. }),
            "{attempt}: {failed}"
        );
        admin.close().await;
    }
    case.rotate().await;
}

/// Runs PostgreSQL's SQL as the superuser in one session.
async fn raw(server: &Server, statements: &[&str]) {
    let mut root = server.stand_in.redshift().root(HOME).await.unwrap();
    for sql in statements {
        run(&mut root, sql).await;
    }
}

async fn a_model_is_granted_in_place_of_its_function(server: &Server) {
    let mut case = Case::new(server, "modeler").await;
    let create = format!(
        "SELECT pg_stand_in.create_model('own_model', '{}', 'predict')",
        case.namespace
    );
    raw(server, &["SET SESSION AUTHORIZATION modeler", &create]).await;
    server.dba(HOME, &["GRANT CREATE MODEL TO modeler"]).await;
    case.rotate().await;
    let model = "SELECT model_name, privilege_type FROM svv_ml_model_privileges WHERE identity_name = 'modeler_clone'";
    assert_eq!(rows(server, HOME, model).await, ["(own_model,EXECUTE)"]);
    let language =
        "SELECT language_name FROM svv_language_privileges WHERE identity_name = 'modeler_clone'";
    assert_eq!(rows(server, HOME, language).await, ["(mlfunc)"]);
    case.rotate().await;
}

async fn open_temporary_tables_are_ignored(server: &Server) {
    let mut case = Case::new(server, "temporary").await;
    case.rotate().await;
    let mut app = server.connect_as(HOME, &case.current).await;
    run(&mut app, "CREATE TEMP TABLE scratch (n int)").await;
    let granted = "SELECT DISTINCT relation_name FROM svv_relation_privileges WHERE relation_name = 'scratch' AND identity_name = 'temporary'";
    assert_eq!(
        rows(server, HOME, granted).await,
        ["(scratch)"],
        "by a default privilege"
    );
    case.rotate().await;
}

/// A REVOKE takes only what its own user granted.
async fn a_grant_of_a_third_user_is_named(server: &Server) {
    let mut case = Case::new(server, "third").await;
    case.rotate().await;
    let table = format!("{}.whole", case.namespace);
    server
        .dba(
            HOME,
            &[
                "CREATE USER lender PASSWORD DISABLE",
                &format!("GRANT USAGE ON SCHEMA {} TO lender", case.namespace),
                &format!("GRANT SELECT ON {table} TO lender WITH GRANT OPTION"),
                // One statement revokes both, and a part of it stays.
                &format!("GRANT INSERT ON {table} TO third"),
            ],
        )
        .await;
    raw(
        server,
        &[
            "SET SESSION AUTHORIZATION lender",
            &format!("GRANT SELECT ON {table} TO third"),
        ],
    )
    .await;
    let mut admin = case.admin().await;
    assert!(admin.lock(&case.pair).await.unwrap().is_taken());
    let before = case.inspect_by(admin.as_mut(), None).await;
    let found = refusal(&before).expect("a run would leave it");
    assert_eq!(found.code, Some(Code::PrivilegesDiffer));
    assert!(
        found.what.contains("\"lender\" granted it"),
        "{}",
        found.what
    );
    let part = format!(
        "SET SESSION AUTHORIZATION \"lender\"; REVOKE SELECT ON TABLE \"{}\".\"whole\" FROM \"third\"; RESET SESSION AUTHORIZATION",
        case.namespace
    );
    assert_eq!(found.fix.as_deref(), Some(&*part));
    // As on a cluster that shows no grantors.
    let changes = all_changes(&before);
    let next = case.next();
    admin
        .apply(&rendered(&changes, &next.password))
        .await
        .unwrap();
    let after = case.inspect_by(admin.as_mut(), None).await;
    assert_eq!(after.differences.len(), 1, "{:#?}", after.differences);
    let why = &after.differences[0].why;
    let fix = format!(
        "SET SESSION AUTHORIZATION \"lender\"; {}; RESET SESSION AUTHORIZATION",
        after.differences[0].statement
    );
    assert!(why.contains(&fix), "{why}");
    admin.close().await;
    raw(server, &fix.split("; ").collect::<Vec<_>>()).await;
    assert_eq!(case.differences().await, [""; 0]);
}

async fn one_privilege_of_two_grantors_is_one(server: &Server) {
    let mut case = Case::new(server, "twice").await;
    let table = format!("{}.whole", case.namespace);
    server
        .dba(
            HOME,
            &[
                "CREATE USER second PASSWORD DISABLE",
                &format!("GRANT USAGE ON SCHEMA {} TO second", case.namespace),
                &format!("GRANT SELECT, INSERT ON {table} TO second WITH GRANT OPTION"),
                &format!("GRANT SELECT ON {table} TO twice WITH GRANT OPTION"),
            ],
        )
        .await;
    raw(
        server,
        &[
            "SET SESSION AUTHORIZATION second",
            &format!("GRANT SELECT, INSERT ON {table} TO twice"),
            "RESET SESSION AUTHORIZATION",
            &format!("GRANT INSERT ON {table} TO twice WITH GRANT OPTION"),
        ],
    )
    .await;
    case.rotate().await;
    let held = "SELECT privilege_type, admin_option FROM svv_relation_privileges WHERE identity_name = 'twice_clone' AND relation_name = 'whole'";
    assert_eq!(rows(server, HOME, held).await, ["(INSERT,t)", "(SELECT,t)"]);
}

async fn grants_in_a_shared_database_are_compared(server: &Server) {
    let mut case = Case::new(server, "sharer").await;
    case.rotate().await;
    let share = |user: &str| {
        format!(
            "INSERT INTO pg_stand_in.shared VALUES ('sales', 'public', 'orders', 'SELECT', '{user}')"
        )
    };
    raw(server, &[&share("sharer")]).await;
    server
        .dba(HOME, &["GRANT USAGE ON DATABASE sales TO sharer"])
        .await;
    let seen = case.inspect().await;
    let refused = refusal(&seen).expect("the standby has no grant there");
    let what = "SELECT on the table \"public\".\"orders\" of the shared database \"sales\"";
    assert!(refused.what.contains(what), "{}", refused.what);
    raw(server, &[&share("sharer_clone")]).await;
    case.rotate().await;
    raw(server, &["DELETE FROM pg_stand_in.shared"]).await;
}

async fn refused_queries_are_reported(server: &Server) {
    let mut case = Case::new(server, "refused").await;
    for (view, what) in [
        (
            "svv_rls_attached_policy",
            Some("row-level security policies"),
        ),
        ("svv_attached_masking_policy", Some("masking policies")),
        ("svv_ml_model_info", Some("models")),
        ("pg_shadow", None),
    ] {
        // In the batch, and alone.
        let reason = format!("permission denied for relation {view}");
        server.stand_in.redshift().fail(view, 2, &reason);
        let seen = case.inspect().await;
        assert_eq!(refusal(&seen), None);
        let said: Vec<&str> = seen.findings.iter().map(|f| &*f.what).collect();
        match what {
            Some(what) => {
                assert_eq!(seen.findings[0].severity, Severity::Warning);
                assert!(
                    said[0].contains(what) && said[0].contains(&reason),
                    "{said:#?}"
                );
            }
            None => assert_eq!(said, [""; 0]),
        }
        assert!(!seen.differences.is_empty());
    }
    case.rotate().await;
}

/// `valuntil` is an abstime, which has the value `invalid`.
async fn an_invalid_end_of_a_password_is_none(server: &Server) {
    let mut case = Case::new(server, "ended").await;
    raw(
        server,
        &["SELECT pg_stand_in.note('ended', '{\"valuntil\": \"invalid\"}')"],
    )
    .await;
    case.rotate().await;
}

async fn views_take_select_and_drop_only(server: &Server) {
    let mut case = Case::new(server, "viewer").await;
    let place = case.namespace.clone();
    let mut app = server.connect_as(HOME, &case.current).await;
    run(
        &mut app,
        &format!("CREATE VIEW {place}.own_view AS SELECT 1 AS n"),
    )
    .await;
    server
        .dba(
            HOME,
            &[
                &format!("CREATE VIEW {place}.given AS SELECT 1 AS n"),
                &format!("GRANT ALL ON {place}.given TO viewer"),
            ],
        )
        .await;
    case.rotate().await;
    let held = |view: &str| {
        format!(
            "SELECT privilege_type FROM svv_relation_privileges WHERE identity_name = 'viewer_clone' AND relation_name = '{view}'"
        )
    };
    assert_eq!(
        rows(server, HOME, &held("own_view")).await,
        ["(DROP)", "(SELECT)"]
    );
    assert_eq!(
        rows(server, HOME, &held("given")).await,
        ["(DROP)", "(SELECT)"]
    );
    case.rotate().await;
}

async fn reserved_roles_receive_no_grants(server: &Server) {
    let mut case = Case::new(server, "producer").await;
    raw(
        server,
        &[
            "CREATE ROLE \"ds:share\" NOLOGIN",
            "COMMENT ON ROLE \"ds:share\" IS '{\"kind\": \"role\"}'",
            "ALTER DEFAULT PRIVILEGES FOR ROLE producer GRANT SELECT ON TABLES TO \"ds:share\"",
        ],
    )
    .await;
    case.rotate().await;
}

/// Names in quotes are folded to lower case while `enable_case_sensitive_identifier` is off.
async fn names_in_upper_case_are_kept(server: &Server) {
    let mut case = Case::new(server, "cased").await;
    let place = case.namespace.clone();
    let made = [
        "SET enable_case_sensitive_identifier TO true",
        "CREATE SCHEMA \"{p}_Mixed\"",
        "GRANT USAGE, CREATE ON SCHEMA \"{p}_Mixed\" TO cased",
        "CREATE TABLE \"{p}_Mixed\".\"Orders\" (\"Seen\" int, n int)",
        "CREATE TABLE \"{p}_Mixed\".orders (n int)",
        "CREATE TABLE \"{p}_Mixed\".\"Part\" (\"Seen\" int, n int)",
        "GRANT SELECT, INSERT ON TABLE \"{p}_Mixed\".\"Orders\" TO cased",
        "GRANT SELECT (\"Seen\") ON TABLE \"{p}_Mixed\".\"Part\" TO cased",
    ]
    .map(|sql| sql.replace("{p}", &place));
    let made: Vec<&str> = made.iter().map(String::as_str).collect();
    server.dba(HOME, &made).await;
    case.rotate().await;
    let held = format!(
        "SELECT relation_name, privilege_type FROM svv_relation_privileges \
         WHERE identity_name = 'cased_clone' AND namespace_name = '{place}_Mixed'"
    );
    let both = ["(Orders,INSERT)", "(Orders,SELECT)"];
    assert_eq!(rows(server, HOME, &held).await, both);
    let columns =
        "SELECT column_name FROM svv_column_privileges WHERE identity_name = 'cased_clone'";
    assert_eq!(rows(server, HOME, columns).await, ["(Seen)"]);
    // A table of the clone changes its owner while the clone is the standby.
    let create = format!("CREATE TABLE \"{place}_Mixed\".\"Made\" (n int)");
    let mut app = server.connect_as(HOME, &case.current).await;
    run(&mut app, &create).await;
    case.rotate().await;
    case.rotate().await;
    let owner = format!(
        "SELECT tableowner FROM pg_tables WHERE schemaname = '{place}_Mixed' AND tablename = 'Made'"
    );
    assert_eq!(rows(server, HOME, &owner).await, ["(cased)"]);
}
