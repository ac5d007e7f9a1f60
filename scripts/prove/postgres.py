"""RDS and Aurora for PostgreSQL."""

import socket
import struct
from contextlib import closing

import pg8000.native
from pg8000.exceptions import DatabaseError, InterfaceError

from .context import PREFIX, require
from .engine import Engine
from .report import ASSUMED, OTHERWISE, NotTried, Refused

SCHEMA = "twinkey_prove"


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def state(error):
    """The SQLSTATE and the message of an error."""
    fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return fields.get("C", ""), fields.get("M", str(error))


class Postgres(Engine):
    name = "postgres"

    @staticmethod
    def describe(error):
        return state(error)[1] if isinstance(error, DatabaseError) else Engine.describe(error)

    def connect(self, user=None, password=None, host=None):
        context = self.context
        return pg8000.native.Connection(
            user or context.master["username"],
            password=password or context.master["password"],
            host=host or context.host,
            port=context.port or 5432,
            database=context.arguments.database,
            ssl_context=context.tls(),
            timeout=30,
            application_name="prove-on-aws",
        )

    def as_master(self, sql, **parameters):
        with closing(self.connect()) as master:
            return master.run(sql, **parameters)

    def value(self, sql, **parameters):
        return self.as_master(sql, **parameters)[0][0]

    def accepts(self, statements, user=None, password=None):
        """Runs statements in a transaction that is rolled back. Returns the error, or None."""
        with closing(self.connect(user, password)) as connection:
            connection.run("BEGIN")
            try:
                for statement in statements:
                    connection.run(statement)
            except DatabaseError as error:
                return state(error)
            finally:
                connection.run("ROLLBACK")
        return None

    def major(self):
        return self.value("SELECT current_setting('server_version_num')::int") // 10000

    def version(self):
        return self.value("SELECT version()")

    def roles(self, prefix=PREFIX):
        sql = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, :prefix) ORDER BY 1 DESC"
        return [name for (name,) in self.as_master(sql, prefix=prefix)]

    def refuse_unless_empty(self):
        objects = self.as_master(
            r"""SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_%'
              AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
              AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') LIMIT 3"""
        )
        if objects:
            raise Refused(
                f"the database {self.context.arguments.database} is not empty: {', '.join(name for (name,) in objects)}"
            )
        if self.roles():
            raise Refused(f"the server has users of another proof: {', '.join(self.roles())}")

    def create_user(self, password):
        user, database = quoted(self.context.user), quoted(self.context.arguments.database)
        with closing(self.connect()) as master:
            master.run(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
            master.run(f"GRANT CONNECT ON DATABASE {database} TO {user}")
            master.run(f"CREATE SCHEMA {SCHEMA}")
            master.run(f"GRANT ALL ON SCHEMA {SCHEMA} TO {user}")
        with closing(self.connect(self.context.user, password)) as owner:
            owner.run(f"CREATE TABLE {SCHEMA}.orders (id int)")

    def works(self, document):
        with closing(self.connect(document["username"], document["password"])) as connection:
            connection.run(f"INSERT INTO {SCHEMA}.orders VALUES (1)")
            # Each of the two alters what the other one created.
            connection.run(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.made (id int)")
            connection.run(
                f"ALTER TABLE {SCHEMA}.made ADD COLUMN IF NOT EXISTS {quoted(document['username'][-6:])} int"
            )
            session = connection.run("SELECT session_user, current_user")[0]
            if session != [document["username"], self.context.user]:
                raise RuntimeError(f"session_user and current_user are {session}")

    def users_differ(self):
        owners = self.as_master(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = :schema", schema=SCHEMA
        )
        return None if owners == [[self.context.user]] else f"the owners of the tables are {owners}"

    def clean_up(self):
        left = []
        with closing(self.connect()) as master:
            me = quoted(master.run("SELECT session_user")[0][0])

            def attempt(what, *statements):
                for statement in statements:
                    try:
                        master.run(statement)
                    except DatabaseError as error:
                        left.append(f"{what}: {state(error)[1]}")

            # A clone is a member of its base user, so it comes first.
            roles = self.roles(self.context.user)
            for role in roles:
                try:
                    # From 16 on a creator may not use what it created, unless it grants itself that.
                    master.run(f"GRANT {quoted(role)} TO {me}")
                except DatabaseError:
                    pass  # The role is another role's, which the master becomes below.
            attempt(f"the schema {SCHEMA}", f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
            for role in [name for name in roles if name.endswith("_foreign")]:
                creator = quoted(role.removesuffix("_foreign") + "_creator")
                attempt(
                    f"the role {role}",
                    f"SET ROLE {creator}",
                    f"DROP ROLE {quoted(role)}",
                    "RESET ROLE",
                )
            for role in self.roles(self.context.user):
                name = quoted(role)
                attempt(f"the role {role}", f"DROP OWNED BY {name}", f"DROP ROLE {name}")
        return left

    # Rows -------------------------------------------------------------------------------

    def request(self, user, tls=True):
        """What the server requests of a user: `md5`, `scram`, or its error."""
        context = self.context
        with socket.create_connection((context.host, context.port or 5432), timeout=10) as plain:
            stream = plain
            if tls:
                plain.sendall(struct.pack("!ii", 8, 80877103))
                require(plain.recv(1) == b"S", "the server has no TLS")
                stream = context.tls().wrap_socket(plain, server_hostname=context.host)
            names = f"user\0{user}\0database\0{context.arguments.database}\0\0".encode()
            stream.sendall(struct.pack("!ii", len(names) + 8, 196608) + names)
            kind, length = struct.unpack("!ci", self.exactly(stream, 5))
            body = self.exactly(stream, length - 4)
            stream.close()
        if kind == b"R":
            number = struct.unpack("!i", body[:4])[0]
            return {3: "clear text", 5: "md5", 10: "scram"}.get(number, f"method {number}")
        fields = {
            field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field
        }
        return f"{fields.get(b'C')} {fields.get(b'M')}"

    @staticmethod
    def exactly(stream, size):
        data = b""
        while len(data) < size:
            more = stream.recv(size - len(data))
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        return data

    def role_exists(self, name):
        return bool(self.as_master("SELECT FROM pg_roles WHERE rolname = :name", name=name))

    def row_1(self):
        require(self.role_exists("rds_iam"), "the server has no role rds_iam")
        require(
            self.major() < 16,
            "from 16 on the master is a member of what it creates: the grant would lock it out",
        )
        user, group, password = (
            f"{self.context.user}_token",
            f"{self.context.user}_group",
            self.context.password(),
        )
        with closing(self.connect()) as master:
            master.run(f"CREATE ROLE {group}")
            master.run(f"CREATE ROLE {user} LOGIN PASSWORD '{password}' IN ROLE {group}")
            master.run(f"GRANT rds_iam TO {group}")
        try:
            self.connect(user, password).close()
        except (DatabaseError, InterfaceError) as error:
            return ASSUMED, f"the sign-in is refused: {state(error)[1]}"
        return OTHERWISE, "a nested member of rds_iam signs in with its password"

    def row_2(self):
        require(self.major() >= 16, "the server is older than 16")
        is_member = self.value(
            "SELECT pg_has_role(session_user, :user, 'MEMBER')", user=self.context.user
        )
        return (
            (ASSUMED, "the master is a member")
            if is_member
            else (OTHERWISE, "the master is no member of the user that it created")
        )

    def row_3(self):
        require(self.major() >= 16, "the server is older than 16")
        require(
            self.role_exists("rds_superuser")
            and self.value("SELECT pg_has_role(session_user, 'rds_superuser', 'MEMBER')"),
            "the master is no member of rds_superuser",
        )
        creator, foreign, password = (
            f"{self.context.user}_creator",
            f"{self.context.user}_foreign",
            self.context.password(),
        )
        self.as_master(f"CREATE ROLE {creator} LOGIN CREATEROLE PASSWORD '{password}'")
        with closing(self.connect(creator, password)) as connection:
            connection.run(f"CREATE ROLE {foreign}")
        statements = [f"GRANT {foreign} TO {self.context.user}", f"ALTER ROLE {foreign} NOLOGIN"]
        refused = self.accepts(statements)
        return (
            (ASSUMED, "GRANT and ALTER ROLE are accepted")
            if refused is None
            else (OTHERWISE, f"refused: {refused[1]}")
        )

    def row_4(self):
        setting = self.value(
            "SELECT coalesce(current_setting('rds.restrict_password_commands', true), '')"
        )
        require(setting in ("on", "1", "true"), "rds.restrict_password_commands is off")
        name, password = f"{self.context.user}_setter", self.context.password()
        self.as_master(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{password}'")
        refused = self.accepts([f"CREATE ROLE {name}_made PASSWORD '{password}'"], name, password)
        return (
            (ASSUMED, f"refused without rds_password: {refused[1]}")
            if refused
            else (OTHERWISE, "a role without rds_password sets a password")
        )

    def row_5(self):
        require(
            not self.value("SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')"),
            "the master may read pg_authid",
        )
        seen = {}
        for form, encryption in (("md5", "md5"), ("scram", "scram-sha-256")):
            name = f"{self.context.user}_{form}"
            with closing(self.connect()) as master:
                master.run(f"SET password_encryption = '{encryption}'")
                try:
                    master.run(f"CREATE ROLE {name} LOGIN PASSWORD '{self.context.password()}'")
                except DatabaseError as error:
                    raise NotTried(
                        f"the server stores no {encryption}: {state(error)[1]}"
                    ) from error
            seen[form] = self.request(name)
        is_as_stored = seen == {"md5": "md5", "scram": "scram"}
        return (ASSUMED if is_as_stored else OTHERWISE), f"requests by stored form: {seen}"

    def row_6(self):
        answer = self.request(self.context.user, tls=False)
        require(
            answer not in ("md5", "scram", "clear text"),
            "the server accepts connections without TLS (rds.force_ssl is off)",
        )
        is_expected = answer.startswith("28000") and "no encryption" in answer
        return (ASSUMED if is_expected else OTHERWISE), answer

    def row_7(self):
        try:
            identity = self.value("SELECT system_identifier FROM pg_control_system()")
        except DatabaseError as error:
            return OTHERWISE, f"refused: {state(error)[1]}"
        return (ASSUMED, "it answers") if identity else (OTHERWISE, "it answers NULL")

    def row_8(self):
        require(self.major() >= 15, "the server is older than 15")
        setting = "log_min_duration_statement"
        says = self.value("SELECT has_parameter_privilege(:setting, 'SET')", setting=setting)
        refused = self.accepts([f"ALTER ROLE {self.context.user} SET {setting} = 1000"])
        detail = f"it says {says}, and the server {'refuses: ' + refused[1] if refused else 'accepts it'}"
        return (ASSUMED if says == (refused is None) else OTHERWISE), detail

    def sessions_of_reader(self, document):
        """The sessions on the writer's list, while the user has one on the reader."""
        with closing(
            self.connect(document["username"], document["password"], self.context.arguments.reader)
        ) as reader:
            reader.run("SELECT 1")
            return self.value(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = :user",
                user=document["username"],
            )

    def steps_succeeded(self):
        return (
            (OTHERWISE, "a step failed")
            if self.context.report.has_failed
            else (ASSUMED, "all steps succeed")
        )

    def row_9(self):
        reader = self.context.arguments.reader
        require(reader, "no --reader was given")
        with closing(self.connect(host=reader)) as connection:
            in_recovery = connection.run("SELECT pg_is_in_recovery()")[0][0]
        return (ASSUMED if in_recovery else OTHERWISE), f"pg_is_in_recovery() is {in_recovery}"

    def row_10(self):
        babelfish = self.as_master("SELECT FROM pg_extension WHERE extname = 'babelfishpg_tsql'")
        require(babelfish, "the database has no Babelfish")
        return self.steps_succeeded()

    def row_11(self):
        require(
            ".limitless-" in self.context.host, "the host is no endpoint of a Limitless Database"
        )
        return self.steps_succeeded()

    def row_12(self):
        raise NotTried("Aurora DSQL has no master with a password")
