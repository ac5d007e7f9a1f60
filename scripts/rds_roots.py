"""Selects the roots of RDS from AWS's bundles, and lists the regions without one."""

import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import botocore.session

FOLDER = Path("crates/engines/src/tls")
ROOTS = FOLDER / "rds-roots.pem"
REGIONS = FOLDER / "rds-regions.txt"
# "Using SSL/TLS to encrypt a connection" in the user guides of the three partitions.
ADDRESSES = (
    "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
    "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem",
    "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem",
)
PARTITIONS = ("aws", "aws-cn", "aws-us-gov", "aws-eusc")
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.S)
NAME = re.compile(r"CN\s*=\s*Amazon RDS (?P<region>[a-z0-9-]+) Root CA (?P<key>\w+) G\d+")


def openssl(pem, *fields):
    return subprocess.run(
        ["openssl", "x509", "-noout", "-nameopt", "RFC2253", *fields],
        input=pem, text=True, check=True, capture_output=True,
    ).stdout


def roots(text):
    """The valid self-signed roots of regions: (region, key, title, PEM)."""
    for pem in CERTIFICATE.findall(text):
        subject, issuer = (openssl(pem, field).split("=", 1)[1].strip() for field in ("-subject", "-issuer"))
        end = openssl(pem, "-enddate", "-dateopt", "iso_8601").split("=", 1)[1].strip().replace(" ", "T")
        found = NAME.search(subject)
        until = datetime.fromisoformat(end.replace("Z", "+00:00"))
        # Beta and Preview have other names.
        if found and subject == issuer and until > datetime.now(timezone.utc):
            title = f"# {found[0].split('=', 1)[1].strip()}, until {until:%Y-%m-%d}"
            yield found["region"], found["key"], title, pem.strip() + "\n"


def main():
    if sys.argv[1:] == ["--addresses"]:
        print("\n".join(ADDRESSES))
        return
    bundles = [Path(name) for name in sys.argv[1:]]
    found = {}
    for bundle in bundles or [ROOTS]:
        before = len(found)
        for region, key, title, pem in roots(bundle.read_text()):
            found[pem] = (region, key, title)
        if len(found) == before and bundles:
            sys.exit(f"rds-roots: {bundle} has no root of a region: is it AWS's bundle?")
    if bundles:
        # A root that is built in does not disappear because a bundle is incomplete.
        for region, key, title, pem in roots(ROOTS.read_text()):
            found.setdefault(pem, (region, key, title))
        in_order = sorted(found.items(), key=lambda item: item[1])
        ROOTS.write_text("".join(f"{title}\n{pem}" for pem, (_, _, title) in in_order))
    built_in = {region for region, _, _ in found.values()}
    session = botocore.session.get_session()
    known = sorted({
        region
        for partition in PARTITIONS
        for region in session.get_available_regions("rds", partition)
        if "." not in region and "fips" not in region
    } | built_in)
    REGIONS.write_text(
        "# AWS's regions with RDS, and whether a root of theirs is built in. Written by scripts/rds-roots.\n"
        + "".join(f"{region} {'built-in' if region in built_in else 'missing'}\n" for region in known)
    )
    missing = [region for region in known if region not in built_in]
    print(f"rds-roots: {len(found)} roots of {len(built_in)} regions; without a root: {', '.join(missing) or 'none'}")


main()
