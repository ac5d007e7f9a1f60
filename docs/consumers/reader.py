"""Credentials of a database that rotate: read from Secrets Manager, kept for a while, read again when refused."""

import json
import time

import boto3


class Credentials:
    """AWSCURRENT of one secret, kept for `keep` seconds: less than the rotation's min_interval."""

    def __init__(self, secret_id, keep=300, client=None):
        self.secret_id = secret_id
        self.keep = keep
        self.client = client or boto3.client("secretsmanager")
        self.forget()

    def current(self):
        if time.monotonic() >= self.until:
            answer = self.client.get_secret_value(SecretId=self.secret_id)
            self.document = json.loads(answer["SecretString"])
            self.until = time.monotonic() + self.keep
        return self.document

    def forget(self):
        self.document, self.until = None, 0.0


def connect(credentials, open_connection, is_refused):
    """Opens a connection. Refused credentials are read again, and tried once more."""
    try:
        return open_connection(credentials.current())
    except Exception as error:
        if not is_refused(error):
            raise
    credentials.forget()
    return open_connection(credentials.current())
