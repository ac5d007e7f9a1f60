"""Clients of AWS on the served store. Only the URL of their endpoint differs.

`make test-clients` starts the store and sets AWS_ENDPOINT_URL_SECRETS_MANAGER, AWS_DEFAULT_REGION, the key of an
administrator (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), and READER_ID and READER_SECRET, the key of an application
that may read prod/*. No other AWS setting is necessary.
"""

import datetime
import json
import os
import re
import subprocess
import sys
import time
import unittest
import uuid
from unittest import mock

import boto3
from aws_secretsmanager_caching import InjectSecretString, SecretCache, SecretCacheConfig
from botocore.exceptions import ClientError


def client(key=None, secret=None):
    """A client with this key, or with that of the environment."""
    return boto3.client("secretsmanager", aws_access_key_id=key, aws_secret_access_key=secret)


def reader():
    return client(os.environ["READER_ID"], os.environ["READER_SECRET"])


def name():
    return f"prod/{uuid.uuid4()}"


def refused(call, **parameters):
    """The error code and the HTTP status of a failed call."""
    try:
        call(**parameters)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("the call succeeded")


def aws(*arguments, **environment):
    """The exit status of the AWS CLI, its output as JSON, and its standard error."""
    program = os.path.join(os.path.dirname(sys.executable), "aws")
    done = subprocess.run(
        [program, "secretsmanager", "--output", "json", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr


class Boto3(unittest.TestCase):
    def test_a_secret_is_created_read_staged_and_deleted(self):
        secrets, secret = client(), name()
        made = secrets.create_secret(Name=secret, SecretString="one", Tags=[{"Key": "team", "Value": "orders"}])
        self.assertEqual(secrets.get_secret_value(SecretId=made["ARN"])["SecretString"], "one")
        put = secrets.put_secret_value(SecretId=secret, SecretString="two", VersionStages=["AWSPENDING"])
        secrets.update_secret_version_stage(
            SecretId=secret,
            VersionStage="AWSCURRENT",
            RemoveFromVersionId=made["VersionId"],
            MoveToVersionId=put["VersionId"],
        )
        read = reader().get_secret_value(SecretId=secret)
        self.assertEqual((read["SecretString"], read["VersionId"]), ("two", put["VersionId"]))
        self.assertIsInstance(read["CreatedDate"], datetime.datetime)
        before = secrets.get_secret_value(SecretId=secret, VersionStage="AWSPREVIOUS")
        self.assertEqual(before["SecretString"], "one")
        seen = secrets.describe_secret(SecretId=secret)
        self.assertEqual(seen["Tags"], [{"Key": "team", "Value": "orders"}])
        self.assertIn("AWSCURRENT", seen["VersionIdsToStages"][put["VersionId"]])
        ids = secrets.list_secret_version_ids(SecretId=secret)["Versions"]
        self.assertEqual({v["VersionId"] for v in ids}, {made["VersionId"], put["VersionId"]})
        secrets.delete_secret(SecretId=secret, RecoveryWindowInDays=7)
        self.assertEqual(refused(secrets.get_secret_value, SecretId=secret), ("InvalidRequestException", 400))
        secrets.restore_secret(SecretId=secret)
        secrets.update_secret(SecretId=secret, SecretBinary=bytes(range(256)), Description="bytes")
        self.assertEqual(secrets.get_secret_value(SecretId=secret)["SecretBinary"], bytes(range(256)))
        secrets.tag_resource(SecretId=secret, Tags=[{"Key": "env", "Value": "test"}])
        secrets.untag_resource(SecretId=secret, TagKeys=["team"])
        self.assertEqual(secrets.describe_secret(SecretId=secret)["Tags"], [{"Key": "env", "Value": "test"}])
        self.assertNotIn("ResourcePolicy", secrets.get_resource_policy(SecretId=secret))
        self.assertEqual(secrets.delete_resource_policy(SecretId=secret)["ARN"], made["ARN"])
        secrets.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
        self.assertEqual(refused(secrets.get_secret_value, SecretId=secret), ("ResourceNotFoundException", 400))
        self.assertEqual(len(secrets.get_random_password(PasswordLength=40)["RandomPassword"]), 40)

    def test_secrets_are_listed_in_pages_and_read_in_batches(self):
        secrets, prefix = client(), name()
        names = [f"{prefix}/{n}" for n in range(5)]
        for secret in names:
            secrets.create_secret(Name=secret, SecretString=secret)
        filters = [{"Key": "name", "Values": [prefix]}]
        pages = secrets.get_paginator("list_secrets").paginate(
            Filters=filters, SortBy="name", SortOrder="desc", PaginationConfig={"PageSize": 2}
        )
        listed = [[entry["Name"] for entry in page["SecretList"]] for page in pages]
        self.assertEqual(listed, [names[:2:-1], names[2:0:-1], names[:1]])
        batch = secrets.batch_get_secret_value(SecretIdList=[names[0], f"{prefix}/none"])
        self.assertEqual([v["SecretString"] for v in batch["SecretValues"]], names[:1])
        self.assertEqual(batch["Errors"][0]["ErrorCode"], "ResourceNotFoundException")
        read, token = [], {}
        while token is not None:
            page = secrets.batch_get_secret_value(Filters=filters, MaxResults=2, **token)
            read += [value["SecretString"] for value in page["SecretValues"]]
            token = {"NextToken": page["NextToken"]} if "NextToken" in page else None
        self.assertEqual(read, names)

    def test_each_mistake_has_the_error_of_aws(self):
        secrets, secret = client(), name()
        secrets.create_secret(Name=secret, SecretString="one")
        wrong = client(os.environ["AWS_ACCESS_KEY_ID"], "the secret of another key")
        self.assertEqual(refused(wrong.get_secret_value, SecretId=secret), ("InvalidSignatureException", 400))
        unknown = client("AKIDEXAMPLE", "x")
        self.assertEqual(refused(unknown.get_secret_value, SecretId=secret), ("UnrecognizedClientException", 400))
        self.assertEqual(
            refused(reader().put_secret_value, SecretId=secret, SecretString="two"), ("AccessDeniedException", 400)
        )
        forbidden = f"dev/{uuid.uuid4()}"
        self.assertEqual(refused(reader().get_secret_value, SecretId=forbidden), ("AccessDeniedException", 400))
        self.assertEqual(
            refused(secrets.put_resource_policy, SecretId=secret, ResourcePolicy="{}"),
            ("MalformedPolicyDocumentException", 400),
        )
        tampered = client()

        def change(request, **_):
            request.body = request.body.replace(b"prod/", b"prad/")

        tampered.meta.events.register("before-send.secretsmanager.*", change)
        self.assertEqual(refused(tampered.get_secret_value, SecretId=secret), ("InvalidSignatureException", 400))

    def test_an_old_date_has_the_error_of_aws(self):
        import botocore.auth

        old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=6)
        with mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: old.replace(tzinfo=None)):
            error = None
            try:
                client().get_secret_value(SecretId=name())
            except ClientError as caught:
                error = caught.response["Error"]
        self.assertEqual(error["Code"], "InvalidSignatureException")
        self.assertRegex(error["Message"], r"^Signature expired: \d{8}T\d{6}Z is now earlier than ")


