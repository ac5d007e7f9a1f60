//! Roles of an active clone that cannot be granted to the base user, because they are its members.

use sqlx::Row;
use twinkey_core::code::Code;
use twinkey_engines::Finding;

use super::Server;
use super::adopted::adopted;
use super::found_first::mend;
use crate::case::Case;

pub async fn all(server: &Server) {
    a_role_of_the_clone_that_is_a_member_of_the_base_user(server).await;
    a_role_of_the_clones_sessions_that_is_a_member_of_the_base_user(server).await;
    a_role_of_the_base_user_that_is_a_member_of_its_owner_role(server).await;
}

/// Privileges of `{group}`, also by another group.
const OBJECTS: &str = "ALTER DATABASE {database} OWNER TO CURRENT_USER; \
     GRANT CREATE ON SCHEMA public TO {base}; \
     CREATE ROLE {group}; CREATE ROLE {group}_more; GRANT {group}_more TO {group}; \
     CREATE ROLE {group}_inner; GRANT {group}_inner TO {group}; GRANT {owner} TO {group}_inner; \
     GRANT SELECT ON shared.whole TO {group}; GRANT CREATE ON SCHEMA shared TO {group}_more; \
     GRANT UPDATE (seen) ON shared.part TO {group}_inner; \
     CREATE TABLE public.{group}_table (); ALTER TABLE public.{group}_table OWNER TO {group}; \
     CREATE PUBLICATION {group}_all FOR ALL TABLES; ALTER ROLE {group} SUPERUSER; \
     ALTER PUBLICATION {group}_all OWNER TO {group}; ALTER ROLE {group} NOSUPERUSER";

/// What the application may do, as queries of its session.
const HAS: [&str; 4] = [
    "SELECT has_table_privilege('shared.whole', 'SELECT')",
    "SELECT has_schema_privilege('shared', 'CREATE')",
    "SELECT has_column_privilege('shared.part', 'seen', 'UPDATE')",
    "SELECT pg_has_role((SELECT tableowner FROM pg_tables WHERE tablename = '{group}_table'), 'USAGE')",
];

async fn objects(server: &Server, case: &Case<'_>, owner: &str) -> String {
    let base = &case.pair.base;
    let group = format!("{base}_group");
    let objects = OBJECTS
        .replace("{database}", &case.namespace)
        .replace("{owner}", owner)
        .replace("{base}", base)
        .replace("{group}", &group);
    server.sql(&case.namespace, &objects).await;
    group
}

async fn assert_has_all(server: &Server, case: &Case<'_>, group: &str) {
    for query in HAS {
        let mut app = server.connect_as(&case.namespace, &case.current).await;
        let query = query.replace("{group}", group);
        let row = sqlx::query(sqlx::AssertSqlSafe(query.clone()))
            .fetch_one(&mut app)
            .await
            .unwrap();
        let user = &case.current.username;
        assert!(row.get::<bool, _>(0), "{user} lacks it: {query}");
    }
    // The group keeps its own.
    let mut superuser = server.connect(&case.namespace).await;
    let owns = format!(
        "SELECT pg_has_role('{group}', tableowner, 'USAGE') FROM pg_tables WHERE tablename = '{group}_table'"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(owns)).fetch_one(&mut superuser);
    assert!(
        row.await.unwrap().get::<bool, _>(0),
        "{group} lost its table"
    );
}

/// Follows the hints, and rotates.
async fn mend_and_rotate(server: &Server, case: &mut Case<'_>, group: &str) -> Vec<Finding> {
    assert_has_all(server, case, group).await;
    let found = mend(server, case).await;
    for refusal in &found {
        assert_eq!(refusal.code, Some(Code::PrivilegesDiffer), "{refusal:?}");
    }
    for _ in 0..3 {
        assert_has_all(server, case, group).await;
        case.rotate().await;
    }
    found
}

async fn a_role_of_the_clone_that_is_a_member_of_the_base_user(server: &Server) {
    let mut case = adopted(server, "turning").await;
    let group = objects(server, &case, "turning").await;
    let member = format!("GRANT {group} TO turning_clone");
    server.sql(&case.namespace, &member).await;
    let found = mend_and_rotate(server, &mut case, &group).await;
    let last = found.last().unwrap().fix.as_deref().unwrap();
    assert!(
        last.starts_with("REVOKE \"turning_group\" FROM \"turning_clone\""),
        "{found:#?}"
    );
}

async fn a_role_of_the_clones_sessions_that_is_a_member_of_the_base_user(server: &Server) {
    let mut case = adopted(server, "spinning").await;
    let group = objects(server, &case, "spinning").await;
    let chosen = format!(
        "GRANT {group} TO spinning_clone; ALTER ROLE spinning_clone NOINHERIT; \
         ALTER ROLE spinning_clone SET role = '{group}'"
    );
    server.sql(&case.namespace, &chosen).await;
    let found = mend_and_rotate(server, &mut case, &group).await;
    let set = "ALTER ROLE \"spinning_clone\" SET role TO 'spinning'";
    assert!(
        found.iter().any(|f| f.fix.as_deref() == Some(set)),
        "{found:#?}"
    );
}

async fn a_role_of_the_base_user_that_is_a_member_of_its_owner_role(server: &Server) {
    let mut case = adopted(server, "rolling").await;
    let create =
        "CREATE ROLE rolling_owner NOINHERIT; GRANT CREATE ON SCHEMA public TO rolling_owner";
    server.sql(&case.namespace, create).await;
    let group = objects(server, &case, "rolling_owner").await;
    let chosen = format!("GRANT {group} TO rolling; ALTER ROLE rolling SET role = 'rolling_owner'");
    server.sql(&case.namespace, &chosen).await;
    mend_and_rotate(server, &mut case, &group).await;
}
