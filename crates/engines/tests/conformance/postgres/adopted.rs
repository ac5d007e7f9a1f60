//! Pairs as AWS's alternating-users function leaves them: the clone is active, a plain member of the
//! base user, without its settings and limits.

use sqlx::Row;
use twinkey_core::secret::pair::PairMember;
use twinkey_engines::{Credentials, Finding, Severity};

use super::{MASTER, Server, run};
use crate::case::Case;
use crate::harness::Harness;
use crate::passwords::new_password;

pub async fn all(server: &Server) {
    privileges_of_both_users_are_no_difference(server).await;
    privileges_of_the_clone_alone_are_refused_with_their_grants(server).await;
    a_privilege_that_its_owner_gave_up_is_refused(server).await;
    the_base_user_keeps_what_only_it_has(server).await;
    an_expiry_that_has_passed_is_replaced(server).await;
}

/// The clone is active, and the base user's credentials are the previous ones.
pub async fn adopted<'a>(server: &'a Server, base: &str) -> Case<'a> {
    let mut case = Case::new(server, base).await;
    let clone = Credentials {
        username: case.pair.clone.clone(),
        password: new_password(),
    };
    server.make_user(&clone, "LOGIN").await;
    let member = format!("GRANT {base} TO {base}_clone");
    server.sql("postgres", &member).await;
    server.let_master_rotate(&clone.username).await;
    case.pair.active = PairMember::Clone;
    case.previous = Some(std::mem::replace(&mut case.current, clone));
    case
}

pub async fn errors(case: &Case<'_>) -> Vec<Finding> {
    let findings = case.inspect().await.findings;
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    findings.into_iter().filter(is_error).collect()
}

/// Privileges of every kind, granted to `{to}`. `shared` is the schema that the master owns.
const GRANTS: [&str; 12] = [
    "GRANT SELECT ON shared.whole TO {to}",
    "GRANT SELECT (seen), UPDATE (unseen) ON shared.part TO {to}",
    "GRANT EXECUTE ON FUNCTION shared.answer() TO {to} WITH GRANT OPTION",
    "GRANT CREATE ON SCHEMA shared TO {to}",
    "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {to}",
    "GRANT USAGE ON SEQUENCE shared.numbers TO {to}",
    "GRANT USAGE ON TYPE shared.mood TO {to}",
    "GRANT SELECT ON LARGE OBJECT {object} TO {to}",
    "GRANT USAGE ON LANGUAGE plpgsql TO {to}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE rdsmaster IN SCHEMA shared GRANT SELECT ON TABLES TO {to}",
    "CREATE POLICY only_{to_name} ON shared.part TO {to} USING (true)",
    "GRANT readers_of_{database} TO {to}",
];

async fn grant_all(server: &Server, case: &Case<'_>, to: &str, object: u32) {
    let database = &case.namespace;
    let more = "CREATE SEQUENCE IF NOT EXISTS shared.numbers; \
        DO 'BEGIN CREATE TYPE shared.mood AS ENUM (''good''); EXCEPTION WHEN duplicate_object THEN END'; \
        REVOKE USAGE ON TYPE shared.mood FROM PUBLIC";
    server.sql(database, more).await;
    server
        .sql(database, &format!("SELECT lo_create({object})"))
        .await;
    for grant in GRANTS {
        let sql = grant
            .replace("{to_name}", &to.replace(", ", "_"))
            .replace("{to}", to)
            .replace("{object}", &object.to_string())
            .replace("{database}", database);
        server.sql(database, &sql).await;
    }
}

async fn privileges_of_both_users_are_no_difference(server: &Server) {
    let mut case = adopted(server, "shared_by").await;
    grant_all(server, &case, "shared_by, shared_by_clone", 4711).await;
    assert_eq!(errors(&case).await, []);
    for _ in 0..3 {
        case.rotate().await;
        case.run_workload().await;
        for privilege in server.privileges() {
            assert!(case.may(&case.current, privilege).await, "{privilege}");
        }
    }
}

