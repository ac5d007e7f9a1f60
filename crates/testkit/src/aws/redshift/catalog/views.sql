-- Redshift's catalogue: its names, its columns, and who sees which rows.

CREATE VIEW pg_catalog.svv_user_info AS
    SELECT name AS user_name, id::int AS user_id, rolcreatedb AS createdb, rolsuper AS superuser,
        oid = 10 AS catalog_update,
        CASE WHEN rolconnlimit < 0 THEN 'UNLIMITED' ELSE rolconnlimit::text END AS connection_limit,
        CASE WHEN rolsuper THEN 'UNRESTRICTED' ELSE coalesce(note ->> 'syslog', 'RESTRICTED') END AS syslog_access,
        NULL::timestamp AS last_ddl_timestamp,
        coalesce((note ->> 'timeout')::int, 0) AS session_timeout,
        NULL::text AS external_user_id
    FROM pg_stand_in.identities JOIN pg_authid ON oid = id
    WHERE kind = 'user' AND ((SELECT pg_stand_in.sees_all()) OR (SELECT pg_stand_in.sees_log()) OR name = session_user);

-- What PostgreSQL's own columns are called stays; Redshift's usecatupd comes last. valuntil is an abstime, which can be invalid.
DROP VIEW pg_catalog.pg_user;
CREATE VIEW pg_catalog.pg_user AS
    SELECT rolname AS usename, oid AS usesysid, rolcreatedb AS usecreatedb, rolsuper AS usesuper,
        false AS userepl, false AS usebypassrls, '********'::text AS passwd, coalesce(note ->> 'valuntil', rolvaliduntil::text) AS valuntil,
        CASE WHEN s.setconfig IS NOT NULL THEN
            ARRAY(SELECT regexp_replace(one, '^redshift\.', '') FROM unnest(s.setconfig) one) END AS useconfig, oid = 10 AS usecatupd
    FROM pg_authid JOIN pg_stand_in.identities ON id = oid
    LEFT JOIN pg_db_role_setting s ON s.setrole = oid AND s.setdatabase = 0
    WHERE kind = 'user';

CREATE OR REPLACE VIEW pg_catalog.pg_shadow AS
    SELECT rolname AS usename, oid AS usesysid, rolcreatedb AS usecreatedb, rolsuper AS usesuper,
        false AS userepl, false AS usebypassrls, (note ->> 'password') COLLATE "C" AS passwd, rolvaliduntil AS valuntil,
        s.setconfig AS useconfig
    FROM pg_authid JOIN pg_stand_in.identities ON id = oid
    LEFT JOIN pg_db_role_setting s ON s.setrole = oid AND s.setdatabase = 0
    WHERE kind = 'user';

CREATE VIEW pg_catalog.pg_user_info AS
    SELECT usename, usesysid, usecreatedb, usesuper, usecatupd, passwd, valuntil, useconfig,
        CASE WHEN rolconnlimit < 0 THEN 'UNLIMITED' ELSE rolconnlimit::text END AS useconnlimit
    FROM pg_catalog.pg_user JOIN pg_authid ON pg_authid.oid = usesysid;

CREATE OR REPLACE VIEW pg_catalog.pg_group AS
    SELECT name::name AS groname, id AS grosysid,
        ARRAY(SELECT member FROM pg_auth_members WHERE roleid = id ORDER BY member) AS grolist
    FROM pg_stand_in.identities WHERE kind = 'group';

CREATE VIEW pg_catalog.svv_roles AS
    SELECT id::int AS role_id, name AS role_name, note ->> 'owner' AS role_owner, NULL::text AS external_id
    FROM pg_stand_in.identities
    WHERE kind = 'role' AND ((SELECT pg_stand_in.sees_all()) OR pg_stand_in.sees(id) OR note ->> 'owner' = session_user);

CREATE VIEW pg_catalog.svv_user_grants AS
    SELECT u.id::int AS user_id, u.name AS user_name, r.id::int AS role_id, r.name AS role_name,
        m.admin_option
    FROM pg_auth_members m
    JOIN pg_stand_in.identities r ON r.id = m.roleid AND r.kind = 'role'
    JOIN pg_stand_in.identities u ON u.id = m.member AND u.kind = 'user'
    WHERE (SELECT pg_stand_in.sees_all()) OR u.name = session_user;

