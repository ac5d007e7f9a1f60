-- $1: the user. One JSON document; the fields are those of `Facts` of one_user.rs.
SELECT json_build_object(
    'version', current_setting('server_version_num')::int,
    'version_text', current_setting('server_version'),
    'in_recovery', pg_is_in_recovery(),
    'password_encryption', current_setting('password_encryption'),
    'password_commands_denied',
        coalesce(current_setting('rds.restrict_password_commands', true), 'off') IN ('on', '1', 'true')
        AND NOT coalesce((SELECT pg_has_role(oid, 'MEMBER') FROM pg_catalog.pg_roles
            WHERE rolname = 'rds_password'), false),
    'authid_readable', has_table_privilege('pg_catalog.pg_authid', 'SELECT'),
    'master', me.rolname,
    'superuser', me.rolsuper,
    'createrole', me.rolcreaterole,
    'user', (SELECT json_build_object(
            'superuser', r.rolsuper,
            'replication', r.rolreplication,
            'is_master', r.oid = me.oid,
            'admin', pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION'))
        FROM pg_catalog.pg_roles r WHERE r.rolname = $1::text)
)::text
FROM pg_catalog.pg_roles me WHERE me.rolname = session_user
