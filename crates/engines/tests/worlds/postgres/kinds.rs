//! The kinds of objects that have owners or privileges.

/// A kind of object. Templates: `{o}` the object, `{s}` its schema, `{n}` its quoted name, `{i}` a
/// number, `{p}` an operator's name.
pub struct Kind {
    pub name: &'static str,
    /// Catalogue of its owner.
    pub catalog: &'static str,
    pub create: &'static str,
    /// The object in `ALTER … OWNER TO`; empty: its owner is the superuser.
    pub alter: &'static str,
    /// The object in `GRANT … ON`, and the kind for `acldefault`.
    pub grant: Option<(&'static str, char)>,
    /// Only a superuser may own it.
    pub superuser_only: bool,
}

const fn kind(
    name: &'static str,
    catalog: &'static str,
    create: &'static str,
    alter: &'static str,
    grant: Option<(&'static str, char)>,
) -> Kind {
    Kind {
        name,
        catalog,
        create,
        alter,
        grant,
        superuser_only: false,
    }
}

const fn superuser_only(mut kind: Kind) -> Kind {
    kind.superuser_only = true;
    kind
}

/// In each database before all objects.
pub const PRELUDE: &str = "CREATE FOREIGN DATA WRAPPER fdw0; CREATE SERVER srv0 FOREIGN DATA WRAPPER fdw0; \
     CREATE FUNCTION public.on_event() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'";

pub const KINDS: [Kind; 37] = [
    kind(
        "table",
        "pg_class",
        "CREATE TABLE {o} (id int DEFAULT 1, note text DEFAULT current_user)",
        "TABLE {o}",
        Some(("TABLE {o}", 'r')),
    ),
    kind(
        "filled table",
        "pg_class",
        "CREATE TABLE {o} AS SELECT 1 AS id, 'x' AS note",
        "TABLE {o}",
        Some(("TABLE {o}", 'r')),
    ),
    kind(
        "partitioned table",
        "pg_class",
        "CREATE TABLE {o} (id int, note text) PARTITION BY RANGE (id)",
        "TABLE {o}",
        Some(("TABLE {o}", 'r')),
    ),
    kind(
        "view",
        "pg_class",
        "CREATE VIEW {o} AS SELECT 1 AS id, current_user::text AS note",
        "VIEW {o}",
        Some(("TABLE {o}", 'r')),
    ),
    kind(
        "materialized view",
        "pg_class",
        "CREATE MATERIALIZED VIEW {o} AS SELECT 1 AS id, 'x' AS note",
        "MATERIALIZED VIEW {o}",
        Some(("TABLE {o}", 'r')),
    ),
    kind(
        "foreign table",
        "pg_class",
        "CREATE FOREIGN TABLE {o} (id int, note text) SERVER srv0",
        "FOREIGN TABLE {o}",
        Some(("TABLE {o}", 'r')),
    ),
    kind(
        "sequence",
        "pg_class",
        "CREATE SEQUENCE {o}",
        "SEQUENCE {o}",
        Some(("SEQUENCE {o}", 's')),
    ),
    kind(
        "serial column",
        "pg_class",
        "CREATE TABLE {o} (id int GENERATED ALWAYS AS IDENTITY, note text)",
        "TABLE {o}",
        Some(("TABLE {o}", 'r')),
    ),
    kind(
        "composite type",
        "pg_class",
        "CREATE TYPE {o} AS (id int)",
        "TYPE {o}",
        Some(("TYPE {o}", 'T')),
    ),
    kind(
        "enum",
        "pg_type",
        "CREATE TYPE {o} AS ENUM ('a')",
        "TYPE {o}",
        Some(("TYPE {o}", 'T')),
    ),
    kind(
        "domain",
        "pg_type",
        "CREATE DOMAIN {o} AS int",
        "DOMAIN {o}",
        Some(("DOMAIN {o}", 'T')),
    ),
    kind(
        "range",
        "pg_type",
        "CREATE TYPE {o} AS RANGE (subtype = int4)",
        "TYPE {o}",
        Some(("TYPE {o}", 'T')),
    ),
    kind(
        "function",
        "pg_proc",
        "CREATE FUNCTION {o}() RETURNS text LANGUAGE sql AS 'SELECT current_user::text'",
        "FUNCTION {o}()",
        Some(("FUNCTION {o}()", 'f')),
    ),
    kind(
        "security definer function",
        "pg_proc",
        "CREATE FUNCTION {o}() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT pg_has_role(current_user, ''pg_monitor'', ''USAGE'')::text'",
        "FUNCTION {o}()",
        Some(("FUNCTION {o}()", 'f')),
    ),
    kind(
        "procedure",
        "pg_proc",
        "CREATE PROCEDURE {o}() LANGUAGE sql AS 'SELECT 1'",
        "PROCEDURE {o}()",
        Some(("PROCEDURE {o}()", 'f')),
    ),
    kind(
        "aggregate",
        "pg_proc",
        "CREATE AGGREGATE {o}(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0')",
        "AGGREGATE {o}(int)",
        Some(("FUNCTION {o}(int)", 'f')),
    ),
    kind(
        "operator",
        "pg_operator",
        "CREATE OPERATOR {s}.{p} (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int)",
        "OPERATOR {s}.{p} (int, int)",
        None,
    ),
    kind(
        "operator class",
        "pg_opclass",
        "CREATE OPERATOR CLASS {o} FOR TYPE int4 USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int4)",
        "OPERATOR CLASS {o} USING hash",
        None,
    ),
    kind(
        "operator family",
        "pg_opfamily",
        "CREATE OPERATOR FAMILY {o} USING btree",
        "OPERATOR FAMILY {o} USING btree",
        None,
    ),
    kind(
        "collation",
        "pg_collation",
        "CREATE COLLATION {o} FROM \"C\"",
        "COLLATION {o}",
        None,
    ),
    kind(
        "conversion",
        "pg_conversion",
        "CREATE CONVERSION {o} FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
        "CONVERSION {o}",
        None,
    ),
    kind(
        "statistics",
        "pg_statistic_ext",
        "CREATE TABLE {s}.stat{i} (a int, b int); CREATE STATISTICS {o} ON a, b FROM {s}.stat{i}",
        "STATISTICS {o}",
        None,
    ),
    kind(
        "text search dictionary",
        "pg_ts_dict",
        "CREATE TEXT SEARCH DICTIONARY {o} (TEMPLATE = simple)",
        "TEXT SEARCH DICTIONARY {o}",
        None,
    ),
    kind(
        "text search configuration",
        "pg_ts_config",
        "CREATE TEXT SEARCH CONFIGURATION {o} (COPY = simple)",
        "TEXT SEARCH CONFIGURATION {o}",
        None,
    ),
    kind(
        "large object",
        "pg_largeobject_metadata",
        "SELECT lo_from_bytea(70{i}, 'x')",
        "LARGE OBJECT 70{i}",
        Some(("LARGE OBJECT 70{i}", 'L')),
    ),
    kind(
        "schema",
        "pg_namespace",
        "CREATE SCHEMA {n}",
        "SCHEMA {n}",
        Some(("SCHEMA {n}", 'n')),
    ),
    kind(
        "publication",
        "pg_publication",
        "CREATE PUBLICATION {n}",
        "PUBLICATION {n}",
        None,
    ),
    kind(
        "server",
        "pg_foreign_server",
        "CREATE SERVER {n} FOREIGN DATA WRAPPER fdw0",
        "SERVER {n}",
        Some(("FOREIGN SERVER {n}", 'S')),
    ),
    kind(
        "language",
        "pg_language",
        "CREATE TRUSTED LANGUAGE {n} HANDLER plpgsql_call_handler VALIDATOR plpgsql_validator",
        "LANGUAGE {n}",
        Some(("LANGUAGE {n}", 'l')),
    ),
    kind(
        "extension",
        "pg_extension",
        "CREATE EXTENSION {e}",
        "",
        None,
    ),
    kind(
        "tablespace",
        "pg_tablespace",
        "CREATE TABLESPACE {n} LOCATION ''",
        "TABLESPACE {n}",
        Some(("TABLESPACE {n}", 't')),
    ),
    kind(
        "system function",
        "pg_proc",
        "",
        "",
        Some(("FUNCTION pg_catalog.pg_stat_reset()", 'f')),
    ),
    kind(
        "system table",
        "pg_class",
        "",
        "",
        Some(("TABLE pg_catalog.pg_authid", 'r')),
    ),
    superuser_only(kind(
        "publication of all tables",
        "pg_publication",
        "CREATE PUBLICATION {n} FOR ALL TABLES",
        "PUBLICATION {n}",
        None,
    )),
    superuser_only(kind(
        "subscription",
        "pg_subscription",
        "CREATE SUBSCRIPTION {n} CONNECTION 'dbname=none' PUBLICATION none WITH (connect = false, slot_name = NONE, enabled = false)",
        "SUBSCRIPTION {n}",
        None,
    )),
    superuser_only(kind(
        "event trigger",
        "pg_event_trigger",
        "CREATE EVENT TRIGGER {n} ON sql_drop EXECUTE FUNCTION public.on_event()",
        "EVENT TRIGGER {n}",
        None,
    )),
    superuser_only(kind(
        "foreign-data wrapper",
        "pg_foreign_data_wrapper",
        "CREATE FOREIGN DATA WRAPPER {n}",
        "FOREIGN DATA WRAPPER {n}",
        Some(("FOREIGN DATA WRAPPER {n}", 'F')),
    )),
];

/// Catalogue columns that refer to roles and are no owner of a [`Kind`], with the statements that
/// fill them.
pub const OTHER_ROLE_COLUMNS: [(&str, &str); 8] = [
    ("pg_auth_members", "membership"),
    ("pg_database", "database"),
    ("pg_db_role_setting", "setting"),
    ("pg_default_acl", "default privileges"),
    ("pg_policy", "policy"),
    ("pg_user_mapping", "user mapping"),
    // Derived from the others.
    ("pg_shdepend", "table"),
    ("pg_authid", "attributes"),
];

/// Catalogues with privileges of something that is no [`Kind`].
pub const OTHER_PRIVILEGES: [(&str, &str); 5] = [
    ("pg_attribute", "column grant"),
    ("pg_database", "database grant"),
    ("pg_default_acl", "default privileges"),
    ("pg_parameter_acl", "parameter grant"),
    // Privileges of extensions and of initdb, which no statement changes later.
    ("pg_init_privs", "extension"),
];
