"""What all engines have in common: the steps of the ten minutes, and the order of a proof."""

import json

from .context import expect


class Engine:
    """One database server, by the master of a secret. A subclass has a method for each row, `row_1`
    for `ENGINE-1`."""

    # The value of `engine` in the secret, and the first part of the ids.
    name = ""

    def __init__(self, context):
        self.context = context

    @staticmethod
    def describe(error):
        """An error as one text."""
        return f"{type(error).__name__}: {error}"

    # A subclass has these:
    #   connect(user, password, database=None): a connection, which is closed by `close()`
    #   refuse_unless_empty(): raises Refused if the database has anything, or a user of a proof
    #   version(): the server's version
    #   create_user(password): the user, with a privilege and a table
    #   works(document): signs in and uses the table
    #   users_differ(): how the two users differ besides name and password, or None
    #   clean_up(): removes all users and objects with the prefix; returns what is left

    def config(self):
        """More keys of the rotation."""
        return []

    def document(self, password):
        """The first version of the secret."""
        context = self.context
        return {
            "engine": self.name,
            "host": context.host,
            "port": context.port,
            "username": context.user,
            "password": password,
            "dbname": context.arguments.database,
        }

    def prepare(self):
        """Creates the user, its secret and the config."""
        context = self.context
        password = context.password()
        self.create_user(password)
        context.create_secret(context.secret, self.document(password))
        context.configure(self.config())

    def current(self):
        return self.context.read(self.context.secret)

    def master_versions(self):
        described = self.context.store.describe_secret(SecretId=self.context.arguments.master)
        return described["VersionIdsToStages"], described.get("LastChangedDate")

    # The steps ---------------------------------------------------------------------------------

    def steps(self):
        """The steps, in order. A later one needs the earlier ones."""
        return [
            ("create a user and its secret", self.prepare),
            ("`twinkey check`", self.check),
            (
                "`twinkey check` with a wrong password in the secret: current_signin_failed",
                self.check_wrong,
            ),
            ("`twinkey plan`, then `rotate`: the clone signs in and works", self.rotate_to_clone),
            ("`twinkey rotate`: the first user signs in and works", self.rotate_to_base),
            ("`twinkey rollback`: the clone signs in and works", self.roll_back),
            ("the two users differ in name and password only", self.compare),
            ("`twinkey plan`: nothing but the password", self.plan_is_empty),
        ]

    def check(self):
        self.context.succeeds("check", "prove")

    def check_wrong(self):
        context = self.context
        right = context.store.describe_secret(SecretId=context.secret)["VersionIdsToStages"]
        current = next(id_ for id_, labels in right.items() if "AWSCURRENT" in labels)
        wrong = context.store.put_secret_value(
            SecretId=context.secret,
            SecretString=json.dumps({**self.current(), "password": context.password()}),
        )["VersionId"]
        try:
            context.fails("current_signin_failed", "check", "prove")
        finally:
            context.store.update_secret_version_stage(
                SecretId=context.secret,
                VersionStage="AWSCURRENT",
                MoveToVersionId=current,
                RemoveFromVersionId=wrong,
            )

    def rotate_to_clone(self):
        self.context.succeeds("plan", "prove")
        self.rotate(self.context.clone)

    def rotate_to_base(self):
        self.rotate(self.context.user)

    def rotate(self, expected):
        self.context.succeeds("rotate", "prove")
        self.is_active(expected)

    def roll_back(self):
        self.context.succeeds("rollback", "prove")
        self.is_active(self.context.clone)

    def is_active(self, expected):
        document = self.current()
        user = document["username"]
        expect(user == expected, f"AWSCURRENT names {user}, not {expected}")
        self.works(document)

    def compare(self):
        difference = self.users_differ()
        expect(difference is None, difference)

    def plan_is_empty(self):
        changes = json.loads(self.context.succeeds("plan", "prove", "--json"))["changes"]
        others = [change["statement"] for change in changes if change["kind"] != "password"]
        expect(not others, f"plan shows {others}")
