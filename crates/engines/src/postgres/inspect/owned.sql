-- Objects of the clone in this database that REASSIGN OWNED cannot give to the new owner yet, each
-- with the statement that removes the obstacle (PostgreSQL manual, "ALTER … OWNER TO"). $1: the clone;
-- $2: whether to include objects that all databases share; $3: the new owner. The master is a member
-- of both meanwhile. The fields are those of `Obstacle`.
WITH clone AS (
    SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1::text
), owner AS (
    SELECT oid, '"' || replace(rolname, '"', '""') || '"' AS ident
    FROM pg_catalog.pg_roles WHERE rolname = $3::text
), here AS (
    SELECT oid, quote_ident(datname) AS name
    FROM pg_catalog.pg_database WHERE datname = current_database()
), owned AS (
    SELECT d.classid, d.objid, i.schema, i.identity
    FROM clone
    JOIN pg_catalog.pg_shdepend d ON d.refclassid = 'pg_catalog.pg_authid'::regclass
        AND d.refobjid = clone.oid AND d.deptype = 'o'
    CROSS JOIN here
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
    WHERE (d.dbid = here.oid OR d.dbid = 0 AND ($2::boolean
            -- Everywhere, REASSIGN OWNED gives subscriptions of all databases too.
            OR d.classid = 'pg_catalog.pg_subscription'::regclass))
        -- Relations and types are handed over without a check; the last two are not handed over.
        AND d.classid NOT IN ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_type'::regclass,
            'pg_catalog.pg_default_acl'::regclass, 'pg_catalog.pg_user_mapping'::regclass)
), obstacle AS (
    -- The new owner of everything in a schema needs CREATE there.
    SELECT o.classid, o.objid, 'CREATE on schema ' || o.schema AS lacks,
        format('GRANT CREATE ON SCHEMA %s TO %s', o.schema, owner.ident) AS fix
    FROM owned o
    JOIN pg_catalog.pg_namespace n ON quote_ident(n.nspname) = o.schema
    CROSS JOIN owner
    WHERE NOT has_schema_privilege(owner.oid, n.oid, 'CREATE')
    UNION ALL
    -- Of a publication the new owner needs it, of a schema and a subscription the current user.
    SELECT o.classid, o.objid, 'CREATE on database ' || here.name,
        format('GRANT CREATE ON DATABASE %s TO %s', here.name, owner.ident)
    FROM owned o
    CROSS JOIN here
    CROSS JOIN owner
    CROSS JOIN clone
    WHERE NOT has_database_privilege(owner.oid, here.oid, 'CREATE')
        AND (o.classid = 'pg_catalog.pg_publication'::regclass
            OR o.classid IN ('pg_catalog.pg_namespace'::regclass,
                    'pg_catalog.pg_subscription'::regclass)
                AND NOT has_database_privilege(clone.oid, here.oid, 'CREATE')
                AND NOT has_database_privilege(here.oid, 'CREATE'))
    UNION ALL
    SELECT o.classid, o.objid, 'USAGE on foreign-data wrapper ' || quote_ident(w.fdwname),
        format('GRANT USAGE ON FOREIGN DATA WRAPPER %I TO %s', w.fdwname, owner.ident)
    FROM owned o
    JOIN pg_catalog.pg_foreign_server s ON s.oid = o.objid
        AND o.classid = 'pg_catalog.pg_foreign_server'::regclass
    JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    CROSS JOIN owner
    WHERE NOT has_foreign_data_wrapper_privilege(owner.oid, w.oid, 'USAGE')
    UNION ALL
    -- Only a superuser may own these.
    SELECT o.classid, o.objid, NULL, format('ALTER %s %s OWNER TO CURRENT_USER', CASE o.classid
        WHEN 'pg_catalog.pg_event_trigger'::regclass THEN 'EVENT TRIGGER'
        WHEN 'pg_catalog.pg_foreign_data_wrapper'::regclass THEN 'FOREIGN DATA WRAPPER'
        WHEN 'pg_catalog.pg_subscription'::regclass THEN 'SUBSCRIPTION'
        ELSE 'PUBLICATION' END, o.identity)
    FROM owned o
    WHERE o.classid IN ('pg_catalog.pg_event_trigger'::regclass,
            'pg_catalog.pg_foreign_data_wrapper'::regclass)
        OR o.classid = 'pg_catalog.pg_publication'::regclass
            AND (EXISTS (SELECT FROM pg_catalog.pg_publication p
                    WHERE p.oid = o.objid AND p.puballtables)
                OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace n
                    WHERE n.pnpubid = o.objid))
        OR o.classid = 'pg_catalog.pg_subscription'::regclass AND $2::boolean
            AND EXISTS (SELECT FROM pg_catalog.pg_subscription s
                WHERE s.oid = o.objid AND {superuser_subscription})
)
SELECT coalesce(json_agg(json_build_object(
    'database', coalesce((SELECT b.datname FROM pg_catalog.pg_subscription s
        JOIN pg_catalog.pg_database b ON b.oid = s.subdbid
        WHERE lacks IS NULL AND s.oid = objid
            AND classid = 'pg_catalog.pg_subscription'::regclass), current_database()), 'object', pg_describe_object(classid, objid, 0),
    'lacks', lacks, 'fix', fix) ORDER BY fix, pg_describe_object(classid, objid, 0)), '[]')::text
FROM (SELECT DISTINCT ON (classid, objid) * FROM obstacle
    ORDER BY classid, objid, lacks NULLS FIRST) o