CREATE VIEW pg_catalog.svv_role_grants AS
    SELECT u.id::int AS role_id, u.name AS role_name, r.id::int AS granted_role_id, r.name AS granted_role_name
    FROM pg_auth_members m
    JOIN pg_stand_in.identities r ON r.id = m.roleid AND r.kind = 'role'
    JOIN pg_stand_in.identities u ON u.id = m.member AND u.kind = 'role'
    WHERE (SELECT pg_stand_in.sees_all()) OR pg_stand_in.sees(u.id);

CREATE VIEW pg_catalog.svv_system_privileges AS
    SELECT privilege AS system_privilege, id::int AS identity_id, name AS identity_name, kind AS identity_type
    FROM pg_stand_in.identities, jsonb_array_elements_text(note -> 'system') privilege
    WHERE (SELECT pg_stand_in.sees_all()) OR pg_stand_in.sees(id);

-- Every privilege in this database, and the cluster's, as it was granted.
CREATE VIEW pg_stand_in.granted AS
    SELECT 'database' AS class, NULL::text AS schema, datname::text AS object, NULL::text AS part, a.*
    FROM pg_database, aclexplode(datacl) a WHERE NOT datistemplate AND privilege_type <> 'CONNECT'
    UNION ALL
    SELECT 'schema', nspname, nspname, NULL, a.*
    FROM pg_namespace, aclexplode(nspacl) a
    UNION ALL
    SELECT 'table', nspname, relname, NULL, a.*
    FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace, aclexplode(relacl) a
    WHERE relkind IN ('r', 'v', 'm') AND privilege_type NOT IN ('TRIGGER', 'MAINTAIN')
    UNION ALL
    SELECT 'column', nspname, relname, attname, a.*
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace,
        aclexplode(attacl) a
    WHERE NOT attisdropped
    UNION ALL
    SELECT 'function', nspname, proname, oidvectortypes(proargtypes), a.*
    FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace, aclexplode(proacl) a
    UNION ALL
    SELECT 'language', NULL, lanname, NULL, a.*
    FROM pg_language, aclexplode(lanacl) a
    UNION ALL
    SELECT class, CASE class WHEN 'schema' THEN object ELSE coalesce(n.nspname, m.schema) END, coalesce(c.relname::text, object), NULL, 10::oid, grantee, privilege, grantable
    FROM pg_stand_in.extra
    LEFT JOIN pg_class c ON class = 'table' AND c.oid::text = object
    LEFT JOIN pg_namespace n ON n.oid = relnamespace
    LEFT JOIN pg_stand_in.models m ON class = 'model' AND m.name = object
    WHERE class NOT IN ('table', 'model') OR c.oid IS NOT NULL OR m.name IS NOT NULL;

CREATE VIEW pg_stand_in.seen AS
    SELECT class, schema, object, part, privilege_type, id::int AS identity_id, name AS identity_name,
        kind AS identity_type, is_grantable AS admin_option
    FROM pg_stand_in.granted JOIN pg_stand_in.identities ON id = grantee
    WHERE coalesce(schema, '') NOT IN ('pg_stand_in', 'pg_catalog', 'information_schema', 'pg_toast')
        AND (CASE class WHEN 'table' THEN (SELECT pg_stand_in.sees_log()) ELSE (SELECT pg_stand_in.sees_all()) END
            OR pg_stand_in.sees(id));

CREATE VIEW pg_catalog.svv_database_privileges AS
    SELECT object AS database_name, privilege_type, identity_id, identity_name, identity_type, admin_option,
        'DATABASE'::text AS privilege_scope
    FROM pg_stand_in.seen WHERE class = 'database' AND privilege_type <> 'CREATE MODEL';

CREATE VIEW pg_catalog.svv_schema_privileges AS
    SELECT schema AS namespace_name, privilege_type, identity_id, identity_name, identity_type, admin_option,
        'SCHEMA'::text AS privilege_scope
    FROM pg_stand_in.seen WHERE class = 'schema';

