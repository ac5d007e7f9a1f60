//! What the server would refuse in a run, which an inspection reports first with the statement that
//! removes it.

use sqlx::Row;
use twinkey_core::code::Code;
use twinkey_core::secret::pair::PairMember;
use twinkey_engines::{Finding, Severity};

use super::adopted::{adopted, errors};
use super::{MASTER, Server, run};
use crate::case::Case;
use crate::harness::Harness;

pub async fn all(server: &Server) {
    a_setting_that_only_superusers_read_is_found(server).await;
    a_grant_that_the_standby_handed_on_stays(server).await;
    connect_of_the_owner_role_is_not_the_base_users(server).await;
    a_base_user_without_connect_or_connections_is_found(server).await;
    a_master_without_inherit_is_found_by_the_clones_grants(server).await;
    a_base_user_in_the_clone_is_found(server).await;
    what_the_owner_role_lacks_of_the_base_user_is_found(server).await;
    what_only_the_clone_has_as_a_person_is_found(server).await;
}

/// Executes the fixes of refusals until there are none. Returns the refusals.
pub async fn mend(server: &Server, case: &Case<'_>) -> Vec<Finding> {
    let mut refusals = Vec::new();
    for _ in 0..4 {
        let inspection = case.inspect().await;
        let errors = inspection.findings.into_iter();
        let errors = errors.filter(|finding| finding.severity == Severity::Error);
        let found: Vec<Finding> = errors.chain(inspection.missing).collect();
        if found.is_empty() {
            return refusals;
        }
        for refusal in &found {
            let fix = refusal.fix.as_deref().unwrap();
            server.apply_fix(&case.namespace, fix).await;
        }
        refusals.extend(found);
    }
    panic!("fixes do not remove the refusals: {refusals:#?}");
}

/// Whether the server answers `query` with true.
pub async fn holds(server: &Server, case: &Case<'_>, query: &str) -> bool {
    let mut connection = server.connect(&case.namespace).await;
    let query = sqlx::AssertSqlSafe(query.to_owned());
    let row = sqlx::query(query).fetch_one(&mut connection).await.unwrap();
    row.get(0)
}

/// CONNECT on the database is no longer PUBLIC's, nor the base user's as its owner.
async fn close_database(server: &Server, case: &Case<'_>) {
    let close =
        "ALTER DATABASE {0} OWNER TO CURRENT_USER; REVOKE CONNECT ON DATABASE {0} FROM PUBLIC; \
         GRANT CONNECT ON DATABASE {0} TO {1}"
            .replace("{0}", &case.namespace)
            .replace("{1}", MASTER);
    server.sql("postgres", &close).await;
}

async fn a_setting_that_only_superusers_read_is_found(server: &Server) {
    let mut case = Case::new(server, "preloading").await;
    let set = "ALTER ROLE preloading SET session_preload_libraries = 'plpgsql'; \
         ALTER ROLE preloading SET dynamic_library_path = '$libdir:/tmp'";
    server.sql("postgres", set).await;
    let found = mend(server, &case).await;
    assert_eq!(found.len(), 2, "{found:#?}");
    for refusal in found {
        assert_eq!(refusal.code, Some(Code::PrivilegesMissing));
    }
    for _ in 0..2 {
        case.rotate().await;
    }
}

async fn a_grant_that_the_standby_handed_on_stays(server: &Server) {
    for (base, base_is_active) in [("handing", true), ("handed_on", false)] {
        let mut case = adopted(server, base).await;
        let grants = "CREATE ROLE {0}_third; GRANT CREATE ON SCHEMA public TO {0}; \
             GRANT SELECT, INSERT ON shared.whole TO {0}, {0}_clone WITH GRANT OPTION; \
             GRANT SELECT (seen) ON shared.part TO {0}, {0}_clone WITH GRANT OPTION; \
             CREATE ROLE {0}_group; GRANT {0}_group TO {0}, {0}_clone WITH ADMIN OPTION; \
             SET ROLE {0}_clone; GRANT SELECT ON shared.whole TO {0}_third; \
             GRANT SELECT (seen) ON shared.part TO {0}_third; GRANT {0}_group TO {0}_third"
            .replace("{0}", base);
        server.sql(&case.namespace, &grants).await;
        if base_is_active {
            case.pair.active = PairMember::Base;
            case.current = case.previous.take().unwrap();
        }
        let third = "SELECT has_table_privilege('{0}_third', 'shared.whole', 'SELECT') \
             AND has_column_privilege('{0}_third', 'shared.part', 'seen', 'SELECT') \
             AND pg_has_role('{0}_third', '{0}_group', 'USAGE')"
            .replace("{0}", base);
        for _ in 0..3 {
            case.rotate().await;
            assert!(holds(server, &case, &third).await, "{base}");
        }
    }
}

