"""Redshift, through its Data API."""

import hashlib
import json
import re
import secrets as random
import socket
import ssl
import struct
import time

import botocore.exceptions

from .context import PREFIX, SECRETS, require
from .engine import Engine
from .report import ASSUMED, OTHERWISE, NotTried, Refused

SCHEMA = "twinkey_prove"
# The schema of twinkey's locks.
LOCKS = "twinkey"
FINISHED = ("FINISHED", "FAILED", "ABORTED")


class Failed(Exception):
    """The error of a statement, as DescribeStatement reports it."""


class Redshift(Engine):
    name = "redshift"

    def __init__(self, context):
        super().__init__(context)
        self.api = context.client("redshift-data")
        self.had_locks = True

    # The Data API ------------------------------------------------------------------------------

    def submit(self, statements, secret=None, database=None):
        """Runs statements, more than one as a transaction. Returns the description of the call."""
        arguments = self.context.arguments
        target = {
            "Database": database or arguments.database,
            "SecretArn": secret or self.context.master_arn,
        }
        if arguments.cluster:
            target["ClusterIdentifier"] = arguments.cluster
        else:
            target["WorkgroupName"] = arguments.workgroup
        try:
            if len(statements) == 1:
                submitted = self.api.execute_statement(Sql=statements[0], **target)
            else:
                submitted = self.api.batch_execute_statement(Sqls=list(statements), **target)
        except botocore.exceptions.ClientError as error:
            raise Failed(str(error)) from error
        deadline = time.monotonic() + 300
        while True:
            described = self.api.describe_statement(Id=submitted["Id"])
            if described["Status"] in FINISHED:
                break
            if time.monotonic() > deadline:
                raise Failed("no answer within 300 seconds")
            time.sleep(0.3)
        if described["Status"] != "FINISHED":
            raise Failed(described.get("Error") or described["Status"])
        return described

    def run(self, *statements, secret=None):
        self.submit(statements, secret)

    def rows(self, *statements, secret=None):
        """The rows of the last statement."""
        described = self.submit(statements, secret)
        parts = described.get("SubStatements") or [described]
        found, page = [], {}
        while True:
            result = self.api.get_statement_result(Id=parts[-1]["Id"], **page)
            found += [
                [None if "isNull" in field else next(iter(field.values())) for field in row]
                for row in result["Records"]
            ]
            if not result.get("NextToken"):
                return found
            page = {"NextToken": result["NextToken"]}

    def value(self, *statements):
        return self.rows(*statements)[0][0]

    def refusal(self, *statements, secret=None, database=None):
        """The error of the statements, or None."""
        try:
            self.submit(statements, secret, database)
        except Failed as error:
            return str(error)
        return None

    def tried(self, *statements):
        """The rows, for a query that a cluster may refuse."""
        try:
            return self.rows(*statements)
        except Failed as error:
            raise NotTried(f"the query is refused: {error}") from error

    # The steps ---------------------------------------------------------------------------------

    def config(self):
        arguments = self.context.arguments
        key, value = (
            ("cluster", arguments.cluster)
            if arguments.cluster
            else ("workgroup", arguments.workgroup)
        )
        return [f"redshift = {{ {key} = {json.dumps(value)} }}"]

    def document(self, password):
        arguments = self.context.arguments
        document = super().document(password)
        if document["host"] is None:
            document["host"] = arguments.host or "localhost"
        if arguments.cluster:
            document["dbClusterIdentifier"] = arguments.cluster
        else:
            document["workgroupName"] = arguments.workgroup
        return {key: value for key, value in document.items() if value is not None}

    def version(self):
        return self.value("SELECT version()")

    def users(self, prefix=PREFIX):
        # A backslash in a LIKE would depend on the server's strings.
        begins = f"substring(usename, 1, {len(prefix)}) = '{prefix}'"
        found = self.rows(f"SELECT usename FROM pg_user WHERE {begins} ORDER BY usename DESC")
        return [name for (name,) in found]

    def schemas(self):
        found = self.rows(
            "SELECT nspname FROM pg_namespace WHERE nspname NOT IN ('information_schema', 'catalog_history') "
            "AND substring(nspname, 1, 3) <> 'pg_'"
        )
        return [name for (name,) in found]

    def refuse_unless_empty(self):
        objects = self.rows(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname NOT IN ('information_schema', 'catalog_history') AND substring(n.nspname, 1, 3) <> 'pg_' "
            "AND c.relkind IN ('r', 'v', 'm') LIMIT 3"
        )
        if objects:
            raise Refused(
                f"the database {self.context.arguments.database} is not empty: {', '.join(name for (name,) in objects)}"
            )
        if self.users():
            raise Refused(f"the cluster has users of another proof: {', '.join(self.users())}")
        self.had_locks = LOCKS in self.schemas()

    def create_user(self, password):
        user = self.context.user
        self.run(
            f"CREATE USER {user} PASSWORD '{password}'",
            f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {user}",
            f"CREATE TABLE {SCHEMA}.orders (id int)",
            f"GRANT SELECT, INSERT ON {SCHEMA}.orders TO {user}",
        )

    def as_user(self, document, *statements):
        """Runs statements with a secret of its own, which the clean-up removes."""
        name = f"{SECRETS}/{self.context.run}/signin-{random.token_hex(3)}"
        kept = {
            key: value
            for key, value in document.items()
            if key
            in (
                "username",
                "password",
                "dbClusterIdentifier",
                "workgroupName",
                "host",
                "port",
                "engine",
            )
        }
        arn = self.context.create_secret(name, kept)["ARN"]
        self.run(*statements, secret=arn)
        return arn

    def works(self, document):
        self.as_user(
            document,
            f"INSERT INTO {SCHEMA}.orders VALUES (1)",
            f"SELECT count(*) FROM {SCHEMA}.orders",
        )

    def granted(self, user):
        columns = "namespace_name, relation_name, privilege_type"
        sql = f"SELECT {columns} FROM svv_relation_privileges WHERE identity_name = '{user}' AND relation_name = 'orders' ORDER BY 1, 2, 3"
        return self.rows(sql)

    def users_differ(self):
        base, clone = self.granted(self.context.user), self.granted(self.context.clone)
        return None if base == clone else f"{base} and {clone}"

    def clean_up(self):
        left = []

        def attempt(what, statement):
            refused = self.refusal(statement)
            if refused:
                left.append(f"{what}: {refused}")

        # Before a session begins in one of them.
        found = self.rows("SELECT datname FROM pg_database")
        for name in [name for (name,) in found if name.startswith(self.context.user)]:
            attempt(f"the database {name}", f"DROP DATABASE {name}")
        users = self.users(self.context.user)
        names = set(users)
        local = self.rows(
            "SELECT database_name FROM svv_redshift_databases WHERE database_type = 'local'"
        )
        for (database,) in local:
            for owner in users:
                # A run gives the two users default privileges for each other, in each database.
                # Without such privileges this changes nothing.
                statements = [
                    f"ALTER DEFAULT PRIVILEGES FOR USER {owner} REVOKE ALL ON {objects} FROM {other}"
                    for other in names - {owner}
                    for objects in ("TABLES", "FUNCTIONS", "PROCEDURES")
                ]
                for statement in statements:
                    self.refusal(statement, database=database)
        schemas = self.schemas()
        for schema in [SCHEMA] + ([] if self.had_locks else [LOCKS]):
            if schema in schemas:
                attempt(f"the schema {schema}", f"DROP SCHEMA {schema} CASCADE")
        database = self.context.arguments.database
        for user in users:
            for granted in (f"DATABASE {database}", "SCHEMA public"):
                self.refusal(f"REVOKE ALL ON {granted} FROM {user}")
            attempt(f"the user {user}", f"DROP USER {user}")
        for (role,) in self.rows("SELECT role_name FROM svv_roles"):
            if role.startswith(self.context.user):
                self.refusal(f"REVOKE ALTER DEFAULT PRIVILEGES FROM ROLE {role}")
                attempt(f"the role {role}", f"DROP ROLE {role}")
        return left

    # Rows --------------------------------------------------------------------------------------

    def row_1(self):
        self.run(
            "SET enable_case_sensitive_identifier TO true",
            f'CREATE TABLE {SCHEMA}."Mixed" (id int)',
        )
        names = [
            name
            for (name,) in self.rows("SELECT relname FROM pg_class WHERE lower(relname) = 'mixed'")
        ]
        return (ASSUMED if names == ["Mixed"] else OTHERWISE), f"the table is named {names}"

    def row_2(self):
        refused = self.refusal("SELECT count(*) FROM pg_shadow")
        return (OTHERWISE, refused) if refused else (ASSUMED, "it may")

    def row_3(self):
        for view in ("svv_rls_attached_policy", "svv_attached_masking_policy"):
            refused = self.refusal(f"SELECT count(*) FROM {view}")
            if refused:
                return OTHERWISE, refused
        return ASSUMED, "it may"

    def row_4(self):
        user, salt, password = (
            f"{self.context.user}_sha",
            random.token_bytes(32),
            self.context.password(),
        )
        digest = hashlib.sha256(password.encode() + salt).hexdigest()
        self.run(f"CREATE USER {user} PASSWORD DISABLE")
        refused = self.refusal(f"ALTER USER {user} PASSWORD 'sha256|{digest}|{salt.hex()}'")
        if refused:
            return OTHERWISE, f"refused: {self.without_digests(refused)}"
        stored = self.tried(
            f"SELECT substring(passwd, 1, 6) FROM pg_shadow WHERE usename = '{user}'"
        )[0][0]
        return (ASSUMED if stored == "sha256" else OTHERWISE), f"it is stored as {stored}…"

    @staticmethod
    def without_digests(text):
        return re.sub(r"[0-9a-f]{32,}", "***", text)

    def row_5(self):
        user = self.context.user
        self.run(f"ALTER USER {user} VALID UNTIL '2037-01-02 03:04:05'")
        shown = self.value(f"SELECT valuntil::varchar FROM pg_user WHERE usename = '{user}'")
        self.run(f"ALTER USER {user} VALID UNTIL 'infinity'")
        return (
            ASSUMED if re.search(r"[+-]\d\d(:\d\d)?$", shown) else OTHERWISE
        ), f"it is printed as {shown}"

    def row_6(self):
        self.run(
            f"CREATE MATERIALIZED VIEW {SCHEMA}.summed AS SELECT count(*) AS orders FROM {SCHEMA}.orders"
        )
        refused = self.refusal(f"ALTER TABLE {SCHEMA}.summed OWNER TO {self.context.user}")
        return (OTHERWISE, refused) if refused else (ASSUMED, "accepted")

    def row_7(self):
        self.run(f"CREATE VIEW {SCHEMA}.seen AS SELECT id FROM {SCHEMA}.orders")
        accepted = [
            name
            for name in ("ALTER", "TRUNCATE")
            if not self.refusal(f"GRANT {name} ON {SCHEMA}.seen TO {self.context.user}")
        ]
        return (OTHERWISE, f"accepted: {', '.join(accepted)}") if accepted else (ASSUMED, "refused")

    def row_8(self):
        refused = self.refusal(
            f"CREATE VIEW {SCHEMA}.late AS SELECT id FROM {SCHEMA}.orders WITH NO SCHEMA BINDING"
        )
        require(not refused, f"no late-binding view can be created: {refused}")
        refused = self.refusal(f"GRANT DROP ON {SCHEMA}.late TO {self.context.user}")
        return (OTHERWISE, refused) if refused else (ASSUMED, "accepted")

    def row_9(self):
        raise NotTried(
            "it needs a query of minutes on a table of your own: step 5 of the ten minutes"
        )

    def row_10(self):
        query = "SELECT service_class FROM stl_wlm_query WHERE query = pg_last_query_id()"
        found = self.tried(
            "SET query_group TO 'superuser'", f"SELECT count(*) FROM {SCHEMA}.orders", query
        )
        require(found, "stl_wlm_query has no row of the query")
        return (ASSUMED if found[0][0] == 5 else OTHERWISE), f"the service class is {found[0][0]}"

    def row_11(self):
        mark = f"prove {random.token_hex(4)}"
        self.run(
            f"LOCK TABLE {SCHEMA}.orders", f"SELECT '{mark}'::varchar FROM {SCHEMA}.orders LIMIT 1"
        )
        found = self.tried(
            "SELECT query_text FROM sys_query_history WHERE transaction_id = (SELECT max(transaction_id) "
            f"FROM sys_query_history WHERE query_text LIKE '%{mark}%' AND query_text NOT LIKE '%sys_query_history%') ORDER BY start_time"
        )
        texts = [
            " ".join(text.split())
            for (text,) in found
            if not text.strip().upper().startswith(("BEGIN", "START"))
        ]
        require(texts, "sys_query_history has no row of the transaction yet")
        return (
            ASSUMED if texts[0].upper().startswith("LOCK") else OTHERWISE
        ), f"the first statement is {texts[0][:60]}"

    def row_12(self):
        document = {**self.current(), "password": self.context.password()}
        try:
            self.as_user(document, "SELECT 1")
        except Failed as error:
            said = str(error)
            detail = f"a wrong password is reported as: {said}; 1023 was not provoked"
            return (ASSUMED if "password authentication failed" in said else OTHERWISE), detail
        return OTHERWISE, "a wrong password is accepted"

    def row_13(self):
        statement = f'ALTER DEFAULT PRIVILEGES FOR USER {self.context.user} GRANT SELECT ON TABLES TO ROLE "sys:monitor"'
        refused = self.refusal(statement)
        if refused:
            return ASSUMED, f"refused: {refused}"
        self.refusal(statement.replace("GRANT", "REVOKE").replace(" TO ", " FROM "))
        return OTHERWISE, "accepted"

    def row_14(self):
        self.run(
            f"CREATE TABLE {SCHEMA}.kept (id int)",
            f"GRANT ALTER, TRUNCATE ON {SCHEMA}.kept TO {self.context.user}",
        )
        in_view = {
            name
            for (name,) in self.rows(
                f"SELECT privilege_type FROM svv_relation_privileges WHERE relation_name = 'kept' AND identity_name = '{self.context.user}'"
            )
        }
        shown = self.tried(f"SHOW GRANTS FOR {self.context.user}")
        in_grants = {str(field).upper() for row in shown if "kept" in row for field in row} & {
            "ALTER",
            "TRUNCATE",
        }
        expected = {"ALTER", "TRUNCATE"}
        detail = f"the view shows {sorted(in_view & expected)}, SHOW GRANTS {sorted(in_grants)}"
        return (ASSUMED if (in_view | in_grants) >= expected else OTHERWISE), detail

    def row_15(self):
        refused = self.refusal(
            f"GRANT EXECUTE FOR PROCEDURES IN SCHEMA {SCHEMA} TO {self.context.user}"
        )
        require(not refused, f"the scoped grant is refused: {refused}")
        found = {
            scope
            for (scope,) in self.rows(
                f"SELECT privilege_scope FROM svv_schema_privileges WHERE identity_name = '{self.context.user}'"
            )
        }
        return (ASSUMED if "PROCEDURES" in found else OTHERWISE), f"the scopes are {sorted(found)}"

    def row_16(self):
        document = self.current()
        arn = self.as_user(document, "SELECT 1")
        wrong = {**document, "password": self.context.password()}
        self.context.store.put_secret_value(SecretId=arn, SecretString=json.dumps(wrong))
        refused = self.refusal("SELECT 1", secret=arn)
        return (
            (ASSUMED, f"refused: {refused}")
            if refused
            else (OTHERWISE, "the password before is accepted")
        )

    def row_17(self):
        sts = self.context.client("sts")
        try:
            first, second = (sts.get_caller_identity()["UserId"] for _ in range(2))
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise NotTried(f"GetCallerIdentity is refused: {type(error).__name__}") from error
        return (ASSUMED if first == second else OTHERWISE), (
            "GetCallerIdentity returns one UserId"
            if first == second
            else "GetCallerIdentity returns two UserIds"
        )

    def row_18(self):
        raise NotTried(
            "no query lists all classes of privileges: compare the manual's page on GRANT"
        )

    def row_19(self):
        arguments, arn = self.context.arguments, self.as_user(self.current(), "SELECT 1")
        target = (
            {"ClusterIdentifier": arguments.cluster}
            if arguments.cluster
            else {"WorkgroupName": arguments.workgroup}
        )
        try:
            opened = self.api.execute_statement(
                Sql="SELECT 1",
                Database=arguments.database,
                SecretArn=arn,
                SessionKeepAliveSeconds=60,
                **target,
            )
        except botocore.exceptions.ClientError as error:
            raise NotTried(f"no session can be kept open: {error}") from error
        while self.api.describe_statement(Id=opened["Id"])["Status"] not in FINISHED:
            time.sleep(0.3)
        user = self.current()["username"]
        open_now = self.value(
            "SELECT count(*) FROM sys_session_history s JOIN pg_user u ON u.usesysid = s.user_id::int "
            f"WHERE u.usename = '{user}' AND s.status = 'active'"
        )
        return (
            ASSUMED if open_now else OTHERWISE
        ), f"it has {open_now} active sessions of the user at once"

    def row_20(self):
        began = time.monotonic()
        self.context.succeeds("plan", "prove")
        seconds = time.monotonic() - began
        return (
            ASSUMED if seconds < 300 else OTHERWISE
        ), f"`plan` takes {seconds:.0f} s on this database"

    def row_21(self):
        refused = self.refusal(f'GRANT ROLE "sys:monitor" TO "{self.context.user}"')
        if refused:
            return OTHERWISE, refused
        self.run(f'REVOKE ROLE "sys:monitor" FROM "{self.context.user}"')
        return ASSUMED, "the grant is accepted"

    def row_22(self):
        refused = self.refusal(
            "SELECT database_name, schema_name, model_name FROM svv_ml_model_info LIMIT 1"
        )
        return (
            (OTHERWISE, refused)
            if refused
            else (ASSUMED, "it has a column database_name; no model was created")
        )

    def row_23(self):
        found = self.value("SELECT count(*) FROM pg_language WHERE lanname = 'mlfunc'")
        return (
            (ASSUMED, "the language exists; no model was created")
            if found
            else (OTHERWISE, "there is no language mlfunc")
        )

    def row_24(self):
        admin, role = f"{self.context.user}_admin", f"{self.context.user}_role"
        password = self.context.password()
        self.run(f"CREATE USER {admin} PASSWORD '{password}'", f"CREATE ROLE {role}")
        refused = self.refusal(f"GRANT ALTER DEFAULT PRIVILEGES TO ROLE {role}")
        require(not refused, f"the system privilege is refused: {refused}")
        self.run(f"GRANT ROLE {role} TO {admin}")
        document = {**self.current(), "username": admin, "password": password}
        try:
            self.as_user(
                document,
                f"ALTER DEFAULT PRIVILEGES FOR USER {self.context.user} GRANT SELECT ON TABLES TO {admin}",
            )
        except Failed as error:
            return OTHERWISE, f"refused: {error}"
        return ASSUMED, "accepted"

    def row_25(self):
        host, port = self.context.host, self.context.port or 5439
        require(host, "the master secret has no host: add --host")
        try:
            with socket.create_connection((host, port), timeout=10) as plain:
                plain.sendall(struct.pack("!ii", 8, 80877103))
                require(plain.recv(1) == b"S", "the server has no TLS")
                self.context.tls().wrap_socket(plain, server_hostname=host).close()
        except ssl.SSLError as error:
            return OTHERWISE, str(error)
        return ASSUMED, "it is verified, also with the roots of this system"

    def row_26(self):
        other, user = f"{self.context.user}_other", self.context.user
        self.run(f"CREATE DATABASE {other}")
        refused = self.refusal(f"GRANT SELECT FOR TABLES IN DATABASE {other} TO {user}")
        require(not refused, f"the scoped grant is refused: {refused}")
        sql = f"SELECT privilege_scope FROM svv_database_privileges WHERE identity_name = '{user}' AND database_name = '{other}'"
        found = sorted({scope for (scope,) in self.rows(sql)})
        return (ASSUMED if "TABLES" in found else OTHERWISE), f"the scopes are {found}"

    def row_27(self):
        admin, password = f"{self.context.user}_super", self.context.password()
        self.run(f"CREATE USER {admin} PASSWORD '{password}'")
        refused = self.refusal(f'GRANT ROLE "sys:superuser" TO {admin}')
        require(not refused, f"the role is refused: {refused}")
        try:
            self.as_user(
                {**self.current(), "username": admin, "password": password},
                f"CREATE USER {self.context.user}_made PASSWORD DISABLE",
            )
        except Failed as error:
            return OTHERWISE, f"refused: {error}"
        return ASSUMED, "it disables a password"
