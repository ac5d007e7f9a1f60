"""Creates the secrets of docker-compose.yml in the stand-in, unless they exist."""

import json
import os

import boto3

# host:port of the databases. A test sets others.
SERVERS = {
    "postgres": os.environ.get("POSTGRES", "postgres:5432"),
    "mariadb": os.environ.get("MARIADB", "mariadb:3306"),
}

client = boto3.client("secretsmanager", region_name=os.environ["AWS_REGION"])
for engine, server in SERVERS.items():
    host, port = server.rsplit(":", 1)
    for name, username, password in (
        (f"shop/{engine}", "shop", "shop-change-me"),
        (f"shop/{engine}-master", "shop_admin", "admin-change-me"),
    ):
        document = {
            "engine": engine,
            "host": host,
            "port": int(port),
            "dbname": "shop",
            "username": username,
            "password": password,
        }
        try:
            client.create_secret(Name=name, SecretString=json.dumps(document))
            print(f"{name}: created")
        except client.exceptions.ResourceExistsException:
            print(f"{name}: is there")