async fn connect_of_the_owner_role_is_not_the_base_users(server: &Server) {
    let mut case = adopted(server, "entering").await;
    close_database(server, &case).await;
    let other = "CREATE DATABASE entered; REVOKE CONNECT ON DATABASE entered FROM PUBLIC; \
         CREATE ROLE entering_owner; ALTER ROLE entering NOINHERIT; \
         GRANT entering_owner TO entering; ALTER ROLE entering SET role = 'entering_owner'; \
         GRANT CONNECT ON DATABASE {0}, entered TO entering_owner, entering_clone"
        .replace("{0}", &case.namespace);
    for statement in other.split("; ") {
        server.sql("postgres", statement).await;
    }
    let found = mend(server, &case).await;
    let connects = found.iter().filter(|refusal| {
        let fix = refusal.fix.as_deref().unwrap();
        fix.starts_with("GRANT CONNECT ON DATABASE") && fix.ends_with("TO \"entering\"")
    });
    assert_eq!(connects.count(), 2, "{found:#?}");
    for _ in 0..3 {
        case.rotate().await;
        let connects = "SELECT has_database_privilege('entering', 'entered', 'CONNECT')";
        assert!(holds(server, &case, connects).await);
    }
}

async fn a_base_user_without_connect_or_connections_is_found(server: &Server) {
    let mut case = Case::new(server, "shut_out").await;
    server
        .sql(&case.namespace, "GRANT CREATE ON SCHEMA public TO shut_out")
        .await;
    case.rotate().await;
    close_database(server, &case).await;
    let only_clone = "GRANT CONNECT ON DATABASE {0} TO shut_out_clone; \
         ALTER ROLE shut_out CONNECTION LIMIT 0"
        .replace("{0}", &case.namespace);
    server.sql("postgres", &only_clone).await;
    let found = mend(server, &case).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].code, Some(Code::PrivilegesDiffer));
    let changes = case.differences().await;
    assert_eq!(changes, ["ALTER ROLE \"shut_out\" CONNECTION LIMIT -1"]);
    for _ in 0..3 {
        case.rotate().await;
    }
}

async fn a_master_without_inherit_is_found_by_the_clones_grants(server: &Server) {
    let mut case = Case::new(server, "withheld").await;
    let grant = "CREATE TABLE public.withheld (); ALTER TABLE public.withheld OWNER TO withheld; \
         CREATE ROLE withheld_clone LOGIN; GRANT SELECT ON public.withheld TO withheld_clone";
    server.sql(&case.namespace, grant).await;
    server.let_master_rotate("withheld_clone").await;
    let no_inherit = format!("ALTER ROLE {MASTER} NOINHERIT");
    server.sql("postgres", &no_inherit).await;
    let found = mend(server, &case).await;
    // 16 and later have an option of each membership instead.
    assert_eq!(found.len(), usize::from(server.version < 16), "{found:#?}");
    case.rotate().await;
    let inherit = format!("ALTER ROLE {MASTER} INHERIT");
    server.sql("postgres", &inherit).await;
    case.rotate().await;
}

