-- Users, groups and roles. Attributes that PostgreSQL lacks are JSON in the role's comment, the note.
-- Such comments are shared by all databases and are transactional.

CREATE SCHEMA pg_stand_in;
GRANT USAGE ON SCHEMA pg_stand_in TO PUBLIC;

CREATE VIEW pg_stand_in.identities AS
    SELECT 0::oid AS id, 'public'::text AS name, 'public'::text AS kind, '{}'::jsonb AS note
    UNION ALL
    SELECT r.oid, r.rolname::text, coalesce(note ->> 'kind', 'user'), coalesce(note, '{}')
    FROM pg_authid r
    LEFT JOIN (
        SELECT objoid, description::jsonb AS note FROM pg_shdescription
        WHERE classoid = 'pg_authid'::regclass AND description LIKE '{"kind"%'
    ) noted ON noted.objoid = r.oid
    WHERE rolcanlogin OR note IS NOT NULL;

-- Adds to the note of a role; for the stand-in only.
CREATE FUNCTION pg_stand_in.note(who text, more jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    merged jsonb := coalesce((SELECT note FROM pg_stand_in.identities WHERE name = who), '{}') || more;
BEGIN
    -- "kind" first: the text is recognised by its beginning.
    EXECUTE format('COMMENT ON ROLE %I IS %L', who,
        '{"kind": ' || (merged -> 'kind')::text ||
        coalesce((SELECT string_agg(', ' || to_json(key)::text || ': ' || value::text, '')
                  FROM jsonb_each(merged) WHERE key <> 'kind'), '') || '}');
END $$;
REVOKE EXECUTE ON FUNCTION pg_stand_in.note(text, jsonb) FROM PUBLIC;

CREATE FUNCTION pg_stand_in.is_superuser(who text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER AS
$$ SELECT coalesce((SELECT rolsuper FROM pg_authid WHERE rolname = who), false) $$;

-- Whether the current user has a system privilege through a role.
CREATE FUNCTION pg_stand_in.has(wanted text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT pg_stand_in.is_superuser(session_user) OR EXISTS (
        SELECT FROM pg_stand_in.identities
        WHERE kind = 'role' AND note -> 'system' ? wanted AND pg_has_role(session_user, id, 'MEMBER')
    )
$$;

CREATE FUNCTION pg_stand_in.needs(wanted text, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_stand_in.has(wanted) THEN
        RAISE insufficient_privilege USING MESSAGE = what;
    END IF;
END $$;

-- Grants system privileges to a role, or revokes them.
CREATE FUNCTION pg_stand_in.change_system(who text, changed jsonb, grants boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := (SELECT coalesce(note -> 'system', '[]') FROM pg_stand_in.identities WHERE name = who);
BEGIN
    PERFORM pg_stand_in.note(who, jsonb_build_object('system', (
        SELECT coalesce(jsonb_agg(DISTINCT one), '[]') FROM jsonb_array_elements(before || changed) one
        WHERE grants OR NOT changed @> one)));
END $$;
REVOKE EXECUTE ON FUNCTION pg_stand_in.change_system(text, jsonb, boolean) FROM PUBLIC;

-- Checks that a name belongs to an object of this kind.
CREATE FUNCTION pg_stand_in.expects(wanted text, who text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_stand_in.identities WHERE kind = wanted AND name = who) THEN
        RAISE undefined_object USING MESSAGE = format('%s "%s" does not exist', wanted, who);
    END IF;
END $$;

-- Only superusers alter superusers.
CREATE FUNCTION pg_stand_in.alters_user(who text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NOT pg_stand_in.is_superuser(session_user)
        AND (pg_stand_in.is_superuser(who) OR NOT pg_stand_in.has('ALTER USER')) THEN
        RAISE insufficient_privilege USING MESSAGE = 'permission denied to alter user';
    END IF;
END $$;

-- Every user may change its own password unless it is disabled; only a superuser enables it.
CREATE FUNCTION pg_stand_in.alters_password(who text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NOT pg_stand_in.is_superuser(session_user) AND NOT EXISTS (
        SELECT FROM pg_stand_in.identities WHERE name = who AND note ->> 'password' IS NOT NULL
    ) THEN
        RAISE insufficient_privilege USING MESSAGE = 'must be superuser to enable a password';
    END IF;
    IF who <> session_user THEN
        PERFORM pg_stand_in.alters_user(who);
    END IF;
END $$;

CREATE FUNCTION pg_stand_in.disables(who text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_stand_in.is_superuser(session_user) THEN
        RAISE insufficient_privilege USING MESSAGE = 'must be superuser to disable a password';
    END IF;
    IF pg_stand_in.is_superuser(who) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'Cannot disable the password of a superuser';
    END IF;
END $$;

CREATE FUNCTION pg_stand_in.owns_role(made text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM pg_stand_in.note(made, jsonb_build_object('owner', session_user));
END $$;

-- Superusers, owners and holders with ADMIN OPTION may grant a role.
CREATE FUNCTION pg_stand_in.grants_role(granted text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM pg_stand_in.expects('role', granted);
    IF NOT (pg_stand_in.has('GRANT ROLE') OR EXISTS (
        SELECT FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid
        WHERE g.rolname = granted AND m.admin_option AND pg_has_role(session_user, m.member, 'MEMBER')
    ) OR EXISTS (
        SELECT FROM pg_stand_in.identities WHERE name = granted AND note ->> 'owner' = session_user
    )) THEN
        RAISE insufficient_privilege USING MESSAGE = format('permission denied for role %s', granted);
    END IF;
END $$;

-- Superusers and holders of SYSLOG ACCESS UNRESTRICTED see all rows of svv_relation_privileges and of the user's tables.
CREATE FUNCTION pg_stand_in.sees_log() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT pg_stand_in.is_superuser(session_user) OR EXISTS (
        SELECT FROM pg_stand_in.identities
        WHERE name = session_user AND note ->> 'syslog' = 'UNRESTRICTED'
    )
$$;

-- Superusers and holders of ACCESS SYSTEM TABLE see all rows of the other svv_* views.
CREATE FUNCTION pg_stand_in.sees_all() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT pg_stand_in.has('ACCESS SYSTEM TABLE') $$;

-- Other users see their own rows and those of their groups and roles.
CREATE FUNCTION pg_stand_in.sees(identity oid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT identity = 0 OR pg_has_role(session_user, identity, 'MEMBER')
$$;

-- Privileges that PostgreSQL does not have. Rows of dropped objects remain and are hidden.
CREATE TABLE pg_stand_in.extra (
    class text NOT NULL,
    object text NOT NULL,
    privilege text NOT NULL,
    grantee oid NOT NULL,
    grantable boolean NOT NULL,
    PRIMARY KEY (class, object, privilege, grantee)
);

CREATE TABLE pg_stand_in.models (
    name text PRIMARY KEY,
    schema text NOT NULL,
    owner oid NOT NULL
);
GRANT SELECT ON pg_stand_in.models TO PUBLIC;

-- A model and its function, which has a language of its own and belongs to the model.
CREATE FUNCTION pg_stand_in.create_model(name text, schema text, function text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO pg_stand_in.models SELECT name, schema, oid FROM pg_authid WHERE rolname = session_user;
    IF function <> '' THEN
        EXECUTE format('CREATE FUNCTION %I.%I(int) RETURNS int LANGUAGE mlfunc AS $f$ $f$', schema, function);
        EXECUTE format('ALTER FUNCTION %I.%I(int) OWNER TO %I', schema, function, session_user);
    END IF;
END $$;

-- A model's function can neither be granted nor change its owner: that is done to the model.
CREATE FUNCTION pg_stand_in.is_no_model_function(routine text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE lanname = 'mlfunc' AND p.oid = routine::regprocedure) THEN
        RAISE feature_not_supported USING MESSAGE = 'Cannot grant or revoke privileges on an ML function directly';
    END IF;
END $$;

-- Views take SELECT and DROP only, unless ALL is granted.
CREATE FUNCTION pg_stand_in.is_no_view(relation text, privilege text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_class WHERE oid = relation::regclass AND relkind IN ('v', 'm')) THEN
        RAISE feature_not_supported USING MESSAGE = format('%s cannot be granted on the view %s', privilege, relation);
    END IF;
END $$;

-- A database from a datashare with permissions, and the objects in it that are granted.
CREATE TABLE pg_stand_in.shared (
    database text NOT NULL,
    schema text NOT NULL,
    object text NOT NULL,
    privilege text NOT NULL,
    grantee text NOT NULL
);
GRANT SELECT ON pg_stand_in.shared TO PUBLIC;

-- Row-level security and masking policies that are attached to users.
CREATE TABLE pg_stand_in.policies (kind text NOT NULL, policy text NOT NULL, schema text NOT NULL, relation text NOT NULL, grantee text NOT NULL);
GRANT SELECT ON pg_stand_in.policies TO PUBLIC;

-- SHOW GRANTS FOR a user is for superusers and for that user.
CREATE FUNCTION pg_stand_in.shows(who text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_stand_in.expects('user', who);
    IF NOT pg_stand_in.is_superuser(session_user) AND who <> session_user THEN
        RAISE insufficient_privilege USING MESSAGE = format('permission denied to show grants of user "%s"', who);
    END IF;
    RETURN true;
END $$;

CREATE FUNCTION pg_stand_in.owner_of(class text, object text) RETURNS oid
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT CASE class
        WHEN 'table' THEN (SELECT relowner FROM pg_class WHERE oid = object::regclass)
        WHEN 'schema' THEN (SELECT nspowner FROM pg_namespace WHERE nspname = object)
        WHEN 'database' THEN (SELECT datdba FROM pg_database WHERE datname = object)
        WHEN 'model' THEN (SELECT owner FROM pg_stand_in.models WHERE name = object)
    END
$$;

CREATE FUNCTION pg_stand_in.change_extra(
    class_ text, object_ text, privilege_ text, grantee_ text, grants boolean, grantable_ boolean
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    id_ oid := (SELECT id FROM pg_stand_in.identities WHERE name = grantee_);
    key text := CASE class_ WHEN 'table' THEN object_::regclass::oid::text ELSE object_ END;
    owner_ oid := pg_stand_in.owner_of(class_, object_);
BEGIN
    IF class_ = 'model' AND owner_ IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('model "%s" does not exist', object_);
    END IF;
    IF NOT (pg_stand_in.is_superuser(session_user) OR owner_ IS NOT NULL AND pg_has_role(session_user, owner_, 'USAGE')) THEN
        RAISE insufficient_privilege USING MESSAGE = format('permission denied for %s %s', class_, object_);
    END IF;
    IF grants IS NULL THEN
        UPDATE pg_stand_in.extra SET grantable = false
        WHERE class = class_ AND object = key AND privilege = privilege_ AND grantee = id_;
    ELSIF grants THEN
        INSERT INTO pg_stand_in.extra VALUES (class_, key, privilege_, id_, grantable_)
        ON CONFLICT (class, object, privilege, grantee)
        DO UPDATE SET grantable = extra.grantable OR excluded.grantable;
    ELSE
        DELETE FROM pg_stand_in.extra
        WHERE class = class_ AND object = key AND privilege = privilege_ AND grantee = id_;
    END IF;
END $$;

-- Redshift's clock: the statement's, in UTC, without fractions.
CREATE FUNCTION pg_catalog.getdate() RETURNS timestamp LANGUAGE sql STABLE AS
$$ SELECT date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC') $$;

CREATE FUNCTION pg_catalog.redshift_version() RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.54052'::text $$;

-- Redshift's languages.
CREATE FUNCTION pg_stand_in.python() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRUSTED LANGUAGE plpythonu HANDLER pg_stand_in.python;
REVOKE USAGE ON LANGUAGE plpythonu FROM PUBLIC;
CREATE LANGUAGE mlfunc HANDLER pg_stand_in.python;

-- By default all users have CREATE and USAGE on the schema public.
GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC;