CREATE VIEW pg_catalog.svv_relation_privileges AS
    SELECT schema AS namespace_name, object AS relation_name, privilege_type, identity_id, identity_name,
        identity_type, admin_option
    FROM pg_stand_in.seen WHERE class = 'table';

CREATE VIEW pg_catalog.svv_column_privileges AS
    SELECT schema AS namespace_name, object AS relation_name, part AS column_name, privilege_type, identity_id,
        identity_name, identity_type
    FROM pg_stand_in.seen WHERE class = 'column';

CREATE VIEW pg_catalog.svv_function_privileges AS
    SELECT schema AS namespace_name, object AS function_name, part AS argument_types, privilege_type, identity_id,
        identity_name, identity_type, admin_option
    FROM pg_stand_in.seen WHERE class = 'function';

CREATE VIEW pg_catalog.svv_language_privileges AS
    SELECT object AS language_name, privilege_type, identity_id, identity_name, identity_type, admin_option
    FROM pg_stand_in.seen WHERE class = 'language'
    UNION ALL
    SELECT 'mlfunc', 'USAGE', identity_id, identity_name, identity_type, admin_option
    FROM pg_stand_in.seen WHERE privilege_type = 'CREATE MODEL';

CREATE VIEW pg_catalog.svv_ml_model_privileges AS
    SELECT schema AS namespace_name, object AS model_name, CASE WHEN class = 'model' THEN 1 END AS model_version,
        privilege_type, identity_id, identity_name, identity_type, admin_option
    FROM pg_stand_in.seen WHERE class = 'model';

CREATE VIEW pg_catalog.svv_ml_model_info AS
    SELECT current_database()::char(128) AS database_name, schema::char(128) AS schema_name, name_::char(128) AS user_name,
        m.name::char(128) AS model_name, 'CREATED'::char(20) AS life_cycle, 1 AS is_refreshable, 'Model is Ready'::char(128) AS model_state
    FROM pg_stand_in.models m
    JOIN LATERAL (SELECT i.name AS name_ FROM pg_stand_in.identities i WHERE i.id = m.owner) owner ON true
    WHERE pg_stand_in.is_superuser(session_user) OR name_ = session_user;

-- The rows of SHOW GRANTS.
CREATE VIEW pg_stand_in.shown AS
    SELECT current_database()::text AS database_name, schema AS schema_name, object AS object_name, upper(class) AS object_type,
        privilege_type, g.id::int AS identity_id, g.name AS identity_name, g.kind AS identity_type, is_grantable AS admin_option,
        upper(class) AS privilege_scope, o.name AS grantor_name
    FROM pg_stand_in.granted JOIN pg_stand_in.identities g ON g.id = grantee LEFT JOIN pg_stand_in.identities o ON o.id = grantor
    WHERE class IN ('database', 'schema', 'table', 'function')
    UNION ALL
    SELECT database, schema, object, 'TABLE', privilege, id::int, name, kind, false, 'TABLE', 'postgres'
    FROM pg_stand_in.shared JOIN pg_stand_in.identities ON name = grantee AND kind = 'user';
GRANT SELECT ON pg_stand_in.shown TO PUBLIC;

-- PostgreSQL's sequences stand for Redshift's procedures: it keeps both kinds of routines as one.
CREATE VIEW pg_catalog.svv_default_privileges AS
    SELECT n.nspname::text AS schema_name,
        CASE defaclobjtype WHEN 'r' THEN 'RELATION' WHEN 'f' THEN 'FUNCTION' ELSE 'PROCEDURE' END AS object_type,
        o.id::int AS owner_id, o.name AS owner_name, o.kind AS owner_type,
        CASE defaclobjtype WHEN 'S' THEN 'EXECUTE' ELSE privilege_type END AS privilege_type,
        g.id::int AS grantee_id, g.name AS grantee_name, g.kind AS grantee_type, is_grantable AS admin_option
    FROM pg_default_acl d
    LEFT JOIN pg_namespace n ON n.oid = defaclnamespace
    JOIN pg_stand_in.identities o ON o.id = defaclrole
    CROSS JOIN LATERAL aclexplode(defaclacl) a
    JOIN pg_stand_in.identities g ON g.id = grantee
    WHERE grantee <> defaclrole AND defaclobjtype IN ('r', 'f', 'S')
        AND privilege_type NOT IN ('TRIGGER', 'MAINTAIN')
        AND ((SELECT pg_stand_in.sees_all()) OR pg_stand_in.sees(grantee));