async fn a_base_user_in_the_clone_is_found(server: &Server) {
    for (base, members) in [
        ("circled", "GRANT {0}_clone TO {0}"),
        (
            "ringed",
            "CREATE ROLE {0}_ring; GRANT {0}_clone TO {0}_ring; GRANT {0}_ring TO {0}",
        ),
    ] {
        for active in [PairMember::Base, PairMember::Clone] {
            let base = format!(
                "{base}_{}",
                if active == PairMember::Base {
                    "one"
                } else {
                    "two"
                }
            );
            let mut case = adopted(server, &base).await;
            let grants = format!(
                "REVOKE {{0}} FROM {{0}}_clone; {members}; GRANT CREATE ON SCHEMA public TO {{0}}; \
                 GRANT SELECT ON shared.whole TO {{0}}_clone; CREATE ROLE {{0}}_group; \
                 GRANT {{0}}_group TO {{0}}_clone"
            );
            server
                .sql(&case.namespace, &grants.replace("{0}", &base))
                .await;
            if active == PairMember::Base {
                case.pair.active = PairMember::Base;
                case.current = case.previous.take().unwrap();
            }
            let found = mend(server, &case).await;
            assert!(!found.is_empty());
            let kept = "SELECT has_table_privilege('{0}', 'shared.whole', 'SELECT') \
                 AND pg_has_role('{0}', '{0}_group', 'USAGE')";
            for _ in 0..3 {
                case.rotate().await;
                assert!(
                    holds(server, &case, &kept.replace("{0}", &base)).await,
                    "{base}"
                );
            }
        }
    }
}

/// What the application may do, as queries of its session.
const THROUGH_BASE: [&str; 9] = [
    "SELECT has_table_privilege('shared.whole', 'SELECT')",
    "SELECT has_column_privilege('shared.part', 'seen', 'UPDATE')",
    "SELECT has_schema_privilege('shared', 'CREATE')",
    "SELECT has_function_privilege('shared.answer()', 'EXECUTE WITH GRANT OPTION')",
    "SELECT has_database_privilege(current_database(), 'CREATE')",
    "SELECT pg_has_role('split_group', 'USAGE')",
    "SELECT EXISTS (SELECT FROM public.split_rows)",
    "SELECT pg_has_role((SELECT tableowner FROM pg_tables WHERE tablename = 'split_owned'), 'USAGE')",
    "SELECT has_table_privilege('public.split_later', 'SELECT')",
];

async fn what_the_owner_role_lacks_of_the_base_user_is_found(server: &Server) {
    let mut case = adopted(server, "split").await;
    let member = if server.version >= 16 {
        " WITH INHERIT FALSE, SET TRUE"
    } else {
        "; ALTER ROLE split NOINHERIT"
    };
    let roles = "ALTER DATABASE {0} OWNER TO CURRENT_USER; CREATE ROLE split_owner; \
         GRANT split_owner TO split{1}; ALTER ROLE split SET role = 'split_owner'; \
         CREATE ROLE split_group; GRANT split_group TO split; \
         GRANT CREATE ON DATABASE {0} TO split; GRANT CREATE ON SCHEMA shared TO split; \
         GRANT SELECT ON shared.whole TO split; GRANT UPDATE (seen) ON shared.part TO split; \
         GRANT EXECUTE ON FUNCTION shared.answer() TO split WITH GRANT OPTION; \
         CREATE TABLE public.split_owned (); ALTER TABLE public.split_owned OWNER TO split; \
         CREATE TABLE public.split_rows (n int); INSERT INTO public.split_rows VALUES (1); \
         GRANT SELECT ON public.split_rows TO PUBLIC; \
         ALTER TABLE public.split_rows ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY split_sees ON public.split_rows TO split USING (true); \
         ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO split; \
         CREATE DATABASE split_other"
        .replace("{0}", &case.namespace)
        .replace("{1}", member);
    for statement in roles.split("; ") {
        server.sql(&case.namespace, statement).await;
    }
    let elsewhere = "CREATE TABLE public.seen (); GRANT SELECT ON public.seen TO split";
    server.sql("split_other", elsewhere).await;
    let found = errors(&case).await;
    let in_other = found
        .iter()
        .filter(|refusal| refusal.what.contains("split_other"));
    for refusal in in_other.clone() {
        server
            .apply_fix("split_other", refusal.fix.as_deref().unwrap())
            .await;
    }
    assert_eq!(in_other.count(), 1, "{found:#?}");
    let found = mend(server, &case).await;
    assert!(found.len() >= 9, "{found:#?}");
    for refusal in &found {
        assert_eq!(refusal.code, Some(Code::PrivilegesDiffer), "{refusal:?}");
        let fix = refusal.fix.as_deref().unwrap();
        assert!(
            fix.contains("TO \"split_owner\"") || fix.contains(", \"split_owner\""),
            "{fix}"
        );
    }
    server
        .sql(&case.namespace, "CREATE TABLE public.split_later ()")
        .await;
    for round in 0..3 {
        for query in THROUGH_BASE {
            let mut app = server.connect_as(&case.namespace, &case.current).await;
            let row = sqlx::query(query).fetch_one(&mut app).await.unwrap();
            assert!(row.get::<bool, _>(0), "{query} in round {round}");
        }
        case.rotate().await;
    }
}

