//! Objects and settings of the clone that the master can change only after a grant.

use sqlx::Row;
use twinkey_core::code::Code;
use twinkey_core::secret::pair::PairMember;

use super::adopted::{adopted, errors};
use super::{MASTER, Server};
use crate::case::Case;
use crate::harness::Harness;

pub async fn all(server: &Server) {
    what_the_new_owner_lacks_is_found_before_a_run(server).await;
    an_object_for_superusers_is_found_before_a_run(server).await;
    a_grant_option_is_revoked_by_a_member_of_the_clone(server).await;
    a_subscription_is_handed_over_in_every_database(server).await;
    a_database_that_allows_no_connections_is_left_alone(server).await;
    a_parameter_of_superusers_is_found_only_where_it_differs(server).await;
}

/// Objects of every kind that can belong to `{clone}`, and their number.
const OBJECTS: &str = "CREATE SCHEMA held; \
     GRANT CREATE, USAGE ON SCHEMA held TO {clone}; GRANT CREATE ON DATABASE {database} TO {clone}; \
     SET ROLE {clone}; \
     CREATE FUNCTION held.f() RETURNS int LANGUAGE sql RETURN 1; \
     CREATE PROCEDURE held.p() LANGUAGE sql AS ''; \
     CREATE TABLE held.t (a int PRIMARY KEY, b int); CREATE VIEW held.v AS SELECT 1; \
     CREATE SEQUENCE held.s; CREATE TYPE held.c AS (a int); CREATE DOMAIN held.d AS int; \
     CREATE STATISTICS held.st ON a, b FROM held.t; \
     CREATE TEXT SEARCH DICTIONARY held.dict (TEMPLATE = simple); \
     CREATE TEXT SEARCH CONFIGURATION held.cfg (COPY = simple); \
     CREATE OPERATOR held.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq); \
     CREATE COLLATION held.co FROM \"C\"; SELECT lo_create(0); \
     CREATE SCHEMA its_own; CREATE PUBLICATION {clone}_publication FOR TABLE held.t; \
     RESET ROLE; \
     CREATE OPERATOR FAMILY held.opf USING btree; ALTER OPERATOR FAMILY held.opf USING btree OWNER TO {clone}; \
     CREATE CONVERSION held.cv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8; \
     ALTER CONVERSION held.cv OWNER TO {clone}; \
     CREATE FOREIGN DATA WRAPPER {clone}_wrapper; CREATE SERVER {clone}_server FOREIGN DATA WRAPPER {clone}_wrapper; \
     ALTER SERVER {clone}_server OWNER TO {clone}; \
     REVOKE CREATE ON SCHEMA held FROM {clone}; REVOKE CREATE ON DATABASE {database} FROM {clone}; \
     ALTER DATABASE {database} OWNER TO CURRENT_USER; GRANT CREATE ON SCHEMA public TO {base}; \
     GRANT USAGE ON SCHEMA held TO {base}";

async fn what_the_new_owner_lacks_is_found_before_a_run(server: &Server) {
    for (base, base_is_active) in [("owner_one", true), ("owner_two", false)] {
        let mut case = adopted(server, base).await;
        // Another database is part of it: the statement names it.
        let other = format!("other_of_{base}");
        let create = format!("CREATE DATABASE {other}");
        server.sql("postgres", &create).await;
        for database in [case.namespace.clone(), other.clone()] {
            let objects = OBJECTS
                .replace("{clone}", &case.pair.clone)
                .replace("{base}", base)
                .replace("{database}", &database);
            server.sql(&database, &objects).await;
        }
        if base_is_active {
            case.pair.active = PairMember::Base;
            case.current = case.previous.take().unwrap();
        }
        let missing = case.inspect().await.missing;
        assert_eq!(missing.len(), 6, "{missing:#?}");
        for lack in missing {
            assert_eq!(lack.code, Some(Code::PrivilegesMissing));
            let fix = lack.fix.unwrap();
            assert!(fix.ends_with(&format!("TO \"{base}\"")), "{fix}");
            let in_other = lack.what.contains(&other);
            let database = if in_other { &other } else { &case.namespace };
            server.apply_fix(database, &fix).await;
        }
        assert_eq!(case.inspect().await.missing, []);
        case.rotate().await;
        let row = sqlx::query(
            "SELECT count(*) FROM pg_shdepend WHERE refobjid = $1::regrole AND deptype = 'o'",
        )
        .bind(&case.pair.clone)
        .fetch_one(&mut server.connect(&case.namespace).await)
        .await
        .unwrap();
        assert_eq!(row.get::<i64, _>(0), 0, "an object still is the clone's");
    }
}

async fn an_object_for_superusers_is_found_before_a_run(server: &Server) {
    let mut case = adopted(server, "owner_three").await;
    let objects = "ALTER ROLE owner_three_clone SUPERUSER; \
         GRANT CREATE ON DATABASE {database} TO owner_three; \
         CREATE PUBLICATION everything FOR ALL TABLES; ALTER PUBLICATION everything OWNER TO owner_three_clone; \
         CREATE PUBLICATION schemas FOR TABLES IN SCHEMA public; ALTER PUBLICATION schemas OWNER TO owner_three_clone; \
         CREATE FOREIGN DATA WRAPPER far; ALTER FOREIGN DATA WRAPPER far OWNER TO owner_three_clone; \
         CREATE FUNCTION public.et() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; \
         CREATE EVENT TRIGGER et ON sql_drop EXECUTE FUNCTION public.et(); \
         ALTER EVENT TRIGGER et OWNER TO owner_three_clone; \
         ALTER ROLE owner_three_clone NOSUPERUSER"
        .replace("{database}", &case.namespace);
    server.sql(&case.namespace, &objects).await;
    let found = errors(&case).await;
    assert_eq!(found.len(), 4, "{found:#?}");
    for error in found {
        let fix = error.fix.unwrap();
        server.apply_fix(&case.namespace, &fix).await;
    }
    case.rotate().await;
}