class CachingClient(unittest.TestCase):
    def test_a_secret_is_read_and_injected(self):
        secret = name()
        client().create_secret(Name=secret, SecretString="one")
        cache = SecretCache(SecretCacheConfig(secret_refresh_interval=3600), reader())
        self.assertEqual(cache.get_secret_string(secret), "one")
        client().put_secret_value(SecretId=secret, SecretString="two")
        self.assertEqual(cache.get_secret_string(secret), "one", "the cached value")
        cache.refresh_secret_now(secret)
        self.assertEqual(cache.get_secret_string(secret), "two")
        client().update_secret(SecretId=secret, SecretBinary=b"\x00\x01")
        cache.refresh_secret_now(secret)
        self.assertEqual(cache.get_secret_binary(secret), b"\x00\x01")

        client().put_secret_value(SecretId=secret, SecretString="three")
        cache.refresh_secret_now(secret)

        @InjectSecretString(secret, cache)
        def application(value):
            return value

        self.assertEqual(application(), "three")


class CommandLine(unittest.TestCase):
    def test_a_secret_of_the_worker_is_rotated_and_described(self):
        token, secret = str(uuid.uuid4()), ("--secret-id", "prod/shop")
        status, answer, error = aws("rotate-secret", *secret, "--client-request-token", token)
        self.assertEqual(status, 0, error)
        self.assertEqual(answer["VersionId"], token)
        end = time.monotonic() + 60
        described = {}
        while "LastRotatedDate" not in described and time.monotonic() < end:
            described = aws("describe-secret", *secret)[1]
        self.assertIn("LastRotatedDate", described)
        self.assertIn("AWSCURRENT", described["VersionIdsToStages"][token])
        labels = [label for labels in described["VersionIdsToStages"].values() for label in labels]
        self.assertEqual(labels.count("AWSPREVIOUS"), 1)

    def test_a_secret_is_written_staged_and_read(self):
        secret = name()
        status, made, stderr = aws("create-secret", "--name", secret, "--secret-string", "one")
        self.assertEqual(status, 0, stderr)
        status, put, stderr = aws(
            "put-secret-value", "--secret-id", secret, "--secret-string", "two", "--version-stages", "AWSPENDING"
        )
        self.assertEqual((status, put["VersionStages"]), (0, ["AWSPENDING"]), stderr)
        status, _, stderr = aws(
            *("update-secret-version-stage", "--secret-id", secret, "--version-stage", "AWSCURRENT"),
            *("--remove-from-version-id", made["VersionId"], "--move-to-version-id", put["VersionId"]),
        )
        self.assertEqual(status, 0, stderr)
        status, read, stderr = aws("get-secret-value", "--secret-id", made["ARN"])
        self.assertEqual((status, read["SecretString"]), (0, "two"), stderr)
        status, listed, stderr = aws("list-secrets", "--filters", f"Key=name,Values={secret}")
        self.assertEqual((status, listed["SecretList"][0]["Name"]), (0, secret), stderr)

    def test_each_mistake_has_the_error_of_aws(self):
        secret = f"dev/{uuid.uuid4()}"
        as_reader = {
            "AWS_ACCESS_KEY_ID": os.environ["READER_ID"],
            "AWS_SECRET_ACCESS_KEY": os.environ["READER_SECRET"],
        }
        for environment, error in [
            ({}, "ResourceNotFoundException"),
            (as_reader, "AccessDeniedException"),
            ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "InvalidSignatureException"),
            ({"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}, "UnrecognizedClientException"),
            ({"AWS_SESSION_TOKEN": "a session's"}, "UnrecognizedClientException"),
        ]:
            status, _, stderr = aws("get-secret-value", "--secret-id", secret, **environment)
            self.assertNotEqual(status, 0)
            self.assertIn(f"An error occurred ({error}) when calling the GetSecretValue operation: ", stderr)


class Documentation(unittest.TestCase):
    """The table of fields in docs/served-store.md has every field of the API reference."""

    def test_every_field_of_the_reference_is_in_the_table(self):
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "..", "..", "docs", "served-store.md"), encoding="utf-8") as page:
            section = page.read().split("## Fields")[1].split("### Differences")[0]
        described, action = {}, ""
        for line in section.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 5 and cells[1] in ("request", "response"):
                action = cells[0].strip("*") or action
                text = re.sub(r"\([^)]*\)", "", " ".join(cells[2:]))
                described[action, cells[1]] = set(re.findall(r"[A-Za-z]+", text))
        unknown = section.rsplit("\n\n", 2)[-2]
        model = client().meta.service_model
        for name in model.operation_names:
            if (name, "request") not in described:
                self.assertIn(name, unknown)
                continue
            operation = model.operation_model(name)
            for side, shape in [("request", operation.input_shape), ("response", operation.output_shape)]:
                fields = set(shape.members) if shape else set()
                self.assertEqual(described.get((name, side), set()), fields, f"{name}, {side}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
