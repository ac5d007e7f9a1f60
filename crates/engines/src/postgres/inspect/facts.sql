-- $1: the base user, $2: the clone. One JSON document; the fields are those of `Facts`.
-- The master of a thousand pairs is a member of two thousand roles. `pg_has_role` visits all of them
-- to find an ADMIN OPTION, so it is called only where none is granted directly. Every lookup here
-- uses an index.
WITH RECURSIVE me AS (
    SELECT oid, rolname FROM pg_catalog.pg_roles WHERE rolname = session_user
), pair AS (
    SELECT r.*, r.rolname = $2::text AS is_clone
    FROM pg_catalog.pg_roles r WHERE r.rolname IN ($1::text, $2::text)
), inherited AS (
    -- Roles that the master has the privileges of, and not only by the clone, whose memberships a run
    -- changes.
    SELECT oid FROM me
    UNION
    SELECT m.roleid
    FROM inherited i
    JOIN pg_catalog.pg_auth_members m ON m.member = i.oid
    JOIN pg_catalog.pg_roles r ON r.oid = i.oid
    WHERE coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit)
        AND m.roleid <> ALL (ARRAY (SELECT oid FROM pair WHERE is_clone))
), config AS (
    SELECT p.rolname, d.datname, s.setdatabase, s.setconfig
    FROM pg_catalog.pg_db_role_setting s
    JOIN pair p ON p.oid = s.setrole
    LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
    WHERE s.setdatabase = 0 OR d.oid IS NOT NULL
), setting AS (
    SELECT lower(split_part(unnest(setconfig), '=', 1)) AS name FROM config
), role AS (
    SELECT r.oid, json_build_object(
        'name', r.rolname, 'superuser', r.rolsuper, 'inherit', r.rolinherit,
        'createrole', r.rolcreaterole, 'createdb', r.rolcreatedb, 'login', r.rolcanlogin,
        'replication', r.rolreplication, 'bypassrls', r.rolbypassrls,
        'connection_limit', r.rolconnlimit,
        'valid_until', nullif(r.rolvaliduntil, 'infinity')::text,
        'expired', coalesce(r.rolvaliduntil <= now(), false)
    ) AS doc
    FROM pg_catalog.pg_roles r
    WHERE r.oid = ANY (ARRAY (SELECT oid FROM pair UNION SELECT oid FROM me))
), dependency AS (
    SELECT d.dbid, d.classid, d.deptype::text,
        coalesce(b.datname, current_database()) AS datname,
        coalesce(b.datallowconn, true) AS allows_connections,
        coalesce(has_database_privilege(b.oid, 'CONNECT'), true) AS may_connect
    FROM pg_catalog.pg_shdepend d
    LEFT JOIN pg_catalog.pg_database b ON b.oid = d.dbid
    WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass
        AND d.refobjid = ANY (ARRAY (SELECT oid FROM pair WHERE is_clone))
), choice AS (
    -- Roles that `ALTER ROLE … SET role` and `ALTER DATABASE … SET role` choose for sessions.
    SELECT s.setrole, d.datname, substr(v.setting, 6) AS value
    FROM pg_catalog.pg_db_role_setting s
    CROSS JOIN LATERAL unnest(s.setconfig) v(setting)
    LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
    WHERE (s.setrole = 0 OR s.setrole = ANY (ARRAY (SELECT oid FROM pair)))
        AND (s.setdatabase = 0 OR d.oid IS NOT NULL)
        AND v.setting LIKE 'role=%'
), cycle AS (
    -- A role of the clone that is itself a member of the base user, and a role of the base user that is
    -- a member of the role of its sessions: neither can be granted to the other.
    SELECT b.oid AS target, b.rolname AS target_name, r.oid, r.rolname
    FROM pair b
    JOIN pg_catalog.pg_roles r ON r.oid = ANY (ARRAY (
        SELECT m.roleid FROM pg_catalog.pg_auth_members m JOIN pair k ON k.oid = m.member AND k.is_clone
        UNION
        SELECT r.oid FROM choice c
        JOIN pair k ON k.oid = c.setrole AND k.is_clone
        JOIN pg_catalog.pg_roles r ON r.rolname = c.value))
    WHERE NOT b.is_clone AND r.oid <> b.oid AND NOT r.rolsuper AND pg_has_role(r.oid, b.oid, 'MEMBER')
    UNION
    SELECT o.oid, o.rolname, g.oid, g.rolname
    FROM choice c
    JOIN pg_catalog.pg_roles o ON o.rolname = c.value AND c.value <> 'none'
    JOIN pair b ON NOT b.is_clone AND b.oid <> o.oid
    JOIN pg_catalog.pg_auth_members m ON m.member = b.oid
    JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
    WHERE g.oid <> o.oid AND NOT g.rolsuper AND pg_has_role(g.oid, o.oid, 'MEMBER')
), power AS (
    SELECT p.oid, json_build_object(
        'admin', direct.admin OR pg_has_role(p.oid, 'MEMBER WITH ADMIN OPTION'),
        -- The grantor is the master, or a role that it inherits.
        'grants', direct.admin OR EXISTS (
            SELECT FROM pg_catalog.pg_auth_members m
            WHERE m.roleid = p.oid AND m.admin_option AND pg_has_role(m.member, 'USAGE')),
        -- Needed, and computed, only where the clone owns objects or has grants of its own.
        'usage', EXISTS (SELECT FROM dependency) AND pg_has_role(p.oid, 'USAGE'),
        'set', EXISTS (SELECT FROM dependency) AND pg_has_role(p.oid, '{set_mode}'),
        'grantor', other.rolname,
        'own_grant', (
            SELECT json_build_object(
                'inherit', coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true),
                'set', coalesce((to_jsonb(m) ->> 'set_option')::boolean, true))
            FROM pg_catalog.pg_auth_members m, me
            WHERE m.roleid = p.oid AND m.member = me.oid
                AND m.grantor = coalesce(other.oid, me.oid))
    ) AS doc
    FROM pg_catalog.pg_roles p
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(m.admin_option), false) AS admin
        FROM pg_catalog.pg_auth_members m, me
        WHERE m.roleid = p.oid AND m.member = me.oid) direct
    LEFT JOIN LATERAL (
        SELECT r.oid, r.rolname
        FROM pg_catalog.pg_auth_members m
        JOIN pg_catalog.pg_roles r ON r.oid = m.member
        WHERE m.roleid = p.oid AND m.admin_option AND pg_has_role(r.oid, 'USAGE')
        ORDER BY r.oid IN (SELECT oid FROM pair), r.rolname LIMIT 1) other ON NOT direct.admin
    WHERE p.oid = ANY (ARRAY (SELECT oid FROM pair
        UNION SELECT r.oid FROM choice JOIN pg_catalog.pg_roles r ON r.rolname = choice.value))
)
SELECT json_build_object(
    'version', current_setting('server_version_num')::int,
    'version_text', current_setting('server_version'),
    'database', current_database(),
    'master', (SELECT doc FROM role JOIN me USING (oid)),
    'over_base', coalesce((SELECT power.doc FROM power JOIN pair USING (oid) WHERE NOT is_clone),
        '{"admin":false,"grants":false,"usage":false,"set":false,"grantor":null,"own_grant":null}'),
    'over_clone', coalesce((SELECT power.doc FROM power JOIN pair USING (oid) WHERE is_clone),
        '{"admin":false,"grants":false,"usage":false,"set":false,"grantor":null,"own_grant":null}'),
    'base', (SELECT role.doc FROM role JOIN pair USING (oid) WHERE NOT pair.is_clone),
    'clone', (SELECT role.doc FROM role JOIN pair USING (oid) WHERE pair.is_clone),
    'base_connects', coalesce((
        SELECT has_database_privilege(oid, current_database(), 'CONNECT')
        FROM pair WHERE NOT is_clone), true),
    'in_recovery', pg_is_in_recovery(),
    -- Memberships in the clone that the base user has, directly or through the member.
    'in_clone', coalesce((
        SELECT json_agg(json_build_object('member', r.rolname, 'grantor', coalesce(g.rolname, ''),
            'handed_on', current_setting('server_version_num')::int >= 160000 AND EXISTS (
                SELECT FROM pg_catalog.pg_auth_members t
                WHERE m.admin_option AND t.roleid = m.roleid AND t.grantor = m.member))
            ORDER BY r.rolname, g.rolname)
        FROM pair p
        JOIN pg_catalog.pg_auth_members m ON m.roleid = p.oid AND p.is_clone
        JOIN pair b ON NOT b.is_clone AND pg_has_role(b.oid, m.member, 'MEMBER')
        JOIN pg_catalog.pg_roles r ON r.oid = m.member
        LEFT JOIN pg_catalog.pg_roles g ON g.oid = m.grantor), '[]'),
    'members_of_clone', coalesce((
        SELECT json_agg(json_build_object('member', m.name, 'grantor', coalesce(g.rolname, ''),
            'sets', m.sets,
            'has_base', (NOT m.inherits OR pg_has_role(m.member, b.oid, 'USAGE'))
                AND (NOT m.sets OR pg_has_role(m.member, b.oid, '{set_mode}')),
            'handed_on', current_setting('server_version_num')::int >= 160000 AND EXISTS (
                SELECT FROM pg_catalog.pg_auth_members t
                WHERE m.admin_option AND t.roleid = m.roleid AND t.grantor = m.member))
            ORDER BY m.name, g.rolname)
        FROM (
            SELECT m.roleid, m.member, m.grantor, m.admin_option, r.rolname AS name,
                coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit) AS inherits,
                coalesce((to_jsonb(m) ->> 'set_option')::boolean, true) AS sets
            FROM pair p
            JOIN pg_catalog.pg_auth_members m ON m.roleid = p.oid AND p.is_clone
            JOIN pg_catalog.pg_roles r ON r.oid = m.member AND NOT r.rolsuper
        ) m
        JOIN pair b ON NOT b.is_clone AND NOT pg_has_role(b.oid, m.member, 'MEMBER')
        LEFT JOIN pg_catalog.pg_roles g ON g.oid = m.grantor
        CROSS JOIN me
        WHERE m.member <> me.oid AND (m.inherits OR m.sets)), '[]'),
    'password_encryption', current_setting('password_encryption'),
    'password_commands_denied',
        coalesce(current_setting('rds.restrict_password_commands', true), 'off') IN ('on', '1', 'true')
        AND NOT coalesce((SELECT pg_has_role(oid, 'MEMBER') FROM pg_catalog.pg_roles
            WHERE rolname = 'rds_password'), false),
    'sees_sessions', pg_has_role('pg_read_all_stats', 'USAGE'),
    'authid_readable', has_table_privilege('pg_catalog.pg_authid', 'SELECT'),
    'memberships', coalesce((
        SELECT json_agg(json_build_object(
            'role', r.rolname, 'member', p.rolname, 'grantor', coalesce(g.rolname, ''),
            'inherit', (to_jsonb(m) ->> 'inherit_option')::boolean,
            'set', (to_jsonb(m) ->> 'set_option')::boolean,
            'admin', m.admin_option,
            'held', coalesce((
                SELECT (NOT coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, p.rolinherit)
                        OR pg_has_role(b.oid, r.oid, 'USAGE'))
                    AND (NOT coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)
                        OR pg_has_role(b.oid, r.oid, '{set_mode}'))
                    AND (NOT m.admin_option
                        OR pg_has_role(b.oid, r.oid, 'MEMBER WITH ADMIN OPTION'))
                FROM pair b WHERE NOT b.is_clone AND p.is_clone), false),
            'handed_on', current_setting('server_version_num')::int >= 160000 AND EXISTS (
                SELECT FROM pg_catalog.pg_auth_members t
                WHERE m.admin_option AND t.roleid = m.roleid AND t.grantor = m.member),
            'revocable', CASE
                WHEN NOT p.is_clone OR r.rolname = $1 THEN false
                -- The member granted the role to others.
                WHEN current_setting('server_version_num')::int >= 160000 AND EXISTS (
                    SELECT FROM pg_catalog.pg_auth_members t
                    WHERE m.admin_option AND t.roleid = m.roleid AND t.grantor = m.member)
                    THEN false
                WHEN (SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = me.oid) THEN true
                WHEN current_setting('server_version_num')::int < 160000 THEN NOT r.rolsuper
                ELSE g.oid IS NOT NULL
                    AND (coalesce((
                            SELECT bool_or(o.admin_option) FROM pg_catalog.pg_auth_members o
                            WHERE o.roleid = r.oid AND o.member = me.oid), false)
                        OR pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION'))
                    AND g.oid IN (SELECT oid FROM inherited) END)
            ORDER BY p.rolname, r.rolname, g.rolname)
        FROM pg_catalog.pg_auth_members m
        JOIN pair p ON p.oid = m.member
        JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
        LEFT JOIN pg_catalog.pg_roles g ON g.oid = m.grantor
        CROSS JOIN me
        WHERE m.member = ANY (ARRAY (SELECT oid FROM pair))), '[]'),
    'settings', coalesce((
        SELECT json_agg(json_build_object(
            'role', rolname, 'database', CASE WHEN setdatabase <> 0 THEN datname END,
            'values', setconfig) ORDER BY rolname, datname NULLS FIRST)
        FROM config), '[]'),
    -- All settings are read only if the pair has one besides `role`, which every user may set.
    'role_choices', coalesce((
        SELECT json_agg(json_build_object(
            'of', p.rolname, 'database', c.datname, 'role', c.value,
            'usable', coalesce(pg_has_role(b.oid, r.oid, '{set_mode}'), false),
            'held', coalesce(pg_has_role(b.oid, r.oid, 'USAGE'), false),
            'usable_by_clone', coalesce((
                SELECT pg_has_role(k.oid, r.oid, '{set_mode}') FROM pair k WHERE k.is_clone), false),
            'attributes', array_remove(ARRAY[CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
                CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
                CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL),
            'inherits', coalesce(r.rolinherit, false),
            -- Roles that the clone has through the base user, and this role has not.
            'lacks', coalesce((
                SELECT json_agg(json_build_object('role', g.rolname, 'admin', g.admin)
                    ORDER BY g.rolname)
                FROM (
                    SELECT g.oid, g.rolname, k.oid AS clone, bool_or(m.admin_option)
                        AND pg_has_role(k.oid, b.oid, 'USAGE')
                        AND NOT pg_has_role(r.oid, g.oid, 'MEMBER WITH ADMIN OPTION') AS admin
                    FROM pg_catalog.pg_auth_members m
                    JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
                    JOIN pair k ON k.is_clone
                    WHERE m.member = b.oid AND g.oid <> r.oid
                    GROUP BY g.oid, g.rolname, k.oid) g
                WHERE g.admin OR pg_has_role(g.clone, g.oid, 'USAGE')
                    AND NOT pg_has_role(r.oid, g.oid, 'USAGE')), '[]'),
            'rights', coalesce(power.doc,
                '{"admin":false,"grants":false,"usage":false,"set":false,"grantor":null,"own_grant":null}'))
            ORDER BY p.rolname, c.datname)
        FROM choice c
        LEFT JOIN pair p ON p.oid = c.setrole
        LEFT JOIN pair b ON NOT b.is_clone
        LEFT JOIN pg_catalog.pg_roles r ON r.rolname = c.value AND c.value <> 'none'
        LEFT JOIN power ON power.oid = r.oid), '[]'),
    'cycles', coalesce((
        SELECT json_agg(json_build_object('target', y.target_name, 'role', y.rolname,
            -- The role itself, and what it inherits. pg_database_owner has no members.
            'reaches', coalesce((
                SELECT json_agg(json_build_object('role', x.rolname,
                    'is_member', pg_has_role(x.oid, y.target, 'MEMBER'),
                    'inherits', pg_has_role(x.oid, y.target, 'USAGE')) ORDER BY x.rolname)
                FROM pg_catalog.pg_roles x
                WHERE NOT x.rolsuper AND x.oid <> y.target AND x.rolname <> 'pg_database_owner'
                    AND pg_has_role(y.oid, x.oid, 'USAGE')
                    AND NOT pg_has_role(y.target, x.oid, 'USAGE')), '[]'))
            ORDER BY y.target_name, y.rolname)
        FROM cycle y), '[]'),
    'unsettable', coalesce((
        SELECT json_agg(DISTINCT s.name)
        FROM setting s
        LEFT JOIN pg_catalog.pg_settings p ON lower(p.name) = s.name
        WHERE EXISTS (SELECT FROM setting WHERE name <> 'role')
            -- A name that the server does not list is a custom parameter, or one that only
            -- superusers may read (`session_preload_libraries`) and set. Three others are hidden.
            AND (p.context IN ('superuser', 'superuser-backend')
                OR p.name IS NULL AND s.name NOT IN ('role', 'session_authorization', 'seed'))
            AND NOT {may_set}),
        '[]'),
    -- REASSIGN OWNED skips default privileges and user mappings: they are dropped with their user.
    'owned', coalesce((
        SELECT json_agg(o ORDER BY o.database)
        FROM (SELECT datname AS database, count(*) AS count FROM dependency
            WHERE deptype = 'o' AND classid NOT IN (
                'pg_catalog.pg_default_acl'::regclass, 'pg_catalog.pg_user_mapping'::regclass)
            GROUP BY datname) o), '[]'),
    'databases', coalesce((
        SELECT json_agg(DISTINCT jsonb_build_object('name', datname,
            'allows_connections', allows_connections, 'may_connect', may_connect))
        FROM dependency), '[]'),
    'granted_in', coalesce((
        SELECT json_agg(DISTINCT datname) FROM dependency
        -- Grants, row policies, default privileges and user mappings.
        WHERE deptype IN ('a', 'r') OR classid IN (
            'pg_catalog.pg_default_acl'::regclass, 'pg_catalog.pg_user_mapping'::regclass)), '[]')
)::text
