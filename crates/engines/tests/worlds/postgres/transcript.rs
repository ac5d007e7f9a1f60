//! What a user can do, by doing it: statements in transactions that are rolled back.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row, ValueRef};
use twinkey_engines::Credentials;

use super::server::{Server, execute};
use super::world::World;

/// What a statement returned, or its SQLSTATE.
pub type Outcome = Result<String, String>;

/// Statements by (database, text), and their outcomes.
pub type Transcript = BTreeMap<(usize, String), Outcome>;

/// Statements about the objects of a database.
const STATEMENTS: &str = "WITH relation AS (
    SELECT oid::regclass AS name, relkind FROM pg_class
    WHERE oid >= 16384 AND relnamespace::regnamespace::text NOT LIKE 'pg_toast%'
), statement AS (
    SELECT format(t, name) FROM relation, unnest('{
        SELECT count(*) FROM %s,
        INSERT INTO %s (note) VALUES (current_user) RETURNING note,
        UPDATE %s SET note = note,
        DELETE FROM %s,
        ALTER TABLE %s ADD COLUMN added int,
        COMMENT ON TABLE %s IS NULL}'::text[]) t
    WHERE relkind IN ('r', 'p')
    UNION ALL
    SELECT format('SELECT * FROM %s', name) FROM relation WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT format('SELECT nextval(%L) > 0', name) FROM relation WHERE relkind = 'S'
    UNION ALL
    SELECT format(CASE prokind WHEN 'p' THEN 'CALL %s()' ELSE 'SELECT %s()' END, p.oid::regproc)
    FROM pg_proc p WHERE oid >= 16384 AND prokind <> 'a' AND proargtypes = ''
        AND prorettype <> 'event_trigger'::regtype AND prolang <> 13
    UNION ALL
    SELECT format('SELECT lo_get(%s)', oid) FROM pg_largeobject_metadata
    UNION ALL
    SELECT format(t, nspname, nspname) FROM pg_namespace, unnest(ARRAY[
        'CREATE TABLE %I.made (id int); SELECT tableowner, relacl FROM pg_tables JOIN pg_class ON relname = tablename WHERE relname = ''made''',
        'CREATE FUNCTION %I.made() RETURNS int LANGUAGE sql RETURN 1; SELECT proacl FROM pg_proc WHERE proname = ''made''']) t
    WHERE oid >= 16384 OR nspname = 'public'
    UNION ALL
    SELECT format('CREATE TYPE made AS (c %s)', oid::regtype) FROM pg_type WHERE oid >= 16384 AND typtype = 'e'
    UNION ALL
    SELECT format(t, srvname) FROM pg_foreign_server, unnest(ARRAY[
        'SELECT umoptions FROM pg_user_mappings WHERE srvname = %L AND usename IN (''public'', current_user)',
        'CREATE FOREIGN TABLE public.made_foreign (id int) SERVER %I']) t
    UNION ALL
    SELECT format('SET ROLE %I; SELECT current_user', rolname) FROM pg_roles WHERE rolname = ANY ($1)
    UNION ALL
    SELECT unnest(ARRAY[
        'SELECT current_user',
        'CREATE SCHEMA made; SELECT nspowner::regrole FROM pg_namespace WHERE nspname = ''made''',
        'CREATE TEMPORARY TABLE made (id int)',
        'CREATE ROLE made_by_user',
        'CREATE PUBLICATION made',
        'SELECT lo_create(4242)',
        'SET log_min_messages = ''error''',
        'SET session_replication_role = ''replica''',
        'SET myapp.tenant = ''z''',
        'RESET ALL; SELECT current_user',
        'SELECT rolconnlimit, nullif(rolvaliduntil, ''infinity'') FROM pg_roles WHERE rolname = session_user',
        'SELECT current_setting(''myapp.tenant'', true)',
        'SELECT name, setting FROM pg_settings WHERE name <> ''role'' ORDER BY name'])
)
SELECT * FROM statement ORDER BY 1";

/// Signs in to both databases and runs the statements.
pub async fn record(
    server: &Server,
    world: &World,
    superusers: &mut [PgConnection],
    who: &Credentials,
) -> Transcript {
    let mut all = Transcript::new();
    for (at, superuser) in superusers.iter_mut().enumerate() {
        let statements = sqlx::query_scalar::<_, String>(STATEMENTS).bind(&world.roles[1..]);
        let statements = statements.fetch_all(superuser).await.unwrap();
        let connected = server.connect(&world.databases[at], Some(who)).await;
        let key = |text: &str| (at, text.to_owned());
        let mut connection = match connected {
            Ok(connection) => connection,
            Err(error) => {
                all.insert(key("sign in"), Err(code(&error)));
                continue;
            }
        };
        all.insert(key("sign in"), Ok(String::new()));
        for statement in statements {
            let outcome = outcome(&mut connection, &statement).await;
            all.insert(key(&statement), outcome);
        }
    }
    all
}

async fn outcome(connection: &mut PgConnection, statement: &str) -> Outcome {
    execute(connection, "BEGIN").await.unwrap();
    let query = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    let outcome = match query.fetch_all(&mut *connection).await {
        Ok(rows) => Ok(rows.iter().map(text).collect::<Vec<_>>().join("\n")),
        Err(error) => Err(code(&error)),
    };
    execute(connection, "ROLLBACK").await.unwrap();
    outcome
}

fn text(row: &sqlx::postgres::PgRow) -> String {
    let values = (0..row.len()).map(|column| {
        let value = row.try_get_raw(column).unwrap();
        if value.is_null() {
            "NULL".to_owned()
        } else {
            value.as_str().unwrap().to_owned()
        }
    });
    values.collect::<Vec<_>>().join("|")
}

fn code(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.code().unwrap_or_default().into_owned(),
        other => panic!("{other}"),
    }
}