async fn what_only_the_clone_has_as_a_person_is_found(server: &Server) {
    let mut case = adopted(server, "personal").await;
    let objects = "CREATE ROLE personal_reader; GRANT CREATE ON SCHEMA public TO personal; \
         CREATE FOREIGN DATA WRAPPER personal_wrapper; \
         CREATE SERVER personal_one FOREIGN DATA WRAPPER personal_wrapper; \
         CREATE SERVER personal_two FOREIGN DATA WRAPPER personal_wrapper; \
         CREATE USER MAPPING FOR personal_clone SERVER personal_one OPTIONS (\"User\" 'far', password 'o''p'); \
         CREATE USER MAPPING FOR personal_clone SERVER personal_two OPTIONS (user 'far'); \
         CREATE USER MAPPING FOR personal SERVER personal_two OPTIONS (user 'far'); \
         ALTER DEFAULT PRIVILEGES FOR ROLE personal_clone GRANT SELECT ON TABLES TO personal_reader; \
         ALTER DEFAULT PRIVILEGES FOR ROLE personal_clone GRANT ALL ON TABLES TO personal; \
         ALTER DEFAULT PRIVILEGES FOR ROLE personal_clone IN SCHEMA public GRANT USAGE ON SEQUENCES TO personal_reader WITH GRANT OPTION; \
         ALTER DEFAULT PRIVILEGES FOR ROLE personal_clone REVOKE EXECUTE ON ROUTINES FROM PUBLIC; \
         ALTER DEFAULT PRIVILEGES FOR ROLE personal_clone GRANT USAGE ON SCHEMAS TO personal_reader; \
         ALTER DEFAULT PRIVILEGES FOR ROLE personal GRANT USAGE ON SCHEMAS TO personal_reader";
    server.sql(&case.namespace, objects).await;
    let found = mend(server, &case).await;
    assert_eq!(found.len(), 4, "{found:#?}");
    for refusal in &found {
        assert_eq!(refusal.code, Some(Code::PrivilegesDiffer), "{refusal:?}");
        let shown = format!("{refusal:?}");
        assert!(!shown.contains("o'p"), "{shown}");
    }
    let equal = "SELECT (SELECT umoptions = ARRAY['User=far', 'password=o''p'] \
             FROM pg_user_mappings WHERE srvname = 'personal_one' AND usename = 'personal') \
         AND (SELECT count(*) = 4 FROM pg_default_acl WHERE defaclrole = 'personal'::regrole)";
    assert!(holds(server, &case, equal).await);
    for round in 0..3 {
        case.rotate().await;
        let mut app = server.connect_as(&case.namespace, &case.current).await;
        let create = format!(
            "CREATE TABLE public.t{round} (); CREATE SEQUENCE public.s{round}; \
             CREATE FUNCTION public.f{round}() RETURNS int LANGUAGE sql RETURN 1"
        );
        run(&mut app, &create).await;
        let reads = format!(
            "SELECT has_table_privilege('personal_reader', 'public.t{round}', 'SELECT') \
             AND has_sequence_privilege('personal_reader', 'public.s{round}', 'USAGE WITH GRANT OPTION') \
             AND NOT has_function_privilege('personal_reader', 'public.f{round}()', 'EXECUTE')"
        );
        assert!(holds(server, &case, &reads).await, "round {round}");
    }
}
