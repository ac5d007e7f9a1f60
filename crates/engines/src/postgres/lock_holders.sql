-- The holders of the pair's keys in this database, as one JSON list. No placeholder may be in a
-- comment. The view has a lock of two numbers with objsubid 2, and a prepared transaction has no process.
SELECT coalesce(json_agg(json_build_object(
    'pid', l.pid,
    'user', coalesce(a.usename, x.owner),
    'client', host(a.client_addr),
    'application', nullif(a.application_name, ''),
    'since', (extract(epoch FROM coalesce(a.backend_start, x.prepared)) * 1000)::bigint,
    'prepared', x.gid,
    'may_be_run', m.may_be_run
) ORDER BY a.backend_start, l.pid), '[]')::text
FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
LEFT JOIN pg_catalog.pg_prepared_xacts x ON l.virtualtransaction = '-1/' || x.transaction
CROSS JOIN LATERAL (
    -- A session that ended since, or whose user is not known, counts as a run.
    SELECT l.pid IS NOT NULL AND coalesce(a.usename = session_user
        OR ((r.rolsuper OR r.rolcreaterole) AND a.usename NOT IN ({pair})), true) AS may_be_run
) m
WHERE l.locktype = 'advisory' AND l.granted
AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
AND l.pid IS DISTINCT FROM pg_backend_pid()
AND ((l.objsubid = 1 AND l.classid = {high} AND l.objid = {low})
    OR (l.objsubid = 2 AND l.classid = {entries} AND m.may_be_run))