CREATE VIEW pg_catalog.svv_redshift_databases AS
    SELECT datname::text AS database_name, datdba::int AS database_owner, 'local'::text AS database_type,
        array_to_string(datacl, ',') AS database_acl, ''::text AS database_options,
        'Snapshot Isolation'::text AS database_isolation_level
    FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'
    UNION ALL
    SELECT DISTINCT database, 10, 'shared', '', '', 'Snapshot Isolation' FROM pg_stand_in.shared;

CREATE VIEW pg_catalog.pg_proc_info AS
    SELECT oid AS prooid, proname, pronamespace, proowner, prolang, prokind, pronargs, proargtypes, prosrc, proacl
    FROM pg_proc;

-- A connection of the Data API says in its name whose it is.
CREATE VIEW pg_catalog.stv_sessions AS
    SELECT (backend_start AT TIME ZONE 'UTC')::timestamp(0) AS starttime, pid AS process,
        name::char(50) AS user_name, datname::char(50) AS db_name,
        coalesce((note ->> 'timeout')::int, 0) AS timeout_sec
    FROM pg_stat_activity
    JOIN pg_stand_in.identities
        ON id::text = CASE WHEN application_name LIKE 'data api: %' THEN substr(application_name, 11) ELSE usesysid::text END
    WHERE backend_type = 'client backend';

-- The sessions of now: none is remembered.
CREATE VIEW pg_catalog.sys_session_history AS
    SELECT id::text::char(50) AS user_id, pid AS session_id, datname::char(50) AS database_name,
        'active'::text AS status, coalesce((note ->> 'timeout')::int, 0) AS session_timeout,
        backend_start AT TIME ZONE 'UTC' AS start_time, NULL::timestamp AS end_time
    FROM pg_stat_activity
    JOIN pg_stand_in.identities
        ON id::text = CASE WHEN application_name LIKE 'data api: %' THEN substr(application_name, 11) ELSE usesysid::text END
    WHERE backend_type = 'client backend' AND ((SELECT pg_stand_in.sees_log()) OR name = session_user);

-- Of what PostgreSQL has nothing, there is none.
CREATE VIEW pg_catalog.svv_datashare_privileges AS
    SELECT ''::text AS datashare_name, ''::text AS datashare_type, ''::text AS privilege_type, 0 AS identity_id,
        ''::text AS identity_name, ''::text AS identity_type, false AS admin_option WHERE false;
CREATE VIEW pg_catalog.svv_iam_privileges AS
    SELECT ''::text AS iam_arn, ''::text AS command_type, 0 AS identity_id, ''::text AS identity_name,
        ''::text AS identity_type WHERE false;
CREATE VIEW pg_catalog.svv_rls_attached_policy AS
    SELECT schema AS relschema, relation AS relname, 'r'::text AS relkind, policy AS polname,
        'awsuser'::text AS grantor, grantee, 'user'::text AS granteekind, true AS is_pol_on,
        true AS is_rls_on, 'and'::text AS rls_conjunction_type FROM pg_stand_in.policies WHERE kind = 'rls';
CREATE VIEW pg_catalog.svv_attached_masking_policy AS
    SELECT policy AS policy_name, schema AS schema_name, relation AS table_name, 'table'::text AS table_type,
        'awsuser'::text AS grantor, grantee, 'user'::text AS grantee_type, 0 AS priority,
        ''::text AS input_columns, ''::text AS output_columns FROM pg_stand_in.policies WHERE kind = 'masking';

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT relname FROM pg_class
        WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'v'
            AND (relname LIKE 'svv\_%' OR relname IN ('stv_sessions', 'sys_session_history', 'pg_user', 'pg_group', 'pg_proc_info'))
    LOOP
        EXECUTE format('GRANT SELECT ON pg_catalog.%I TO PUBLIC', name);
    END LOOP;
END $$;
