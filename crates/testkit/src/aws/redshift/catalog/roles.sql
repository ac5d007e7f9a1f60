-- Redshift's own roles, as far as they are of use here. Once a cluster.
CREATE ROLE "sys:monitor" NOLOGIN;
CREATE ROLE "sys:secadmin" NOLOGIN;
COMMENT ON ROLE "sys:monitor" IS '{"kind": "role", "system": ["ACCESS SYSTEM TABLE"]}';
COMMENT ON ROLE "sys:secadmin" IS
    '{"kind": "role", "system": ["CREATE USER", "ALTER USER", "DROP USER", "CREATE ROLE", "DROP ROLE", "GRANT ROLE"]}';
