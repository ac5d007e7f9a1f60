-- Grants to the clone itself in this database. $1: the clone; $2: whether to include objects that all
-- databases share, for which one database suffices. The fields are those of `Grant`.
WITH clone AS (
    SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1::text
), objects AS (
    SELECT c.oid AS objid, 'pg_catalog.pg_class'::regclass AS classid, c.relowner AS owner,
        CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.relacl AS acl
    FROM pg_catalog.pg_class c
    UNION ALL
    SELECT c.oid, 'pg_catalog.pg_class'::regclass, c.relowner, 'TABLE', a.attacl
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    WHERE a.attacl IS NOT NULL
    UNION ALL
    SELECT oid, 'pg_catalog.pg_namespace'::regclass, nspowner, 'SCHEMA', nspacl
    FROM pg_catalog.pg_namespace
    UNION ALL
    SELECT oid, 'pg_catalog.pg_proc'::regclass, proowner, 'ROUTINE', proacl
    FROM pg_catalog.pg_proc
    UNION ALL
    SELECT oid, 'pg_catalog.pg_type'::regclass, typowner, 'TYPE', typacl
    FROM pg_catalog.pg_type
    UNION ALL
    SELECT oid, 'pg_catalog.pg_database'::regclass, datdba, 'DATABASE', datacl
    FROM pg_catalog.pg_database
    WHERE $2::boolean
), entries AS (
    SELECT o.objid, o.classid, o.owner, o.kind,
        bool_and(e.grantor = o.owner) AS by_owner
    FROM objects o, pg_catalog.aclexplode(o.acl) e, clone
    WHERE o.acl IS NOT NULL AND e.grantee = clone.oid AND o.owner <> clone.oid
    GROUP BY o.objid, o.classid, o.owner, o.kind
), others AS (
    SELECT d.classid, d.objid
    FROM pg_catalog.pg_shdepend d, clone
    WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = clone.oid
        AND d.deptype = 'a'
        AND (d.dbid = 0 AND $2::boolean
            OR d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
        AND d.classid NOT IN (SELECT classid FROM objects)
), all_grants AS (
    SELECT e.kind || ' ' || i.identity AS object,
        pg_describe_object(e.classid, e.objid, 0) AS description,
        r.rolname AS owner, e.by_owner, pg_has_role(e.owner, 'USAGE') AS as_owner
    FROM entries e
    CROSS JOIN LATERAL pg_identify_object(e.classid, e.objid, 0) i
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = e.owner
    UNION ALL
    SELECT NULL, pg_describe_object(o.classid, o.objid, 0), NULL, false, false FROM others o
)
SELECT coalesce(json_agg(json_build_object(
    'database', current_database(), 'object', object, 'description', description,
    'owner', owner, 'by_owner', by_owner, 'as_owner', as_owner) ORDER BY object, description),
    '[]')::text
FROM all_grants