async fn a_grant_option_is_revoked_by_a_member_of_the_clone(server: &Server) {
    let mut case = Case::new(server, "option_of").await;
    case.rotate().await;
    let grants = format!(
        "CREATE FUNCTION public.given() RETURNS int LANGUAGE sql RETURN 1; \
         ALTER FUNCTION public.given() OWNER TO option_of; \
         GRANT EXECUTE ON FUNCTION public.given() TO option_of_clone WITH GRANT OPTION; \
         GRANT option_of_clone TO {MASTER}"
    );
    server.sql(&case.namespace, &grants).await;
    for _ in 0..2 {
        case.rotate().await;
    }
    let query = "SELECT count(*) FROM pg_proc, aclexplode(proacl) \
         WHERE proname = 'given' AND grantee = 'option_of_clone'::regrole";
    let row = sqlx::query(query)
        .fetch_one(&mut server.connect(&case.namespace).await)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 0, "the clone keeps the grant");
}

/// Before 16 only a superuser may own a subscription.
async fn a_subscription_is_handed_over_in_every_database(server: &Server) {
    if server.version < 16 {
        return;
    }
    let mut case = adopted(server, "owner_six").await;
    let objects = "GRANT CREATE ON DATABASE {database} TO owner_six; \
         CREATE SUBSCRIPTION owner_six_sub CONNECTION 'dbname=none' PUBLICATION none \
             WITH (connect = false, slot_name = NONE, enabled = false); \
         ALTER ROLE owner_six_clone SUPERUSER; \
         ALTER SUBSCRIPTION owner_six_sub OWNER TO owner_six_clone; \
         ALTER ROLE owner_six_clone NOSUPERUSER";
    for sql in objects.replace("{database}", &case.namespace).split("; ") {
        server.sql(&case.namespace, sql).await;
    }
    server.sql("postgres", "CREATE DATABASE other_of_six").await;
    let table = "CREATE TABLE public.t (); ALTER TABLE public.t OWNER TO owner_six_clone";
    server.sql("other_of_six", table).await;
    let missing = case.inspect().await.missing;
    assert_eq!(missing.len(), 1, "{missing:#?}");
    let fix = missing[0].fix.clone().unwrap();
    server.apply_fix("other_of_six", &fix).await;
    case.rotate().await;
}

async fn a_database_that_allows_no_connections_is_left_alone(server: &Server) {
    let mut case = adopted(server, "owner_four").await;
    let create = "CREATE DATABASE closed";
    server.sql("postgres", create).await;
    let objects = "CREATE TABLE public.old (); ALTER TABLE public.old OWNER TO owner_four_clone; \
         CREATE TABLE public.seen (); GRANT SELECT ON public.seen TO owner_four_clone";
    server.sql("closed", objects).await;
    let close = "ALTER DATABASE closed ALLOW_CONNECTIONS false";
    server.sql("postgres", close).await;
    for _ in 0..3 {
        case.rotate().await;
    }
    let revoke = "ALTER DATABASE closed ALLOW_CONNECTIONS true; REVOKE CONNECT ON DATABASE closed FROM PUBLIC";
    for statement in revoke.split("; ") {
        server.sql("postgres", statement).await;
    }
    let missing = case.inspect().await.missing;
    assert_eq!(missing.len(), 1, "{missing:#?}");
    let fix = missing[0].fix.clone().unwrap();
    server.apply_fix("postgres", &fix).await;
    case.rotate().await;
}

async fn a_parameter_of_superusers_is_found_only_where_it_differs(server: &Server) {
    let mut case = Case::new(server, "tenant").await;
    case.rotate().await;
    let database = case.namespace.clone();
    let set = |user: &str, value: &str| {
        format!(
            "ALTER ROLE {user} SET \"MyApp.Tenant\" = '{value}'; \
             ALTER ROLE {user} IN DATABASE {database} SET \"myapp.other\" = '{value}'; \
             ALTER ROLE {user} SET log_min_messages = 'error'"
        )
    };
    // Equal already.
    for user in ["tenant", "tenant_clone"] {
        server.sql("postgres", &set(user, "one")).await;
    }
    for _ in 0..2 {
        case.rotate().await;
    }
    // The clone is active: the base user keeps its own.
    server.sql("postgres", &set("tenant", "two")).await;
    case.rotate().await;
    // The clone is the standby.
    let missing = case.inspect().await.missing;
    assert_eq!(missing.len(), 2, "{missing:#?}");
    for lack in missing {
        assert_eq!(lack.code, Some(Code::PrivilegesMissing));
        let (_, statement) = lack.what.split_once("execute ").unwrap();
        server.sql("postgres", statement).await;
        let grant = lack.fix.unwrap();
        assert!(
            grant.starts_with("GRANT SET ON PARAMETER \"myapp."),
            "{grant}"
        );
        server.sql("postgres", &grant).await;
    }
    assert_eq!(case.inspect().await.missing, []);
    case.rotate().await;
    case.rotate().await;
    // With the grant, the master sets it.
    server.sql("postgres", &set("tenant", "three")).await;
    case.rotate().await;
    let row = sqlx::query("SELECT current_setting('myapp.tenant'), current_setting('myapp.other')")
        .fetch_one(&mut server.connect_as(&database, &case.current).await)
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>(0), "three");
    assert_eq!(row.get::<String, _>(1), "three");
}
