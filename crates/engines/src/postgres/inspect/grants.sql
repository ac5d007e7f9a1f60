-- Grants to the clone itself in this database, its user mappings and default privileges, and what the
-- base user lacks of them. $1: the clone, or the base user if its sessions have another role;
-- $2: whether to include objects that all databases share, for which one database suffices; $3: the
-- role whose privileges the base user's sessions have; $4: the base user, which signs in and so needs
-- CONNECT itself; $5: the clone. The fields are those of `Grant`.
WITH RECURSIVE clone AS (
    SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1::text
), base AS (
    SELECT '"' || replace($3::text, '"', '""') || '"' AS ident,
        (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $3::text) AS oid
), login AS (
    SELECT '"' || replace($4::text, '"', '""') || '"' AS ident,
        (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $4::text) AS oid
), master AS (
    -- Roles that the master has the privileges of, or may take, and not only by the clone, whose
    -- memberships a run changes.
    SELECT oid, true AS inherits, true AS sets FROM pg_catalog.pg_roles WHERE rolname = session_user
    UNION
    SELECT e.roleid, m.inherits AND e.inherits, m.sets AND e.sets
    FROM master m
    JOIN (
        SELECT e.roleid, e.member,
            coalesce((to_jsonb(e) ->> 'inherit_option')::boolean, r.rolinherit) AS inherits,
            coalesce((to_jsonb(e) ->> 'set_option')::boolean, true) AS sets
        FROM pg_catalog.pg_auth_members e
        JOIN pg_catalog.pg_roles r ON r.oid = e.member
        UNION ALL
        SELECT r.oid, d.datdba, true, true
        FROM pg_catalog.pg_database d, pg_catalog.pg_roles r
        WHERE d.datname = current_database() AND r.rolname = 'pg_database_owner'
    ) e ON e.member = m.oid
    WHERE e.roleid <> (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $5::text)
), dependencies AS (
    SELECT d.classid, d.objid, d.deptype
    FROM pg_catalog.pg_shdepend d, clone
    WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = clone.oid
        AND (d.dbid = 0 AND $2::boolean
            OR d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
), objects AS (
    SELECT c.oid AS objid, 'pg_catalog.pg_class'::regclass AS classid, NULL::name AS part,
        c.relowner AS owner,
        CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.relacl AS acl,
        NULL::aclitem[] AS whole
    FROM pg_catalog.pg_class c
    UNION ALL
    SELECT c.oid, 'pg_catalog.pg_class'::regclass, a.attname, c.relowner, 'TABLE', a.attacl, c.relacl
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    WHERE a.attacl IS NOT NULL
    UNION ALL
    SELECT oid, 'pg_catalog.pg_namespace'::regclass, NULL, nspowner, 'SCHEMA', nspacl, NULL
    FROM pg_catalog.pg_namespace
    UNION ALL
    SELECT oid, 'pg_catalog.pg_proc'::regclass, NULL, proowner, 'ROUTINE', proacl, NULL
    FROM pg_catalog.pg_proc
    UNION ALL
    SELECT oid, 'pg_catalog.pg_type'::regclass, NULL, typowner, 'TYPE', typacl, NULL
    FROM pg_catalog.pg_type
    UNION ALL
    SELECT oid, 'pg_catalog.pg_language'::regclass, NULL, lanowner, 'LANGUAGE', lanacl, NULL
    FROM pg_catalog.pg_language
    UNION ALL
    SELECT oid, 'pg_catalog.pg_foreign_data_wrapper'::regclass, NULL, fdwowner,
        'FOREIGN DATA WRAPPER', fdwacl, NULL
    FROM pg_catalog.pg_foreign_data_wrapper
    UNION ALL
    SELECT oid, 'pg_catalog.pg_foreign_server'::regclass, NULL, srvowner, 'FOREIGN SERVER', srvacl,
        NULL
    FROM pg_catalog.pg_foreign_server
    UNION ALL
    -- Dependencies on a large object are stored under the class of its data.
    SELECT oid, 'pg_catalog.pg_largeobject'::regclass, NULL, lomowner, 'LARGE OBJECT', lomacl, NULL
    FROM pg_catalog.pg_largeobject_metadata
    UNION ALL
    SELECT oid, 'pg_catalog.pg_database'::regclass, NULL, datdba, 'DATABASE', datacl, NULL
    FROM pg_catalog.pg_database
    WHERE $2::boolean
    UNION ALL
    SELECT oid, 'pg_catalog.pg_tablespace'::regclass, NULL, spcowner, 'TABLESPACE', spcacl, NULL
    FROM pg_catalog.pg_tablespace
    WHERE $2::boolean
    UNION ALL
    SELECT oid, 'pg_catalog.pg_parameter_acl'::regclass, NULL, 10, 'PARAMETER', paracl, NULL
    FROM pg_catalog.pg_parameter_acl
    WHERE $2::boolean
), entries AS (
    SELECT o.objid, o.classid, o.owner, o.kind, e.grantor, e.is_grantable, holder.at_login,
        EXISTS (
            SELECT FROM pg_catalog.aclexplode(o.acl || coalesce(o.whole, '{}')) g
            WHERE g.is_grantable AND g.grantee <> o.owner
                AND (g.grantee IN (SELECT m.oid FROM master m WHERE m.inherits)
                    OR pg_has_role(clone.oid, g.grantee, 'USAGE')
                    OR pg_has_role(login.oid, g.grantee, 'USAGE'))) AS other_grantor,
        e.privilege_type || coalesce(' ("' || replace(o.part, '"', '""') || '")', '') AS privilege,
        -- PUBLIC, every role that the base user has the privileges of, and a grant on all columns. An
        -- owner always has the grant option, and the privilege unless it was revoked.
        EXISTS (
                SELECT FROM pg_catalog.aclexplode(o.acl || coalesce(o.whole, '{}')) b
                WHERE b.privilege_type = e.privilege_type
                    AND (b.is_grantable >= e.is_grantable OR holder.is_owner)
                    AND (b.grantee <> clone.oid OR clone.oid = holder.oid)
                    AND (b.grantee = 0 OR pg_has_role(holder.oid, b.grantee, 'USAGE')))
            OR (NOT e.is_grantable OR holder.is_owner) AND EXISTS (
                SELECT FROM pg_catalog.pg_roles r
                WHERE pg_has_role(holder.oid, r.oid, 'USAGE') AND CASE
                    WHEN o.kind = 'SCHEMA' AND e.privilege_type = 'USAGE'
                        THEN r.rolname IN ('pg_read_all_data', 'pg_write_all_data')
                    WHEN o.kind NOT IN ('TABLE', 'SEQUENCE') THEN false
                    WHEN e.privilege_type = 'SELECT' THEN r.rolname = 'pg_read_all_data'
                    WHEN e.privilege_type IN ('INSERT', 'UPDATE', 'DELETE')
                        THEN r.rolname = 'pg_write_all_data'
                    WHEN e.privilege_type = 'MAINTAIN' THEN r.rolname = 'pg_maintain'
                    ELSE false END) AS held
    FROM objects o
    CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) e
    CROSS JOIN clone
    CROSS JOIN base
    CROSS JOIN login
    CROSS JOIN LATERAL (
        SELECT h.oid, h.at_login, coalesce(pg_has_role(h.oid, o.owner, 'USAGE'), false) AS is_owner
        FROM (VALUES (base.oid, false), (login.oid, true)) h(oid, at_login)
        WHERE h.at_login = (e.privilege_type = 'CONNECT')) holder
    WHERE o.acl IS NOT NULL AND e.grantee = clone.oid AND o.owner <> clone.oid
), handed_on AS (
    SELECT o.classid, o.objid
    FROM objects o
    CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) a
    JOIN clone ON clone.oid = a.grantor
    WHERE o.acl IS NOT NULL
), statements AS (
    SELECT e.classid, e.objid, e.at_login, e.is_grantable, format('GRANT %s ON %s %s TO %s%s',
        string_agg(DISTINCT e.privilege, ', '), e.kind, i.identity,
        CASE WHEN e.at_login THEN login.ident ELSE base.ident END,
        CASE WHEN e.is_grantable THEN ' WITH GRANT OPTION' END) AS text
    FROM entries e
    CROSS JOIN LATERAL pg_identify_object(e.classid, e.objid, 0) i
    CROSS JOIN base
    CROSS JOIN login
    WHERE NOT e.held
    GROUP BY e.classid, e.objid, e.at_login, e.kind, i.identity, base.ident, login.ident,
        e.is_grantable
), defaults AS (
    SELECT d.oid, bool_and(e.held) AS held, string_agg(format(
        'ALTER DEFAULT PRIVILEGES FOR ROLE %I%s GRANT %s ON %s TO %s%s', o.rolname,
        ' IN SCHEMA ' || quote_ident(n.nspname), e.privilege_type,
        CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
            WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS'
            ELSE 'LARGE OBJECTS' END,
        base.ident, CASE WHEN e.is_grantable THEN ' WITH GRANT OPTION' END), '; ')
        FILTER (WHERE NOT e.held) AS text
    FROM pg_catalog.pg_default_acl d
    JOIN pg_catalog.pg_roles o ON o.oid = d.defaclrole
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
    CROSS JOIN clone
    CROSS JOIN base
    CROSS JOIN LATERAL (
        SELECT a.privilege_type, a.is_grantable, EXISTS (
            SELECT FROM pg_catalog.aclexplode(d.defaclacl) b
            WHERE b.privilege_type = a.privilege_type AND b.is_grantable >= a.is_grantable
                AND b.grantee <> clone.oid
                AND (b.grantee = 0 OR pg_has_role(base.oid, b.grantee, 'USAGE'))) AS held
        FROM pg_catalog.aclexplode(d.defaclacl) a
        WHERE a.grantee = clone.oid) e
    WHERE d.defaclrole <> clone.oid
    GROUP BY d.oid
), policies AS (
    SELECT p.oid, format('ALTER POLICY %I ON %s TO %s, %s', p.polname, i.identity,
        (SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
            FROM pg_catalog.pg_roles r WHERE r.oid = ANY (p.polroles)), base.ident) AS text,
        EXISTS (
            SELECT FROM unnest(p.polroles) AS named(oid)
            WHERE named.oid <> clone.oid
                AND (named.oid = 0 OR pg_has_role(base.oid, named.oid, 'USAGE'))) AS held
    FROM dependencies d
    JOIN pg_catalog.pg_policy p ON p.oid = d.objid
    CROSS JOIN LATERAL pg_identify_object('pg_catalog.pg_class'::regclass, p.polrelid, 0) i
    CROSS JOIN clone
    CROSS JOIN base
    WHERE d.deptype = 'r'
), mappings AS (
    -- Only a superuser and the user itself read the options: the statement copies them unseen.
    SELECT m.umid AS oid, format('DO $copy$BEGIN EXECUTE (SELECT format(%L, %L, srvname, '
            'string_agg(format(''%%I %%L'', option_name, option_value), '', '')) '
            'FROM pg_catalog.pg_user_mappings, pg_catalog.pg_options_to_table(umoptions) '
            'WHERE umid = %s GROUP BY srvname); END$copy$',
            'CREATE USER MAPPING FOR %I SERVER %I OPTIONS (%s)', $3::text, m.umid) AS text,
        EXISTS (
            SELECT FROM pg_catalog.pg_user_mappings b, base
            WHERE b.srvid = m.srvid AND b.umuser = base.oid) AS held
    FROM pg_catalog.pg_user_mappings m
    JOIN clone ON clone.oid = m.umuser
), creates AS (
    -- The privileges of objects that the clone creates, and those of the base user's.
    SELECT d.oid, d.defaclobjtype AS kind, d.defaclnamespace AS namespace, d.defaclacl AS acl,
        CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
            WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS'
            ELSE 'LARGE OBJECTS' END AS kinds,
        coalesce((SELECT b.defaclacl FROM pg_catalog.pg_default_acl b
            WHERE b.defaclrole = base.oid AND b.defaclnamespace = 0
                AND b.defaclobjtype = d.defaclobjtype),
            acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, base.oid))
            AS everywhere,
        (SELECT b.defaclacl FROM pg_catalog.pg_default_acl b
            WHERE b.defaclrole = base.oid AND b.defaclnamespace = d.defaclnamespace
                AND b.defaclobjtype = d.defaclobjtype AND d.defaclnamespace <> 0) AS in_schema
    FROM pg_catalog.pg_default_acl d
    JOIN clone ON clone.oid = d.defaclrole
    CROSS JOIN base
), created AS (
    SELECT c.oid, format('GRANT %s ON %s TO %s%s', string_agg(a.privilege_type, ', '), c.kinds,
        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
        CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END) AS text
    FROM creates c
    CROSS JOIN clone
    CROSS JOIN base
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.acl) a
    WHERE a.grantee NOT IN (clone.oid, base.oid) AND NOT EXISTS (
        SELECT FROM pg_catalog.aclexplode(c.everywhere || coalesce(c.in_schema, '{}')) b
        WHERE b.grantee IN (0, a.grantee) AND b.privilege_type = a.privilege_type
            AND b.is_grantable >= a.is_grantable)
    GROUP BY c.oid, c.kinds, a.grantee, a.is_grantable
    UNION ALL
    -- What PUBLIC has on objects of the base user only.
    SELECT c.oid, format('REVOKE %s ON %s FROM PUBLIC', a.privilege_type, c.kinds)
    FROM creates c
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.everywhere) a
    WHERE c.namespace = 0 AND a.grantee = 0 AND NOT EXISTS (
        SELECT FROM pg_catalog.aclexplode(c.acl) b
        WHERE b.grantee = 0 AND b.privilege_type = a.privilege_type)
), personal AS (
    SELECT pg_describe_object('pg_catalog.pg_user_mapping'::regclass, oid, 0) AS description, held,
        text
    FROM mappings
    UNION ALL
    SELECT pg_describe_object('pg_catalog.pg_default_acl'::regclass, c.oid, 0),
        count(e.text) = 0, string_agg(format('ALTER DEFAULT PRIVILEGES FOR ROLE %s%s %s', base.ident,
            ' IN SCHEMA ' || quote_ident(n.nspname), e.text), '; ' ORDER BY e.text)
    FROM creates c
    CROSS JOIN base
    LEFT JOIN created e ON e.oid = c.oid
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.namespace
    GROUP BY c.oid
), all_grants AS (
    SELECT e.kind || ' ' || i.identity AS object,
        pg_describe_object(e.classid, e.objid, 0) AS description,
        r.rolname AS owner, e.by_owner, may.inherits AS as_owner, e.held,
        (SELECT string_agg(text, '; ' ORDER BY text) FROM statements s
            WHERE s.classid = e.classid AND s.objid = e.objid AND NOT s.at_login) AS missing,
        -- Of this database, the facts have CONNECT without the grant option.
        (SELECT string_agg(text, '; ' ORDER BY text) FROM statements s
            WHERE s.classid = e.classid AND s.objid = e.objid AND s.at_login
                AND (s.is_grantable OR e.objid <> (SELECT d.oid FROM pg_catalog.pg_database d
                    WHERE d.datname = current_database()))) AS missing_at_login,
        (e.classid, e.objid) IN (SELECT classid, objid FROM handed_on) AS handed_on,
        e.other_grantor, may.sets AS sets_owner, false AS personal
    FROM (
        SELECT objid, classid, kind, owner, bool_and(grantor = owner) AS by_owner,
            bool_and(held OR at_login) AS held,
            bool_or(other_grantor) AS other_grantor
        FROM entries GROUP BY objid, classid, kind, owner
    ) e
    CROSS JOIN LATERAL pg_identify_object(e.classid, e.objid, 0) i
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(m.inherits), false) OR s.rolsuper AS inherits,
            coalesce(bool_or(m.sets), false) OR s.rolsuper AS sets
        FROM pg_catalog.pg_roles s
        LEFT JOIN master m ON m.oid = e.owner
        WHERE s.rolname = session_user
        GROUP BY s.rolsuper) may
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = e.owner
    UNION ALL
    SELECT NULL, pg_describe_object('pg_catalog.pg_default_acl'::regclass, oid, 0), NULL, false,
        false, held, text, NULL, false, false, false, false
    FROM defaults
    UNION ALL
    SELECT NULL, description, NULL, false, false, held, text, NULL, false, false, false, true
    FROM personal
    UNION ALL
    SELECT NULL, pg_describe_object('pg_catalog.pg_policy'::regclass, oid, 0), NULL, false, false,
        held, text, NULL, false, false, false, false
    FROM policies
    UNION ALL
    SELECT NULL, pg_describe_object(classid, objid, 0), NULL, false, false, false, NULL, NULL, false,
        false, false, false
    FROM dependencies
    WHERE deptype = 'a' AND classid NOT IN (SELECT classid FROM objects)
        -- A membership that the clone granted is not its own.
        AND classid NOT IN ('pg_catalog.pg_default_acl'::regclass,
            'pg_catalog.pg_auth_members'::regclass)
)
SELECT coalesce(json_agg(json_build_object(
    'database', current_database(), 'object', object, 'description', description,
    'owner', owner, 'by_owner', by_owner, 'as_owner', as_owner, 'held', held,
    'missing', missing, 'missing_at_login', missing_at_login, 'handed_on', handed_on,
    'other_grantor', other_grantor, 'sets_owner', sets_owner, 'personal', personal)
    ORDER BY object, description), '[]')::text
FROM all_grants
