"""One proof: its names, its secrets in Secrets Manager, and the twinkey program."""

import json
import os
import re
import secrets as random
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
import botocore.exceptions

from .report import NotTried, Refused

# The beginning of the name of each user and object.
PREFIX = "twinkey_prove_"
SECRETS = "twinkey-prove"
ROOTS = Path(__file__).resolve().parents[2] / "crates" / "engines" / "src" / "tls" / "rds-roots.pem"
ERROR = re.compile(r"error\[(\w+)\]: (.*)")


def code_of(error):
    """The name of an error of AWS."""
    return error.response["Error"]["Code"]


class Context:
    """Names, clients and passwords of one proof."""

    def __init__(self, arguments, redactor):
        self.arguments = arguments
        self.redactor = redactor
        self.run = random.token_hex(3)
        self.user = f"{PREFIX}{self.run}"
        self.clone = f"{self.user}_clone"
        self.secret = f"{SECRETS}/{self.run}/{arguments.engine}"
        self.folder = tempfile.TemporaryDirectory(prefix="twinkey-prove-")
        self.session = boto3.Session(region_name=arguments.region)
        self.store = self.client("secretsmanager")
        self.secrets = []
        self.master = self.read(arguments.master)
        self.master_arn = self.store.describe_secret(SecretId=arguments.master)["ARN"]
        self.host, self.port = self.address()

    def client(self, service):
        return self.session.client(service, endpoint_url=self.arguments.endpoint_url)

    def say(self, text):
        print(self.redactor(f"prove-on-aws: {text}"), file=sys.stderr, flush=True)

    def password(self):
        """A new password that each engine accepts."""
        password = f"Pr0ve-{random.token_hex(12)}"
        self.redactor.add(password)
        return password

    # Secrets -----------------------------------------------------------------------------------

    def read(self, secret, **version):
        """The document in a version of a secret; AWSCURRENT by default."""
        document = json.loads(
            self.store.get_secret_value(SecretId=secret, **version)["SecretString"]
        )
        self.redactor.add(document.get("password"))
        return document

    def create_secret(self, name, document):
        """Creates a secret, which the clean-up removes."""
        # Recorded first, so that an interruption leaves nothing behind.
        self.secrets.append(name)
        return self.store.create_secret(
            Name=name,
            SecretString=json.dumps(document),
            Tags=[{"Key": "twinkey-prove", "Value": self.run}],
        )

    def remove_secrets(self):
        """Removes the secrets at once. Returns what is left."""
        left = []
        for name in self.secrets:
            try:
                self.store.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
            except botocore.exceptions.ClientError as error:
                if code_of(error) != "ResourceNotFoundException":
                    left.append(f"the secret {name}: {error}")
        return left

    def address(self):
        """The host and the port of the master: the argument, else its secret, else the RDS API."""
        given = self.arguments.host
        if given and self.master.get("host"):
            raise Refused(f"the secret {self.arguments.master} names its host: remove --host")
        if given:
            host, _, port = given.partition(":")
            return host, int(port) if port else self.master.get("port")
        if self.master.get("host") or self.arguments.engine == "redshift":
            return self.master.get("host"), self.master.get("port")
        rds = self.client("rds")
        for call, found, endpoint in (
            (
                rds.describe_db_instances,
                "DBInstances",
                lambda one: (one["Endpoint"]["Address"], one["Endpoint"]["Port"]),
            ),
            (rds.describe_db_clusters, "DBClusters", lambda one: (one["Endpoint"], one["Port"])),
        ):
            marker = {}
            while True:
                page = call(**marker)
                for one in page[found]:
                    if one.get("MasterUserSecret", {}).get("SecretArn") == self.master_arn:
                        return endpoint(one)
                if not page.get("Marker"):
                    break
                marker = {"Marker": page["Marker"]}
        raise Refused(
            f"the secret {self.arguments.master} names no host, and RDS manages no such master: add --host"
        )

    # TLS ---------------------------------------------------------------------------------------

    def roots(self):
        """One PEM file: the roots of RDS, of the system, and of --ca-file."""
        path = Path(self.folder.name) / "roots.pem"
        if not path.exists():
            system = ssl.get_default_verify_paths().cafile
            files = [ROOTS, system, self.arguments.ca_file]
            texts = [
                Path(file).read_text(encoding="utf-8")
                for file in files
                if file and Path(file).exists()
            ]
            path.write_text("\n".join(texts), encoding="utf-8")
        return str(path)

    def tls(self):
        return ssl.create_default_context(cafile=self.roots())

    # The program -------------------------------------------------------------------------------

    def configure(self, rotation):
        """Writes a config with one rotation."""
        text = json.dumps  # A string of JSON is one of TOML.
        arguments = self.arguments
        lines = ["[journal]", 'url = "sqlite://journal.db"', "[secrets]", 'backend = "aws"']
        lines += [f"region = {text(self.session.region_name)}"]
        if arguments.endpoint_url:
            lines += [f"endpoint_url = {text(arguments.endpoint_url)}"]
        lines += ["[[rotation]]", 'name = "prove"', f"secret = {text(self.secret)}"]
        lines += [f"master_secret = {text(arguments.master)}", 'min_interval = "0s"']
        if arguments.host and arguments.engine != "redshift":
            lines += [f"master_host = {text(arguments.host)}"]
        if arguments.ca_file:
            ca_file = str(Path(arguments.ca_file).resolve())
            lines += [f'tls = {{ mode = "verify-full", ca_file = {text(ca_file)} }}']
        path = Path(self.folder.name) / "twinkey.toml"
        path.write_text("\n".join(lines + rotation) + "\n", encoding="utf-8")

    def twinkey(self, *words):
        """Runs the program. Returns its status, its output and its errors."""
        environment = dict(
            os.environ, TWINKEY_CONFIG=str(Path(self.folder.name) / "twinkey.toml"), NO_COLOR="1"
        )
        done = subprocess.run(
            [self.arguments.twinkey, *words],
            env=environment,
            cwd=self.folder.name,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            # Ctrl-C ends this script, whose clean-up follows, and not both.
            start_new_session=True,
        )
        return done.returncode, done.stdout, done.stderr

    def succeeds(self, *words):
        """Runs the program, which must succeed. Returns its output."""
        status, output, errors = self.twinkey(*words)
        if status != 0:
            raise RuntimeError(
                f"twinkey {' '.join(words)} exited with {status}: {self.reason(output, errors)}"
            )
        return output

    def fails(self, code, *words):
        """Runs the program, which must fail with this code."""
        status, output, errors = self.twinkey(*words)
        if status == 0 or code not in output + errors:
            raise RuntimeError(
                f"twinkey {' '.join(words)} exited with {status} without {code}: {self.reason(output, errors)}"
            )

    @staticmethod
    def reason(output, errors):
        found = ERROR.search(errors) or ERROR.search(output)
        return f"{found[1]}: {found[2]}" if found else (errors or output).strip()[-300:]


def expect(holds, otherwise):
    """Raises if a step has another result."""
    if not holds:
        raise RuntimeError(otherwise)


def require(holds, reason):
    """Raises if a row cannot be tried."""
    if not holds:
        raise NotTried(reason)