async fn privileges_of_the_clone_alone_are_refused_with_their_grants(server: &Server) {
    let mut case = adopted(server, "alone").await;
    // On all databases, PUBLIC has CONNECT and TEMPORARY.
    let public = format!(
        "REVOKE ALL ON DATABASE {0} FROM PUBLIC; GRANT CONNECT ON DATABASE {0} TO {MASTER}; \
         ALTER DATABASE {0} OWNER TO CURRENT_USER; GRANT CONNECT ON DATABASE {0} TO alone; \
         GRANT CREATE ON SCHEMA public TO alone",
        case.namespace
    );
    server.sql(&case.namespace, &public).await;
    assert_eq!(errors(&case).await, []);
    grant_all(server, &case, "alone_clone", 4712).await;
    let found = errors(&case).await;
    // PUBLIC may use every trusted language.
    assert_eq!(found.len(), GRANTS.len() - 1, "{found:#?}");
    for error in found {
        let fix = error.fix.unwrap();
        assert!(fix.contains("\"alone\""), "{fix}");
        server.apply_fix(&case.namespace, &fix).await;
    }
    assert_eq!(errors(&case).await, []);
    for _ in 0..3 {
        case.rotate().await;
        for privilege in server.privileges() {
            assert!(case.may(&case.current, privilege).await, "{privilege}");
        }
    }
}

async fn a_privilege_that_its_owner_gave_up_is_refused(server: &Server) {
    let mut case = adopted(server, "gave_up").await;
    let table = "CREATE SCHEMA given AUTHORIZATION gave_up; CREATE TABLE given.up (); \
         ALTER TABLE given.up OWNER TO gave_up; REVOKE ALL ON given.up FROM gave_up; \
         GRANT SELECT ON given.up TO gave_up_clone WITH GRANT OPTION";
    server.sql(&case.namespace, table).await;
    let found = errors(&case).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    let fix = found[0].fix.clone().unwrap();
    server.apply_fix(&case.namespace, &fix).await;
    assert_eq!(errors(&case).await, []);
    case.rotate().await;
    let mut app = server.connect_as(&case.namespace, &case.current).await;
    run(&mut app, "SELECT * FROM given.up").await;
}

async fn the_base_user_keeps_what_only_it_has(server: &Server) {
    let mut case = adopted(server, "kept").await;
    let namespace = case.namespace.clone();
    server
        .sql(
            "postgres",
            &format!(
                "ALTER ROLE kept SET statement_timeout = '7s'; ALTER ROLE kept CONNECTION LIMIT 40; \
                 ALTER ROLE kept VALID UNTIL '2099-01-02 03:04:05+00'; ALTER ROLE kept CREATEDB; \
                 ALTER ROLE kept IN DATABASE {namespace} SET work_mem = '5MB'; \
                 ALTER ROLE kept SET lock_timeout = '8s'; \
                 CREATE ROLE kept_group; GRANT kept_group TO kept; \
                 ALTER ROLE kept_clone SET lock_timeout = '9s'; ALTER ROLE kept_clone CONNECTION LIMIT 5; \
                 ALTER ROLE kept_clone SET \"IntervalStyle\" = 'iso_8601'"
            ),
        )
        .await;
    for round in 0..4 {
        case.rotate().await;
        let mut app = server.connect_as(&namespace, &case.current).await;
        for (setting, wanted) in [
            ("search_path", "kept, public"),
            ("statement_timeout", "7s"),
            ("lock_timeout", "8s"),
            ("work_mem", "5MB"),
            ("IntervalStyle", "iso_8601"),
        ] {
            let row = sqlx::query("SELECT current_setting($1)")
                .bind(setting)
                .fetch_one(&mut app)
                .await
                .unwrap();
            assert_eq!(row.get::<String, _>(0), wanted, "{setting} in {round}");
        }
        let row = sqlx::query(
            "SELECT rolconnlimit, rolvaliduntil = '2099-01-02 03:04:05+00', \
             pg_has_role('kept_group', 'USAGE'), \
             (SELECT rolcreatedb FROM pg_roles WHERE rolname = 'kept') \
             FROM pg_roles WHERE rolname = session_user",
        )
        .fetch_one(&mut app)
        .await
        .unwrap();
        assert_eq!(
            row.get::<i32, _>(0),
            40,
            "the connection limit in round {round}"
        );
        for column in 1..4 {
            assert!(row.get::<bool, _>(column), "{column} in round {round}");
        }
    }
}

async fn an_expiry_that_has_passed_is_replaced(server: &Server) {
    let mut case = adopted(server, "expired").await;
    let passed = "ALTER ROLE expired VALID UNTIL '2001-02-03 04:05:06+00'";
    server.sql("postgres", passed).await;
    let inspection = case.rotate().await;
    let mut changes = inspection.differences.iter();
    assert!(
        changes.any(|change| change.statement.to_string()
            == "ALTER ROLE \"expired\" VALID UNTIL 'infinity'")
    );
    case.rotate().await;
}
