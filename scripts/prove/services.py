"""Rows about RDS as a whole, Secrets Manager and IAM."""

import json
import uuid

import botocore.exceptions

from .context import SECRETS, code_of
from .report import ASSUMED, OTHERWISE, NotTried

MANAGED = ("postgres", "mysql", "documentdb")


class Rds:
    """Rows of all engines of RDS, after the steps of one engine."""

    def __init__(self, engine, before):
        self.engine = engine
        self.context = engine.context
        # The versions of the master secret before the first step.
        self.before = before

    def row_1(self):
        if self.context.arguments.host or self.context.master.get("host"):
            raise NotTried("the master secret or --host names the host")
        self.context.succeeds("check", "prove")
        return ASSUMED, "`check` finds the host in the RDS API"

    def row_2(self):
        if self.context.arguments.ca_file:
            raise NotTried("--ca-file was given")
        if self.engine.name not in MANAGED:
            raise NotTried("Redshift's Data API needs no root of RDS")
        self.context.succeeds("check", "prove")
        return ASSUMED, f"the built-in roots verify {self.context.host}"

    def row_3(self):
        raise NotTried("it needs an RDS Proxy with the secret of the pair")

    def row_4(self):
        raise NotTried("it needs a blue/green deployment, which costs a second instance")

    def row_5(self):
        raise NotTried("it needs a copy of the instance")

    def row_6(self):
        same = self.engine.master_versions() == self.before
        return (
            (ASSUMED, "its versions are as before")
            if same
            else (OTHERWISE, "its versions changed during the steps")
        )

    def row_7(self):
        if not self.context.arguments.reader or self.engine.name not in ("postgres", "mysql"):
            raise NotTried("no --reader of PostgreSQL or MySQL was given")
        listed = self.engine.sessions_of_reader(self.engine.current())
        return (
            OTHERWISE if listed else ASSUMED
        ), f"the writer lists {listed} sessions of the reader"


class Aws:
    """Rows of Secrets Manager and IAM."""

    def __init__(self, context):
        self.context = context

    def create(self, name):
        store, secret = self.context.store, f"{SECRETS}/{self.context.run}/{name}"
        self.context.create_secret(secret, {"n": 0})
        return store, secret

    @staticmethod
    def error_of(call, **arguments):
        try:
            call(**arguments)
        except botocore.exceptions.ClientError as error:
            return code_of(error)
        return "no error"

    def row_1(self):
        store, secret = self.create("labels")
        first = store.describe_secret(SecretId=secret)["VersionIdsToStages"]
        (old,) = first
        new, wrong = str(uuid.uuid4()), []

        def expects(what, found, expected):
            if found != expected:
                wrong.append(f"{what}: {found}, not {expected}")

        put = {"SecretId": secret, "ClientRequestToken": new, "SecretString": json.dumps({"n": 1})}
        store.put_secret_value(**put)
        labels = store.describe_secret(SecretId=secret)["VersionIdsToStages"]
        expects("labels after a write", labels, {old: ["AWSPREVIOUS"], new: ["AWSCURRENT"]})
        expects("the same write again", self.error_of(store.put_secret_value, **put), "no error")
        other = {**put, "SecretString": json.dumps({"n": 2})}
        expects(
            "another value with the same token",
            self.error_of(store.put_secret_value, **other),
            "ResourceExistsException",
        )
        move = {"SecretId": secret, "VersionStage": "AWSCURRENT", "MoveToVersionId": old}
        expects(
            "a move without RemoveFromVersionId",
            self.error_of(store.update_secret_version_stage, **move),
            "InvalidParameterException",
        )
        expects(
            "a move from another version",
            self.error_of(store.update_secret_version_stage, RemoveFromVersionId=old, **move),
            "InvalidParameterException",
        )
        expects(
            "a move",
            self.error_of(store.update_secret_version_stage, RemoveFromVersionId=new, **move),
            "no error",
        )
        labels = store.describe_secret(SecretId=secret)["VersionIdsToStages"]
        expects("labels after the move", labels, {old: ["AWSCURRENT"], new: ["AWSPREVIOUS"]})
        return (
            (OTHERWISE, "; ".join(wrong))
            if wrong
            else (ASSUMED, "7 requests answer as the API reference says")
        )

    def row_2(self):
        store, secret = self.create("quota")
        # A secret has at most 20 labels in all its versions, and has AWSCURRENT already.
        labels = [f"prove-{number}" for number in range(20)]
        put = {"SecretId": secret, "SecretString": json.dumps({"n": 1}), "VersionStages": labels}
        found = [
            self.error_of(store.put_secret_value, ClientRequestToken=str(uuid.uuid4()), **put)
            for _ in range(2)
        ]
        return (
            ASSUMED if found == ["LimitExceededException"] * 2 else OTHERWISE
        ), f"21 labels, twice: {found}"

    def row_3(self):
        raise NotTried("throttling would reach other users of the account")

    def row_4(self):
        raise NotTried(
            "it needs a role of its own: run this script's `twinkey` as a role with the policy of `twinkey iam-policy`"
        )

    def row_5(self):
        raise NotTried("`terraform apply` creates more than a test database")

    def row_6(self):
        raise NotTried(
            "AWS Config evaluates a secret hours later: look at the controls of a rotated secret of yours"
        )
