//! Everything that a rotation could change, as facts that can be compared.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};
use sqlx::postgres::PgConnection;

use super::server::{DATABASES, Server, rows};
use super::world::World;

/// A row of the catalogue, or what a query finds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    pub database: &'static str,
    /// The view or the query.
    pub source: String,
    /// The user, group or role that it is about.
    pub subject: String,
    /// As JSON.
    pub row: String,
}

pub type Facts = BTreeSet<Fact>;

/// Views of PostgreSQL's age, without `svv_`.
const OLD_VIEWS: [&str; 2] = ["pg_user", "pg_shadow"];

/// Columns that name what a row is about. The first that is there counts.
const SUBJECTS: [&str; 4] = ["identity_name", "user_name", "usename", "grantee_name"];

/// Columns with the privileges of all, which other rows show one by one, and with numbers.
const IGNORED: [&str; 10] = [
    "database_acl",
    "role_id",
    "identity_id",
    "user_id",
    "owner_id",
    "grantee_id",
    "granted_role_id",
    "usesysid",
    "model_version",
    "database_owner",
];

/// Queries beside the views. The first column is what a row is about.
const QUERIES: [(&str, &str); 4] = [
    (
        "groups",
        "SELECT u.usename AS user_name, g.groname FROM pg_group g JOIN pg_user u ON u.usesysid = ANY (g.grolist)",
    ),
    (
        "owners",
        "SELECT '' AS user_name, class, schema, name, kind, pg_get_userbyid(owner) AS owner FROM (\
           SELECT 'relation' AS class, nspname AS schema, relname AS name, relkind::text AS kind, relowner AS owner \
             FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'v', 'm') \
           UNION ALL SELECT 'schema', nspname, '', '', nspowner FROM pg_namespace \
           UNION ALL SELECT 'routine', nspname, proname, lanname, proowner FROM pg_proc \
             JOIN pg_namespace n ON n.oid = pronamespace JOIN pg_language l ON l.oid = prolang \
           UNION ALL SELECT 'model', schema, name, '', owner FROM pg_stand_in.models) o \
         WHERE schema NOT LIKE 'pg\\_%' AND schema NOT IN ('information_schema', 'twinkey')",
    ),
    (
        "extra",
        "SELECT pg_get_userbyid(grantee) AS user_name, class, \
           CASE class WHEN 'table' THEN object::oid::regclass::text ELSE object END AS object, privilege, grantable \
         FROM pg_stand_in.extra",
    ),
    (
        "grantors",
        "SELECT identity_name, object_type, schema_name, object_name, privilege_type, admin_option, grantor_name \
         FROM pg_stand_in.shown WHERE coalesce(schema_name, '') NOT LIKE 'twinkey%'",
    ),
];

/// What each identity may do by the server's functions.
const EFFECTIVE: &str = "WITH who AS (
    SELECT id, name FROM pg_stand_in.identities WHERE name = ANY ($1)
), relation AS (
    SELECT c.oid, relkind, relowner FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE c.oid >= 16384 AND relkind IN ('r', 'v', 'm') AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'twinkey'
), option AS (SELECT unnest(ARRAY['', ' WITH GRANT OPTION']) AS o), all_facts AS (
    SELECT name, 'relation' AS class, oid::regclass::text AS object, p || o AS privilege FROM who, relation, option,
        unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'REFERENCES', 'TRUNCATE']) p
    WHERE has_table_privilege(id, oid, p || o) AND (relkind = 'r' OR p = 'SELECT')
    UNION ALL
    SELECT name, 'column', relation.oid::regclass || '.' || attname, p FROM who, relation, pg_attribute,
        unnest(ARRAY['SELECT', 'UPDATE']) p
    WHERE attrelid = relation.oid AND attnum > 0 AND relkind = 'r' AND has_column_privilege(id, attrelid, attnum, p)
    UNION ALL
    SELECT name, 'schema', nspname, p || o FROM who, pg_namespace, option, unnest(ARRAY['CREATE', 'USAGE']) p
    WHERE pg_namespace.oid >= 16384 AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'twinkey'
        AND has_schema_privilege(id, pg_namespace.oid, p || o)
    UNION ALL
    SELECT name, 'routine', r.oid::regprocedure::text, 'EXECUTE' || o FROM who, pg_proc r, option
    WHERE r.oid >= 16384 AND pronamespace::regnamespace::text NOT LIKE 'pg\\_%'
        AND prolang <> (SELECT oid FROM pg_language WHERE lanname = 'mlfunc')
        AND has_function_privilege(id, r.oid, 'EXECUTE' || o)
    UNION ALL
    SELECT name, 'language', lanname, 'USAGE' || o FROM who, pg_language, option
    WHERE lanname IN ('plpythonu', 'plpgsql') AND has_language_privilege(id, lanname, 'USAGE' || o)
    UNION ALL
    SELECT name, 'database', current_database()::text, p || o FROM who, option, unnest(ARRAY['CREATE', 'TEMP']) p
    WHERE has_database_privilege(id, current_database(), p || o)
    UNION ALL
    SELECT name, 'member', g.rolname, 'MEMBER' FROM who, pg_authid g
    WHERE g.oid >= 16384 AND g.oid <> id AND NOT rolsuper AND pg_has_role(id, g.oid, 'MEMBER')
        AND g.rolname = ANY ($1)
)
SELECT row_to_json(f)::text FROM all_facts f";

