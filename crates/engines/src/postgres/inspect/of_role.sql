-- Databases in which a role owns objects or has grants, also by row policies. $1: the role. The fields
-- are those of `OfRole`.
SELECT coalesce(json_agg(d ORDER BY d.name), '[]')::text
FROM (
    SELECT coalesce(b.datname, current_database()) AS name,
        coalesce(bool_and(b.datallowconn), true) AS allows_connections,
        coalesce(bool_and(has_database_privilege(b.oid, 'CONNECT')), true) AS may_connect,
        coalesce(bool_or(d.deptype IN ('a', 'r')), false) AS granted,
        count(*) FILTER (WHERE d.deptype = 'o' AND d.classid NOT IN (
            'pg_catalog.pg_default_acl'::regclass, 'pg_catalog.pg_user_mapping'::regclass)) AS owned
    FROM pg_catalog.pg_shdepend d
    LEFT JOIN pg_catalog.pg_database b ON b.oid = d.dbid
    WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass
        AND d.refobjid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1::text)
    GROUP BY 1
) d
