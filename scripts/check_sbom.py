"""Checks an SBOM against CycloneDX's schema, and against the crates on standard input (`name vVERSION` a line)."""

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = Path(sys.argv[1]).read_text()
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
if error:
    sys.exit(f"sbom: {sys.argv[1]} is not valid: {error}")

bom = json.loads(text)
itself = bom["metadata"]["component"]
named = {(c["name"], c["version"]) for c in bom["components"]} | {(itself["name"], itself["version"])}
built_in = {tuple(line.strip().split(" v", 1)) for line in sys.stdin}
missing = built_in - named
if missing:
    sys.exit(f"sbom: {len(missing)} crates of the build are missing: {sorted(missing)[:5]}")
print(f"sbom: {sys.argv[1]}: {itself['name']} {itself['version']}, {len(bom['components'])} components")