pub async fn snapshot(server: &Server, world: &World) -> Facts {
    let mut facts = Facts::new();
    for database in DATABASES {
        let mut root = server.root(database).await;
        for view in views(&mut root).await {
            let query = format!("SELECT row_to_json(v)::text FROM pg_catalog.{view} v");
            facts.extend(read(&mut root, database, &view, &query).await);
        }
        for (source, query) in QUERIES {
            let query = format!("SELECT row_to_json(q)::text FROM ({query}) q");
            facts.extend(read(&mut root, database, source, &query).await);
        }
        let query = sqlx::query_scalar::<_, String>(EFFECTIVE).bind(world.all_names());
        for row in query.fetch_all(&mut root).await.unwrap() {
            let mut row: Map<String, Json> = serde_json::from_str(&row).unwrap();
            let subject = row.remove("name").unwrap();
            facts.insert(Fact {
                database,
                source: "effective".into(),
                subject: subject.as_str().unwrap().to_owned(),
                row: Json::Object(row).to_string(),
            });
        }
    }
    facts
}

async fn views(root: &mut PgConnection) -> Vec<String> {
    let views = "SELECT relname::text FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace \
                 AND relkind = 'v' AND relname LIKE 'svv\\_%' ORDER BY 1";
    let mut all = rows(root, views).await;
    all.extend(OLD_VIEWS.map(str::to_owned));
    all
}

async fn read(
    root: &mut PgConnection,
    database: &'static str,
    source: &str,
    query: &str,
) -> Vec<Fact> {
    let mut facts = Vec::new();
    for row in rows(root, query).await {
        let mut row: Map<String, Json> = serde_json::from_str(&row).unwrap();
        let is_own = ["namespace_name", "schema_name"]
            .iter()
            .any(|column| row.get(*column) == Some(&"twinkey".into()));
        if is_own || is_built_in(source, &row) {
            continue;
        }
        row.retain(|column, _| !IGNORED.contains(&column.as_str()));
        normalize(&mut row);
        let subject = SUBJECTS.iter().find_map(|column| row.remove(*column));
        let subject = subject.and_then(|name| name.as_str().map(|name| name.trim().to_owned()));
        facts.push(Fact {
            database,
            source: source.to_owned(),
            subject: subject.unwrap_or_default(),
            row: Json::Object(row).to_string(),
        });
    }
    facts
}

/// The order of settings has no meaning, and a password without an end is valid until infinity.
fn normalize(row: &mut Map<String, Json>) {
    if let Some(Json::Array(settings)) = row.get_mut("useconfig") {
        settings.sort_by_key(ToString::to_string);
    }
    if row.get("valuntil") == Some(&"infinity".into()) {
        row.insert("valuntil".into(), Json::Null);
    }
}

/// PostgreSQL stores its own default, EXECUTE to PUBLIC, with the first other default privilege.
fn is_built_in(source: &str, row: &Map<String, Json>) -> bool {
    source == "svv_default_privileges"
        && row.get("grantee_type") == Some(&"public".into())
        && row.get("object_type") == Some(&"FUNCTION".into())
}

/// Views whose rows no world has, because the stand-in has none of them.
const EMPTY: [&str; 2] = ["svv_datashare_privileges", "svv_iam_privileges"];

/// Views with rows that some world has.
const FILLED: [&str; 18] = [
    "svv_attached_masking_policy",
    "svv_column_privileges",
    "svv_database_privileges",
    "svv_default_privileges",
    "svv_function_privileges",
    "svv_language_privileges",
    "svv_ml_model_info",
    "svv_ml_model_privileges",
    "svv_redshift_databases",
    "svv_relation_privileges",
    "svv_rls_attached_policy",
    "svv_role_grants",
    "svv_roles",
    "svv_schema_privileges",
    "svv_system_privileges",
    "svv_user_grants",
    "svv_user_info",
    "pg_user",
];

/// Each view of the stand-in's catalogue is known here, so that a new one gets statements.
pub async fn kinds_are_complete(server: &Server) {
    let mut root = server.root(DATABASES[0]).await;
    for view in views(&mut root).await {
        let known = EMPTY.contains(&&*view) || FILLED.contains(&&*view) || view == "pg_shadow";
        assert!(known, "no world has rows of {view}");
    }
    let classes = rows(&mut root, "SELECT DISTINCT class FROM pg_stand_in.granted").await;
    for class in classes {
        let known = [
            "column", "database", "function", "language", "model", "schema", "table",
        ];
        assert!(
            known.contains(&&*class),
            "no world has a grant on a {class}"
        );
    }
}

/// The text with `-` in place of the user's name.
pub fn without_name(row: &str, user: &str) -> String {
    let quoted = Json::from(user).to_string();
    row.replace(&quoted, "\"-\"")
}

/// The facts that only one of the two has, for a message.
pub fn difference(before: &Facts, after: &Facts) -> Option<String> {
    let lost = before.difference(after).map(|fact| format!("- {fact:?}"));
    let new = after.difference(before).map(|fact| format!("+ {fact:?}"));
    let all: Vec<String> = lost.chain(new).take(20).collect();
    (!all.is_empty()).then(|| all.join("\n"))
}
