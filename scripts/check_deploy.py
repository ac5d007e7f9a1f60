"""Checks deploy/ecs against the API description of AWS, and deploy/terraform against itself and deploy/ecs.

`terraform validate` needs a plug-in that no package registry has. This script checks that the files parse, that
every name in them is declared and used, and that they agree with the JSON.
"""

import json
import re
import sys
from pathlib import Path

import botocore.loaders
import botocore.model
import botocore.validate
import hcl2
from moto.iam.policy_validation import IAMPolicyDocumentValidator, IAMTrustPolicyDocumentValidator

ECS = Path("deploy/ecs")
MODULE = Path("deploy/terraform")
# The role in each further account.
MEMBER = MODULE / "member-account"
# Keys that depend on the account.
OF_THE_ACCOUNT = {"image", "valueFrom", "awslogs-group", "awslogs-region", "awslogs-stream-prefix"}

wrong = []


def expect(holds, what):
    if not holds:
        wrong.append(what)


def read(name):
    return json.loads((ECS / name).read_text())


def strip(value):
    """python-hcl2 leaves strings in their quotes."""
    return value[1:-1] if isinstance(value, str) and value[:1] == '"' else value


# The JSON, against the shapes in the API description of AWS ---------------------------------------

api = botocore.loaders.Loader().load_service_model("ecs", "service-2")
service = botocore.model.ServiceModel(api)
for name, operation in (("task-definition.json", "RegisterTaskDefinition"), ("service.json", "CreateService")):
    shape = service.operation_model(operation).input_shape
    report = botocore.validate.ParamValidator().validate(read(name), shape)
    expect(not report.has_errors(), f"{name}: {report.generate_report()}")

for name in ("task-role-policy.json", "execution-role-policy.json"):
    IAMPolicyDocumentValidator((ECS / name).read_text()).validate()
IAMTrustPolicyDocumentValidator((ECS / "trust-policy.json").read_text()).validate()

# The modules, against themselves --------------------------------------------------------------------


def parsed(module):
    """The blocks of a module, and its text without comments."""
    files = sorted(module.glob("*.tf"))
    text = "\n".join(file.read_text() for file in files)
    lines = (line.split("# ")[0] for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [hcl2.loads(file.read_text()) for file in files], "\n".join(lines)


def declared(blocks, kind, depth):
    """The names of all blocks of a kind: `depth` labels each."""
    names = set()
    for block in blocks:
        for entry in block.get(kind, []):
            for first, inner in entry.items():
                if first.startswith("__"):
                    continue
                if depth == 1:
                    names.add(strip(first))
                else:
                    names |= {(strip(first), strip(second)) for second in inner if not second.startswith("__")}
    return names


for module in (MODULE, MEMBER):
    blocks, code = parsed(module)
    variables = declared(blocks, "variable", 1)
    used = set(re.findall(r"\bvar\.(\w+)", code))
    expect(used == variables, f"{module}: variables that are used, or declared, only: {used ^ variables}")
    for kind, pattern in (
        ("data", r"\bdata\.(aws_\w+)\.(\w+)"),
        ("resource", r"(?<!data\.)(?<!\w)(aws_\w+)\.(\w+)"),
    ):
        referred = set(re.findall(pattern, code))
        known = declared(blocks, kind, 2)
        expect(referred, f"{module}: no {kind} is referred to: the pattern is wrong")
        expect(referred <= known, f"{module}: {kind} that is not declared: {referred - known}")
    local_names = {strip(name) for block in blocks for entry in block.get("locals", []) for name in entry if not name.startswith("__")}
    used_locals = set(re.findall(r"\blocal\.(\w+)", code))
    expect(used_locals == local_names, f"{module}: locals that are used, or declared, only: {used_locals ^ local_names}")

blocks, code = parsed(MEMBER)
expect('"arn:' not in code, f"{MEMBER}: an ARN of one partition")
blocks, code = parsed(MODULE)

# The module, in every partition ---------------------------------------------------------------------

# AWS's own list of partitions, with a region of each that has Secrets Manager.
loader = botocore.loaders.Loader()
for partition in loader.load_data("partitions")["partitions"]:
    name, suffix = partition["id"], partition["outputs"]["dnsSuffix"]
    region = partition["outputs"]["implicitGlobalRegion"]
    here = code
    for reference, value in (
        ("data.aws_partition.current.partition", name),
        ("data.aws_partition.current.dns_suffix", suffix),
        ("data.aws_region.current.id", region),
    ):
        here = here.replace("${" + reference + "}", value)
    foreign = [arn for arn in re.findall(r'"(arn:[^:"]*):', here) if arn != f"arn:{name}"]
    expect(not foreign, f"{name}: ARNs of another partition: {foreign}")
    # A service is a principal by the same name in all partitions; its endpoint is not.
    hosts = re.findall(rf'"([a-z0-9.-]+\.{region}\.[a-z0-9.-]+)"', here)
    expect(hosts, f"{name}: no host of a region is in the module: the pattern is wrong")
    wrong_hosts = [host for host in hosts if not host.endswith(f".{region}.{suffix}")]
    expect(not wrong_hosts, f"{name}: hosts of another partition: {wrong_hosts}")

# The module, against the JSON ----------------------------------------------------------------------


def statements(document):
    """Each statement's actions by its sid, in a policy document of the module."""
    for block in blocks:
        for entry in block.get("data", []):
            for kind, inner in entry.items():
                for name, body in inner.items() if strip(kind) == "aws_iam_policy_document" else ():
                    if strip(name) != document:
                        continue
                    plain = body.get("statement", [])
                    dynamic = [d["content"][0] for entry in body.get("dynamic", []) for d in entry.values() if isinstance(d, dict)]
                    for statement in plain + dynamic:
                        yield strip(statement["sid"]), sorted(map(strip, statement["actions"]))


for document, name in (("task", "task-role-policy.json"), ("execution", "execution-role-policy.json")):
    here = dict(statements(document))
    there = {s["Sid"]: sorted(s["Action"]) for s in read(name)["Statement"]}
    expect(here == there, f"{name}: the module's policy differs: {here} and {there}")


def leaves(value, key=None):
    if isinstance(value, dict):
        for inner, each in value.items():
            if inner not in OF_THE_ACCOUNT:
                yield from leaves(each, inner)
    elif isinstance(value, list):
        if all(isinstance(each, str) for each in value):
            yield key, value
        else:
            for each in value:
                yield from leaves(each, key)
    else:
        yield key, value


task = (MODULE / "service.tf").read_text()
for container in read("task-definition.json")["containerDefinitions"]:
    for key, value in leaves(container):
        written = rf"\b{key}\s*=\s*{re.escape(json.dumps(value))}"
        expect(re.search(written, task), f"service.tf: the task has no {key} = {json.dumps(value)}")

for each in wrong:
    print(f"check-deploy: {each}", file=sys.stderr)
sys.exit(1 if wrong else 0)
