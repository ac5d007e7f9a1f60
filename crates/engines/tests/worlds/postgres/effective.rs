//! What roles can do, as the server's own functions report it.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::catalog::Catalog;
use super::server::Server;

/// One capability of a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability {
    pub database: usize,
    pub role: String,
    /// `table`, `role`, …
    pub kind: String,
    pub object: String,
    pub what: String,
}

pub type Capabilities = BTreeSet<Capability>;

/// Kind, letter of `acldefault`, catalogue, its privileges, function, and the object's name.
const FUNCTIONS: [(&str, char, &str, &str, &str, &str); 10] = [
    (
        "table",
        'r',
        "pg_class",
        "relacl",
        "table",
        "x.oid::regclass::text",
    ),
    (
        "sequence",
        's',
        "pg_class",
        "relacl",
        "sequence",
        "x.oid::regclass::text",
    ),
    (
        "schema",
        'n',
        "pg_namespace",
        "nspacl",
        "schema",
        "x.nspname",
    ),
    (
        "function",
        'f',
        "pg_proc",
        "proacl",
        "function",
        "x.oid::regprocedure::text",
    ),
    (
        "type",
        'T',
        "pg_type",
        "typacl",
        "type",
        "x.oid::regtype::text",
    ),
    (
        "language",
        'l',
        "pg_language",
        "lanacl",
        "language",
        "x.lanname",
    ),
    (
        "foreign-data wrapper",
        'F',
        "pg_foreign_data_wrapper",
        "fdwacl",
        "foreign_data_wrapper",
        "x.fdwname",
    ),
    (
        "server",
        'S',
        "pg_foreign_server",
        "srvacl",
        "server",
        "x.srvname",
    ),
    (
        "database",
        'd',
        "pg_database",
        "datacl",
        "database",
        "x.datname",
    ),
    (
        "tablespace",
        't',
        "pg_tablespace",
        "spcacl",
        "tablespace",
        "x.spcname",
    ),
];

