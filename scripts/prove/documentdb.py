"""DocumentDB, and MongoDB."""

from contextlib import closing

import pymongo
from pymongo.errors import OperationFailure

from .context import PREFIX, require
from .engine import Engine
from .report import ASSUMED, OTHERWISE, Refused

# The database of twinkey's locks.
LOCKS = "twinkey"
COLLECTION = "twinkey_prove_orders"


class Documentdb(Engine):
    name = "documentdb"

    def __init__(self, context):
        super().__init__(context)
        self.had_locks = True

    def connect(self, user=None, password=None, host=None):
        context = self.context
        return pymongo.MongoClient(
            host or context.host,
            context.port or 27017,
            username=user or context.master["username"],
            password=password or context.master["password"],
            authSource="admin",
            tls=True,
            tlsCAFile=context.roots(),
            directConnection=True,
            retryWrites=False,
            appname="prove-on-aws",
            serverSelectionTimeoutMS=15000,
        )

    def run(self, database, command, user=None, password=None, host=None):
        with closing(self.connect(user, password, host)) as client:
            return client[database].command(command)

    def refusal(self, database, command, user=None, password=None):
        try:
            self.run(database, command, user, password)
        except OperationFailure as error:
            return error.code, (error.details or {}).get("errmsg", str(error))
        return None

    @property
    def database(self):
        return self.context.arguments.database

    def version(self):
        return self.run("admin", {"buildInfo": 1})["version"]

    def config(self):
        reader = self.context.arguments.reader
        return [f'documentdb = {{ reader = "{reader}" }}'] if reader else []

    def document(self, password):
        # AWS's name of the engine. The users are in `admin`.
        document = {**super().document(password), "engine": "mongo"}
        del document["dbname"]
        return document

    def users(self, prefix=PREFIX):
        """The users of a proof, each with its database. On DocumentDB that is always `admin`."""
        found = []
        for database in ("admin", self.database):
            found += self.run(database, {"usersInfo": 1})["users"]
        return sorted({(one["db"], one["user"]) for one in found if one["user"].startswith(prefix)})

    def refuse_unless_empty(self):
        with closing(self.connect()) as master:
            names = master[self.database].list_collection_names()
            self.had_locks = LOCKS in master.list_database_names()
        if names:
            raise Refused(
                f"the database {self.database} is not empty: {', '.join(sorted(names)[:3])}"
            )
        if self.users():
            raise Refused(
                f"the server has users of another proof: {', '.join(name for _, name in self.users())}"
            )

    def make(self, user, roles):
        password = self.context.password()
        self.run("admin", {"createUser": user, "pwd": password, "roles": roles})
        return password

    def create_user(self, password):
        roles = [{"role": "readWrite", "db": self.database}]
        self.run("admin", {"createUser": self.context.user, "pwd": password, "roles": roles})

    def works(self, document):
        insert = {"insert": COLLECTION, "documents": [{"n": 1}]}
        self.run(self.database, insert, document["username"], document["password"])

    def reported(self, user):
        found = self.run("admin", {"usersInfo": {"user": user, "db": "admin"}})["users"][0]
        return {
            key: value for key, value in found.items() if key not in ("_id", "id", "user", "userId")
        }

    def users_differ(self):
        base, clone = self.reported(self.context.user), self.reported(self.context.clone)
        return None if base == clone else f"{base} and {clone}"

    def clean_up(self):
        left = []
        for database, user in self.users(self.context.user):
            refused = self.refusal(database, {"dropUser": user})
            if refused:
                left.append(f"the user {user}: {refused[1]}")
        with closing(self.connect()) as master:
            master[self.database].drop_collection(COLLECTION)
            if not self.had_locks:
                master.drop_database(LOCKS)
        return left

    # Rows --------------------------------------------------------------------------------------

    def operations(self, user=None, password=None):
        command = {"currentOp": 1, "$all": True}
        return self.run("admin", command, user, password).get("inprog", [])

    def row_1(self):
        current = self.current()
        with closing(self.connect(current["username"], current["password"])) as client:
            client[self.database].command({"find": COLLECTION, "limit": 1})
            found = [one for one in self.operations() if one.get("client")]
            named = [one for one in found if current["username"] in str(one.get("effectiveUsers"))]
        require(found, "currentOp lists no connection")
        if named:
            return OTHERWISE, "currentOp names the user of an idle connection"
        return ASSUMED, f"none of {len(found)} connections has the user of the idle one"

    def row_2(self):
        reader = self.context.arguments.reader
        require(reader, "no --reader was given")
        current = self.current()
        with closing(self.connect(current["username"], current["password"], reader)) as client:
            client.admin.command({"ping": 1})
            name = "prove-on-aws"
            listed = [
                one
                for one in self.operations()
                if name in str(one.get("clientMetaData")) and one.get("secs_running", 0) > 1
            ]
        return ASSUMED, f"the writer lists {len(listed)} connections of the reader's client"

    def row_3(self):
        missing = self.refusal(
            "admin",
            {
                "grantRolesToUser": self.context.user,
                "roles": [{"role": "userAdmin", "db": self.database}],
            },
        )
        owner = f"{self.context.user}_owner"
        password = self.make(owner, [{"role": "dbOwner", "db": self.database}])
        create = {"createUser": f"{owner}_made", "pwd": self.context.password(), "roles": []}
        refused = self.refusal(self.database, create, owner, password)
        detail = f"userAdmin: {missing[1] if missing else 'granted'}; createUser as dbOwner: {refused[1] if refused else 'accepted'}"
        return (ASSUMED if missing and refused else OTHERWISE), detail

    def row_4(self):
        where = {"usersInfo": {"user": self.context.user, "db": self.database}}
        found = self.run(self.database, where)["users"]
        if not found:
            return ASSUMED, "usersInfo on another database finds nothing"
        databases = sorted({one["db"] for one in found})
        return (
            ASSUMED if databases == ["admin"] else OTHERWISE
        ), f"usersInfo on another database reports users of {databases}"

    def row_5(self):
        monitor = f"{self.context.user}_monitor"
        password = self.make(monitor, [{"role": "clusterMonitor", "db": "admin"}])
        refused = self.refusal("admin", {"currentOp": 1, "$all": True}, monitor, password)
        if refused:
            return OTHERWISE, f"currentOp is refused: {refused[1]}"
        status = self.run(
            "admin", {"connectionStatus": 1, "showPrivileges": True}, monitor, password
        )
        lists = "inprog" in str(status.get("authInfo"))
        return (
            ASSUMED,
            f"currentOp is permitted; the privileges {'list' if lists else 'do not list'} inprog",
        )

    def row_6(self):
        name = f"{self.context.user}_restore"
        password = self.make(name, [{"role": "restore", "db": "admin"}])
        create = {"createUser": f"{name}_made", "pwd": self.context.password(), "roles": []}
        refused = self.refusal("admin", create, name, password)
        return (
            (OTHERWISE, f"createUser is refused: {refused[1]}")
            if refused
            else (ASSUMED, "it creates a user")
        )

    def row_7(self):
        require(
            False,
            "the sign-ins are in the audit log: look for `authenticate` in CloudWatch after a `check` with a wrong password",
        )

    def row_8(self):
        require(".docdb-elastic." in self.context.host, "the cluster is not an elastic one")
        failed = [
            name
            for engine, name, error in self.context.report.steps
            if engine == self.name and error
        ]
        return (
            (OTHERWISE, f"failed: {', '.join(failed)}")
            if failed
            else (ASSUMED, "all steps succeed")
        )
