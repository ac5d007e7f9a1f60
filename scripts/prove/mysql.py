"""RDS and Aurora for MySQL, and RDS for MariaDB."""

import re
from contextlib import closing

import pymysql

from .context import PREFIX, require
from .engine import Engine
from .report import ASSUMED, OTHERWISE, NotTried, Refused


class Mysql(Engine):
    name = "mysql"

    def connect(self, user=None, password=None, host=None):
        context = self.context
        return pymysql.connect(
            host=host or context.host,
            port=context.port or 3306,
            user=user or context.master["username"],
            password=password or context.master["password"],
            database=None if user and user.endswith("_small") else context.arguments.database,
            ssl=context.tls(),
            connect_timeout=30,
            autocommit=True,
        )

    def rows(self, sql, *values, **login):
        with closing(self.connect(**login)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def refusal(self, *statements, **login):
        """The error of the first statement that is refused, as (number, message)."""
        for statement in statements:
            try:
                self.rows(statement, **login)
            except pymysql.MySQLError as error:
                return error.args[0], str(error.args[-1])
        return None

    def variable(self, name):
        found = self.rows("SHOW GLOBAL VARIABLES WHERE Variable_name = %s", name)
        return found[0][1] if found else None

    @property
    def is_mariadb(self):
        return "mariadb" in self.version().lower()

    def version(self):
        version, comment = self.rows("SELECT VERSION(), @@version_comment")[0]
        return f"{version} ({comment})"

    def users(self, prefix=PREFIX):
        return self.rows(
            "SELECT User, Host FROM mysql.user WHERE LEFT(User, %s) = %s", len(prefix), prefix
        )

    def refuse_unless_empty(self):
        database = self.context.arguments.database
        # Both are patterns in a GRANT.
        if "_" in database or "%" in database:
            raise Refused("the name of the database must not contain _ or %")
        tables = self.rows(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s LIMIT 3",
            database,
        )
        if tables:
            raise Refused(
                f"the database {database} is not empty: {', '.join(name for (name,) in tables)}"
            )
        if self.users():
            raise Refused(f"the server has users of another proof: {self.users()}")

    def document(self, password):
        return {**super().document(password), "engine": "mariadb" if self.is_mariadb else "mysql"}

    def create_user(self, password):
        user, database = self.context.user, self.context.arguments.database
        self.rows(f"CREATE USER '{user}'@'%%' IDENTIFIED BY %s", password)
        self.rows(f"GRANT SELECT, INSERT, CREATE, ALTER ON `{database}`.* TO '{user}'@'%'")
        self.rows("CREATE TABLE twinkey_prove_orders (id int)")

    def works(self, document):
        login = {"user": document["username"], "password": document["password"]}
        self.rows("INSERT INTO twinkey_prove_orders VALUES (1)", **login)
        self.rows("CREATE TABLE IF NOT EXISTS twinkey_prove_made (id int)", **login)

    def definition(self, user):
        shown = self.rows(f"SHOW GRANTS FOR '{user}'@'%'") + self.rows(
            f"SHOW CREATE USER '{user}'@'%'"
        )
        text = "\n".join(row[0] for row in shown).replace(user, "USER")
        # The hash is what differs: of MySQL between AS and REQUIRE, of MariaDB after PASSWORD or USING.
        text = re.sub(r" AS '.*?' REQUIRE ", " AS '***' REQUIRE ", text, flags=re.DOTALL)
        return re.sub(r"(PASSWORD|USING) '[^']*'", r"\1 '***'", text)

    def users_differ(self):
        base, clone = self.definition(self.context.user), self.definition(self.context.clone)
        return None if base == clone else f"{base} and {clone}"

    def clean_up(self):
        left = []
        for user, host in self.users(self.context.user):
            refused = self.refusal(f"DROP USER '{user}'@'{host}'")
            if refused:
                left.append(f"the user {user}: {refused[1]}")
        database = self.context.arguments.database
        listed = "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND LEFT(TABLE_NAME, %s) = %s"
        for name, kind in self.rows(listed, database, len(PREFIX), PREFIX):
            what = "VIEW" if kind == "VIEW" else "TABLE"
            refused = self.refusal(f"DROP {what} `{database}`.`{name}`")
            if refused:
                left.append(f"the {what.lower()} {name}: {refused[1]}")
        return left

    # Rows --------------------------------------------------------------------------------------

    @property
    def small(self):
        """The master that row 1 creates."""
        return f"{self.context.user}_small"

    def row_1(self):
        engine = "mariadb" if self.is_mariadb else "mysql"
        printed = self.context.succeeds(
            "grants-for-master",
            engine,
            "--master",
            self.small,
            "--database",
            self.context.arguments.database,
        )
        accepted, optional, why = 0, [], ""
        for line in printed.splitlines():
            if line.startswith(("--", "#")):
                why = line
                continue
            refused = self.refusal(line.rstrip(";")) if line.strip() else None
            if refused and "optional" in why:
                optional.append(line)
            elif refused:
                return OTHERWISE, f"error {refused[0]}, {refused[1]}, for {line}"
            elif line.strip():
                accepted += 1
        require(accepted, "the program prints no statement")
        detail = f"{accepted} statements are accepted"
        return ASSUMED, (
            f"{detail}; optional ones are refused: {' '.join(optional)}" if optional else detail
        )

    def row_2(self):
        names = (self.context.user, self.context.clone)
        plugins = {
            user: plugin
            for user, plugin in self.rows(
                "SELECT User, plugin FROM mysql.user WHERE User IN (%s, %s)", *names
            )
        }
        require(len(plugins) == 2, "the clone does not exist")
        same = len(set(plugins.values())) == 1
        return (ASSUMED if same else OTHERWISE), f"the plugins are {sorted(set(plugins.values()))}"

    def row_3(self):
        require(self.variable("partial_revokes") == "ON", "partial_revokes is off")
        difference = self.users_differ()
        return (
            (ASSUMED, "the two users are equal") if difference is None else (OTHERWISE, difference)
        )

    def sessions_of_reader(self, document):
        """The sessions on the writer's list, while the user has one on the reader."""
        with closing(
            self.connect(document["username"], document["password"], self.context.arguments.reader)
        ):
            sql = "SELECT count(*) FROM information_schema.processlist WHERE user = %s"
            return self.rows(sql, document["username"])[0][0]

    def row_4(self):
        reader = self.context.arguments.reader
        require(reader, "no --reader was given")
        found = self.rows("SELECT @@global.read_only, @@global.innodb_read_only", host=reader)[0]
        return (
            ASSUMED if any(found) else OTHERWISE
        ), f"read_only is {found[0]}, innodb_read_only is {found[1]}"

    def row_5(self):
        reader = self.context.arguments.reader
        require(reader, "no --reader was given")
        require(self.variable("server_uuid"), "MariaDB has no server_uuid")
        writer, other = (
            self.variable("server_uuid"),
            self.rows("SELECT @@server_uuid", host=reader)[0][0],
        )
        return ASSUMED, f"the reader has {'the same' if writer == other else 'another'} server_uuid"

    def row_6(self):
        require(not self.is_mariadb, "MariaDB has neither privilege")
        require((self.small, "%") in self.users(), "the small master does not exist: see mysql-1")
        small, definer = self.context.password(), f"{self.context.user}_def"
        self.rows(f"ALTER USER '{self.small}'@'%%' IDENTIFIED BY %s", small)
        self.rows(f"CREATE USER '{definer}'@'%%' IDENTIFIED BY %s", self.context.password())
        try:
            self.rows(
                f"CREATE DEFINER = '{definer}'@'%' VIEW twinkey_prove_orphan AS SELECT 1 AS one"
            )
        except pymysql.MySQLError as error:
            raise NotTried(
                f"the master cannot create an object of another definer: {error.args[-1]}"
            ) from error
        self.rows(f"DROP USER '{definer}'@'%'")
        refused = self.refusal(f"CREATE USER '{definer}'@'%'", user=self.small, password=small)
        if refused and refused[0] == 4006:
            return ASSUMED, f"error 4006: {refused[1]}"
        return OTHERWISE, (
            f"error {refused[0]}: {refused[1]}"
            if refused
            else "a master without the privilege creates the user"
        )

    def row_7(self):
        grants = " ".join(row[0] for row in self.rows("SHOW GRANTS FOR CURRENT_USER()"))
        names = [name for name in ("rds_superuser_role", "ROLE_ADMIN") if name in grants]
        if re.search(r"GRANT [^;]*CREATE USER[^;]* ON \*\.\* TO .*WITH GRANT OPTION", grants):
            names.append("CREATE USER WITH GRANT OPTION")
        return (
            (ASSUMED, f"the master has {', '.join(names)}")
            if names
            else (OTHERWISE, "the master has none of them")
        )

    def row_8(self):
        value = self.variable("max_connect_errors")
        refused = self.refusal(f"SET GLOBAL max_connect_errors = {int(value)}")
        return (
            (ASSUMED, f"error {refused[0]}: {refused[1]}")
            if refused
            else (OTHERWISE, "the master sets a global variable")
        )
