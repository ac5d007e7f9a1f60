-- $1: the base user, $2: the clone. One JSON document; the fields are those of `Service`.
-- From a role of RDS down to its members: few roles have many members, and a master has thousands of
-- roles.
WITH RECURSIVE of_service AS (
    SELECT oid, rolname FROM pg_catalog.pg_roles
    WHERE rolname IN ('rds_iam', 'rds_ad', 'rds_superuser', 'rds_replication')
), member AS (
    SELECT s.rolname AS role, m.member, m.member AS direct
    FROM of_service s JOIN pg_catalog.pg_auth_members m ON m.roleid = s.oid
    UNION
    SELECT n.role, m.member, n.direct
    FROM member n JOIN pg_catalog.pg_auth_members m ON m.roleid = n.member
), who AS (
    SELECT oid, rolname FROM pg_catalog.pg_roles
    WHERE rolname IN ($1::text, $2::text) OR rolname = session_user
)
SELECT json_build_object(
    'master', session_user,
    'token_roles', EXISTS (SELECT FROM of_service WHERE rolname IN ('rds_iam', 'rds_ad')),
    'memberships', coalesce((
        SELECT json_agg(json_build_object('role', n.role, 'member', w.rolname, 'through', d.rolname)
            ORDER BY n.role, w.rolname, d.rolname)
        FROM member n
        JOIN who w ON w.oid = n.member
        JOIN pg_catalog.pg_roles d ON d.oid = n.direct), '[]'),
    -- Users of the pair that the master is a member of.
    'of_master', coalesce((
        SELECT json_agg(DISTINCT p.rolname)
        FROM pg_catalog.pg_auth_members m
        JOIN who p ON p.oid = m.roleid AND p.rolname <> session_user
        JOIN who me ON me.oid = m.member AND me.rolname = session_user), '[]'),
    'blue_green_slots', coalesce((
        SELECT json_agg(slot_name ORDER BY slot_name) FROM pg_catalog.pg_replication_slots
        WHERE slot_type = 'logical' AND slot_name LIKE 'rds\_%'), '[]')
)::text