fn queries(server: &Server, catalogs: &[Catalog]) -> Vec<String> {
    let mut all = Vec::new();
    for (kind, letter, catalog, acl, function, name) in FUNCTIONS {
        let privileges = server.privileges[&letter].join(",");
        let relations = match kind {
            "table" => "AND x.relkind NOT IN ('S', 't', 'i', 'I', 'c')",
            "sequence" => "AND x.relkind = 'S'",
            _ => "",
        };
        // A WITH keeps the server from calling the function with an object of another kind.
        all.push(format!(
            "(WITH x AS MATERIALIZED (SELECT * FROM pg_catalog.{catalog} x WHERE (x.oid >= 16384 \
                 OR EXISTS (SELECT FROM aclexplode(x.{acl}) e WHERE e.grantee >= 16384)) {relations}) \
             SELECT r.rolname::text, '{kind}', {name}, p || o FROM r, x, \
                 unnest('{{{privileges}}}'::text[]) p, unnest('{{\"\",\" WITH GRANT OPTION\"}}'::text[]) o \
             WHERE has_{function}_privilege(r.oid, x.oid, p || o))"
        ));
    }
    all.push(
        "(WITH x AS MATERIALIZED (SELECT a.* FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid \
             WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'v', 'm', 'p', 'f') \
             AND (c.oid >= 16384 OR attacl IS NOT NULL)) \
         SELECT r.rolname::text, 'column', attrelid::regclass || '.' || attname, p || o FROM r, x, \
             unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) p, \
             unnest('{\"\",\" WITH GRANT OPTION\"}'::text[]) o \
         WHERE has_column_privilege(r.oid, attrelid, attnum, p || o))"
            .to_owned(),
    );
    let modes = if server.version >= 16 {
        "USAGE,MEMBER,SET"
    } else {
        "USAGE,MEMBER"
    };
    all.push(format!(
        "SELECT r.rolname::text, 'role', o.rolname::text, m || a FROM r, pg_roles o, \
             unnest('{{{modes}}}'::text[]) m, unnest('{{\"\",\" WITH ADMIN OPTION\"}}'::text[]) a \
         WHERE o.oid <> r.oid AND (o.oid < 16384 OR o.rolname = ANY ($1)) \
             AND pg_has_role(r.oid, o.oid, m || a)"
    ));
    for attribute in ["rolcreatedb", "rolcreaterole", "rolbypassrls", "rolsuper"] {
        all.push(format!(
            "SELECT r.rolname::text, 'attribute', '{attribute}', '' FROM r JOIN pg_roles USING (oid) WHERE {attribute}"
        ));
    }
    all.push(
        "SELECT r.rolname::text, 'parameter', parname, p || o FROM r, pg_parameter_acl, \
             unnest('{SET,ALTER SYSTEM}'::text[]) p, unnest('{\"\",\" WITH GRANT OPTION\"}'::text[]) o \
         WHERE has_parameter_privilege(r.oid, parname, p || o)"
            .to_owned(),
    );
    // An owner has the grant option, also without the privilege.
    all.push(
        "SELECT r.rolname::text, 'large object', x.oid::text, e.privilege_type || o \
         FROM r, pg_largeobject_metadata x, aclexplode(coalesce(lomacl, acldefault('L', lomowner))) e, \
             unnest('{\"\",\" WITH GRANT OPTION\"}'::text[]) o \
         WHERE (e.grantee = 0 OR pg_has_role(r.oid, e.grantee, 'USAGE')) AND (o = '' OR e.is_grantable) \
             OR o <> '' AND pg_has_role(r.oid, lomowner, 'USAGE')"
            .to_owned(),
    );
    all.push(
        "SELECT r.rolname::text, 'policy', polname || polrelid::regclass, '' FROM r, pg_policy \
         WHERE EXISTS (SELECT FROM unnest(polroles) p WHERE p = 0 OR pg_has_role(r.oid, p, 'USAGE'))"
            .to_owned(),
    );
    all.push(
        "SELECT r.rolname::text, 'user mapping', srvname, '' FROM r, pg_foreign_server s \
         WHERE EXISTS (SELECT FROM pg_user_mapping m WHERE m.umserver = s.oid AND m.umuser IN (0, r.oid))"
            .to_owned(),
    );
    all.push(
        "SELECT r.rolname::text, 'new objects', defaclobjtype::text || defaclnamespace, e::text \
         FROM r, pg_default_acl, unnest(defaclacl) e WHERE defaclrole = r.oid"
            .to_owned(),
    );
    for catalog in catalogs {
        let (name, Some(owner)) = (&catalog.name, &catalog.owner) else {
            continue;
        };
        all.push(format!(
            "SELECT r.rolname::text, 'owner in {name}', x.oid::text, '' FROM r, pg_catalog.{name} x \
             WHERE x.oid >= 16384 AND pg_has_role(r.oid, x.{owner}, 'USAGE')"
        ));
    }
    all
}

/// The capabilities of `roles` in the databases of these connections.
pub async fn capabilities(
    server: &Server,
    connections: &mut [PgConnection],
    catalogs: &[Catalog],
    roles: &[String],
) -> Capabilities {
    let mut all = Capabilities::new();
    for (database, connection) in connections.iter_mut().enumerate() {
        let query = queries(server, catalogs).join(" UNION ALL ");
        let query = format!(
            "WITH r AS MATERIALIZED (SELECT oid, rolname FROM pg_catalog.pg_authid \
                 WHERE rolname = ANY ($1)) \
             SELECT * FROM ({query}) q(role, kind, object, what)"
        );
        let query = sqlx::query(AssertSqlSafe(query)).bind(roles);
        let rows = query.fetch_all(connection).await.unwrap();
        all.extend(rows.iter().map(|row| Capability {
            database,
            role: row.get(0),
            kind: row.get(1),
            object: row.get(2),
            what: row.get(3),
        }));
    }
    all
}
