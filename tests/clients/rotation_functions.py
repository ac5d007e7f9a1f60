"""Rotation functions after AWS's contract, for one user and for alternating users.

    python rotation_functions.py PORT

`/single`, `/multi` and `/broken` are the functions, invoked as Lambda's runtime emulator is. The engine
is that of the secret; the statements run in psql and mariadb. This is the tests' own code.
"""

import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3

client = boto3.client("secretsmanager")


def sql(secret, statements):
    """The rows of statements, executed with the credentials of a secret."""
    host, port, user = secret["host"], str(secret["port"]), secret["username"]
    if secret["engine"] == "postgres":
        password = "PGPASSWORD"
        command = ["psql", "-XqAt", "-h", host, "-p", port, "-U", user, "-d", secret["dbname"], "-c", statements]
    else:
        password = "MYSQL_PWD"
        command = ["mariadb", "--no-defaults", "-N", "-h", host, "-P", port, "-u", user, secret["dbname"]]
        command += ["-e", statements]
    environment = {"PATH": os.environ["PATH"], password: secret["password"]}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if run.returncode:
        raise RuntimeError("the statements failed")
    return run.stdout.splitlines()


def signs_in(secret):
    try:
        return sql(secret, "SELECT 1") == ["1"]
    except RuntimeError:
        return False


def read(arn, stage, token=None):
    version = {"VersionId": token} if token else {}
    value = client.get_secret_value(SecretId=arn, VersionStage=stage, **version)
    return json.loads(value["SecretString"])


def password_of(admin, user, password):
    """The statement by which an administrator, or the user, sets the password of a user."""
    if admin["engine"] == "postgres":
        return f"ALTER ROLE {user} PASSWORD '{password}'"
    if admin["username"] == user:
        return f"SET PASSWORD = PASSWORD('{password}')"
    return f"ALTER USER {user}@'%' IDENTIFIED BY '{password}'"


def create_user(master, current, pending):
    """Creates the other user with the privileges of the current one."""
    user, other = current["username"], pending["username"]
    if master["engine"] == "postgres":
        sql(master, f"CREATE ROLE {other} LOGIN; GRANT {user} TO {other}")
        return
    grants = [line for line in sql(current, "SHOW GRANTS") if "USAGE ON *.*" not in line]
    copied = [re.sub(r"TO [`'].*?[`']@", f"TO {other}@", grant) for grant in grants]
    sql(master, "; ".join([f"CREATE USER {other}@'%' IDENTIFIED BY '{pending['password']}'", *copied]))


def create_secret(arn, token, _labels, alternates):
    current = read(arn, "AWSCURRENT")
    try:
        read(arn, "AWSPENDING", token)
        return
    except client.exceptions.ResourceNotFoundException:
        pass
    if alternates:
        user = current["username"]
        current["username"] = user.removesuffix("_clone") if user.endswith("_clone") else user + "_clone"
    password = client.get_random_password(ExcludePunctuation=True, PasswordLength=24)
    current["password"] = password["RandomPassword"]
    client.put_secret_value(
        SecretId=arn,
        ClientRequestToken=token,
        SecretString=json.dumps(current),
        VersionStages=["AWSPENDING"],
    )


def set_secret(arn, token, _labels, alternates):
    current, pending = read(arn, "AWSCURRENT"), read(arn, "AWSPENDING", token)
    if signs_in(pending):
        return
    admin = current
    if alternates:
        admin = {**current, **read(current["masterarn"], "AWSCURRENT")}
        users = "pg_roles WHERE rolname" if current["engine"] == "postgres" else "mysql.user WHERE user"
        if sql(admin, f"SELECT count(*) FROM {users} = '{pending['username']}'") == ["0"]:
            create_user(admin, current, pending)
    sql(admin, password_of(current, pending["username"], pending["password"]))


def test_secret(arn, token, _labels, _alternates):
    if not signs_in(read(arn, "AWSPENDING", token)):
        raise RuntimeError("the database refuses AWSPENDING")


def finish_secret(arn, token, labels, _alternates):
    current = next(version for version, stages in labels.items() if "AWSCURRENT" in stages)
    client.update_secret_version_stage(
        SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
    )


STEPS = {
    "createSecret": create_secret,
    "setSecret": set_secret,
    "testSecret": test_secret,
    "finishSecret": finish_secret,
}


def invoke(function, event):
    arn, token = event["SecretId"], event["ClientRequestToken"]
    described = client.describe_secret(SecretId=arn)
    if not described.get("RotationEnabled"):
        raise ValueError("the secret is not enabled for rotation")
    labels = described["VersionIdsToStages"]
    stages = labels.get(token)
    if stages is None:
        raise ValueError("the secret has no such version")
    if "AWSCURRENT" in stages:
        return
    if "AWSPENDING" not in stages:
        raise ValueError("the version is not AWSPENDING")
    if function == "/broken" and event["Step"] == "testSecret":
        raise RuntimeError("broken")
    STEPS[event["Step"]](arn, token, labels, function == "/multi")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = None
        try:
            invoke(self.path, event)
        except Exception as error:
            answer = {"errorMessage": str(error), "errorType": type(error).__name__}
        print(self.path, event["Step"], answer, flush=True)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


print("listening", flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
