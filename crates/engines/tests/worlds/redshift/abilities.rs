//! What a user can do, by doing it: statements in transactions that are rolled back.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::server::{DATABASES, Server, execute, quoted, rows};
use super::world::World;

/// Database and statement -> what it returned, or its SQLSTATE.
pub type Abilities = BTreeMap<(&'static str, String), Result<String, String>>;

/// Statements about the objects of a database. A created table shows the default privileges.
const STATEMENTS: &str = "WITH relation AS (
    SELECT c.oid::regclass AS name, relkind FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE c.oid >= 16384 AND relkind IN ('r', 'v', 'm') AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'twinkey'
)
SELECT format(t, name) FROM relation, unnest(ARRAY[
    'SELECT * FROM %s', 'SELECT id FROM %s', 'SELECT \"Od d\" FROM %s',
    'INSERT INTO %s VALUES (1, 2, ''x'')', 'UPDATE %s SET note = ''x''', 'DELETE FROM %s',
    'TRUNCATE %s']) t
WHERE relkind = 'r' OR t LIKE 'SELECT%'
UNION ALL
SELECT format(CASE prokind WHEN 'p' THEN 'CALL %s()' ELSE 'SELECT %s(1, ''a'')' END, p.oid::regproc)
FROM pg_proc p JOIN pg_language l ON l.oid = prolang
WHERE p.oid >= 16384 AND lanname IN ('sql', 'plpgsql') AND pronamespace::regnamespace::text NOT LIKE 'pg\\_%'
UNION ALL
SELECT format('CREATE TABLE %I.made (n int)', nspname) FROM pg_namespace
WHERE oid >= 16384 AND nspname NOT LIKE 'pg\\_%'
UNION ALL
SELECT format('CREATE FUNCTION %I.made() RETURNS int LANGUAGE sql AS ''SELECT 1''', nspname) FROM pg_namespace
WHERE oid >= 16384 AND nspname NOT LIKE 'pg\\_%'
UNION ALL
SELECT unnest(ARRAY['CREATE SCHEMA made', 'CREATE TEMP TABLE made (n int)'])";

/// Tries the statements in both databases as this user. Its settings do not apply.
pub async fn abilities(server: &Server, world: &World, user: &str) -> Abilities {
    let mut all = Abilities::new();
    for database in DATABASES {
        let mut session = server.root(database).await;
        let statements = rows(&mut session, STATEMENTS).await;
        for statement in statements {
            let done = outcome(&mut session, world, user, &statement).await;
            all.insert((database, statement), done);
        }
    }
    all
}

async fn outcome(
    session: &mut PgConnection,
    world: &World,
    user: &str,
    statement: &str,
) -> Result<String, String> {
    execute(session, "BEGIN").await.unwrap();
    let become_user = format!("SET LOCAL SESSION AUTHORIZATION {}", quoted(user));
    execute(session, &become_user).await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut *session)
        .await;
    let outcome = match done {
        Ok(_) => Ok(grants_on_made(session, world).await),
        Err(sqlx::Error::Database(error)) => Err(error.code().unwrap_or_default().into_owned()),
        Err(error) => panic!("{statement}: {error}"),
    };
    execute(session, "ROLLBACK").await.unwrap();
    outcome
}

/// The grants to others on what the statement created.
async fn grants_on_made(session: &mut PgConnection, world: &World) -> String {
    let query = "SELECT coalesce(string_agg(privilege_type || ' to ' || grantee::regrole || is_grantable, ', ' ORDER BY 1), '') \
         FROM (SELECT relacl AS acl FROM pg_class WHERE relname = 'made' \
           UNION ALL SELECT coalesce(proacl, acldefault('f', proowner)) FROM pg_proc WHERE proname = 'made') made, aclexplode(acl) \
         WHERE pg_get_userbyid(grantee) <> ALL ($1)";
    let query = query.replace("ORDER BY 1", "ORDER BY privilege_type, grantee");
    let pair = [&world.pair.base, &world.pair.clone].map(Clone::clone);
    let query = sqlx::query(AssertSqlSafe(query)).bind(pair.to_vec());
    let row = query.fetch_one(session).await.unwrap();
    row.get(0)
}
