"""The command line: see scripts/prove-on-aws."""

import argparse
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import botocore.exceptions

from .context import Context
from .documentdb import Documentdb
from .mysql import Mysql
from .postgres import Postgres
from .redshift import Redshift
from .report import NOT_TRIED, NotTried, Redactor, Refused, Report, rows
from .services import Aws, Rds

ENGINES = {engine.name: engine for engine in (Postgres, Mysql, Documentdb, Redshift)}
REPOSITORY = Path(__file__).resolve().parents[2]


def parse():
    parser = argparse.ArgumentParser(
        prog="scripts/prove-on-aws",
        description="Tries on a real service what docs/proven.md assumes of it, in an EMPTY test database. "
        "It creates users and secrets of its own, removes them at the end, and prints a table for an issue.",
    )
    add = parser.add_argument
    add("--engine", choices=ENGINES, help="postgres, mysql (MariaDB too), documentdb or redshift")
    add("--master", metavar="SECRET", help="name or ARN of the secret of the master")
    add("--database", metavar="NAME", help="an empty database")
    add(
        "--host", metavar="HOST[:PORT]", help="where the master signs in, if its secret has no host"
    )
    add("--reader", metavar="HOST", help="a reader endpoint, for the rows about readers")
    add("--cluster", metavar="ID", help="redshift: the cluster")
    add("--workgroup", metavar="NAME", help="redshift: the workgroup of Redshift Serverless")
    add("--ca-file", metavar="FILE", help="more trusted roots (PEM)")
    add("--region", help="AWS's region; by default that of the environment")
    add(
        "--twinkey",
        metavar="PROGRAM",
        help="the program; by default target/release, target/debug, or of PATH",
    )
    add("--output", metavar="FILE", help="also write the report to a file")
    add("--yes", action="store_true", help="do not ask for a confirmation")
    add("--keep", action="store_true", help="keep users, objects and secrets, for a look at them")
    add(
        "--stand-in",
        action="store_true",
        help="run on stand-ins on this machine, without AWS; all engines without --engine",
    )
    add("--list", action="store_true", help="print the id and the statement of each row, and exit")
    arguments = parser.parse_args()
    arguments.endpoint_url = os.environ.get("AWS_ENDPOINT_URL")
    if not (arguments.list or arguments.stand_in):
        missing = [
            f"--{name}" for name in ("engine", "master", "database") if not getattr(arguments, name)
        ]
        if arguments.engine == "redshift" and not (arguments.cluster or arguments.workgroup):
            missing.append("--cluster or --workgroup")
        if missing:
            parser.error(f"required: {', '.join(missing)}")
    return arguments


def program(given):
    """The path of twinkey."""
    built = [str(REPOSITORY / "target" / profile / "twinkey") for profile in ("release", "debug")]
    for path in [given] if given else [*built, shutil.which("twinkey")]:
        if path and os.access(path, os.X_OK):
            return str(Path(path).resolve())
    raise Refused(
        "the program twinkey was not found: run `cargo build --release`, or add --twinkey PROGRAM"
    )


def check_rows():
    """Refuses unless each row of the page has a procedure, and each procedure a row."""
    kinds = {**ENGINES, "rds": Rds, "aws": Aws}
    procedures = {
        f"{name}-{method[4:]}"
        for name, kind in kinds.items()
        for method in dir(kind)
        if method.startswith("row_")
    }
    if procedures != set(rows()):
        raise Refused(
            f"docs/proven.md and this script differ in the rows {', '.join(sorted(procedures ^ set(rows())))}"
        )


class StandIns:
    """The stand-ins of the test kit, which end with this object."""

    def __init__(self):
        given = os.environ.get(
            "TWINKEY_STAND_INS", str(REPOSITORY / "target" / "debug" / "twinkey-stand-ins")
        )
        if not os.access(given, os.X_OK):
            raise Refused(f"{given} does not exist: run `cargo build --locked --workspace`")
        # Ctrl-C reaches this script only: the clean-up needs the stand-ins.
        self.process = subprocess.Popen(
            [given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        line = self.process.stdout.readline()
        if not line:
            raise Refused("the stand-ins did not start: run `make setup`")
        self.described = json.loads(line)

    def proofs(self, arguments):
        """The arguments of each proof."""
        os.environ.update(
            AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_EC2_METADATA_DISABLED="true"
        )
        os.environ.pop("AWS_SESSION_TOKEN", None)
        for proof in self.described["proofs"]:
            if arguments.engine in (None, proof["engine"]):
                one = copy.copy(arguments)
                one.endpoint_url, one.region = (
                    self.described["endpoint_url"],
                    self.described["region"],
                )
                vars(one).update(proof)
                yield one

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def confirm(context):
    """Asks before the first change."""
    arguments = context.arguments
    where = arguments.cluster or arguments.workgroup or context.host
    context.say(
        f"this creates users {context.user}…, objects in the database {arguments.database} on {where}, and secrets "
        f"twinkey-prove/{context.run}/…, and removes them at the end"
    )
    if arguments.yes or arguments.stand_in:
        return
    if not sys.stdin.isatty():
        raise Refused("there is no terminal for the confirmation: add --yes")
    print("Type yes to continue: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise Refused("not confirmed")


def try_row(engine, report, id_, procedure):
    """Tries one row. A failure of a procedure is a reason, and not the end."""
    try:
        outcome, detail = procedure()
    except NotTried as reason:
        outcome, detail = NOT_TRIED, str(reason)
    except Exception as error:  # pylint: disable=broad-except
        outcome, detail = NOT_TRIED, f"the procedure failed: {engine.describe(error)}"
    engine.context.say(f"{id_}: {outcome}")
    report.row(id_, outcome, detail)


def prove(arguments, report, redactor):
    """One engine, from the first question to the clean-up. Returns what is left behind."""
    context = Context(arguments, redactor)
    context.report = report
    engine = ENGINES[arguments.engine](context)
    try:
        engine.refuse_unless_empty()
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"the master cannot read the database: {engine.describe(error)}") from error
    confirm(context)
    report.fact(f"{engine.name}", engine.version())
    try:
        before = engine.master_versions()
        for name, step in engine.steps():
            error = None
            try:
                step()
            except Exception as failed:  # pylint: disable=broad-except
                error = engine.describe(failed)
            context.say(f"{engine.name}: {name}: {error or 'succeeded'}")
            report.step(engine.name, name, error)
            if error:
                break
        sets = {engine.name: engine}
        if engine.name != "redshift":
            sets["rds"] = Rds(engine, before)
        if not report.outcomes.get("aws-1"):
            sets["aws"] = Aws(context)
        for id_ in rows():
            kind, _, number = id_.partition("-")
            # A second engine of one run tries what the first one could not.
            tried = report.outcomes.get(id_, (NOT_TRIED,))[0] != NOT_TRIED
            if kind in sets and not tried:
                try_row(engine, report, id_, getattr(sets[kind], f"row_{number}"))
    finally:
        left = clean_up(context, engine)
    return left


def clean_up(context, engine):
    """Removes what the proof created. A second Ctrl-C has no effect."""
    if context.arguments.keep:
        context.say(
            f"kept: the users {context.user}…, their objects, and the secrets {', '.join(context.secrets)}"
        )
        return []
    ignore_signals()
    context.say("cleaning up")
    left = []
    for remove in (engine.clean_up, context.remove_secrets):
        try:
            left += remove()
        except Exception as error:  # pylint: disable=broad-except
            left.append(engine.describe(error))
    for text in left:
        context.say(f"left behind: {text}")
    listen_to_signals()
    return left


def interrupt(_number, _frame):
    """Ends the proof. The clean-up is not interrupted again."""
    ignore_signals()
    raise KeyboardInterrupt


def ignore_signals():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def listen_to_signals():
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)


def main():
    arguments = parse()
    redactor = Redactor()
    report = Report(redactor)
    stand_ins, left, status = None, [], 0
    listen_to_signals()
    try:
        check_rows()
        if arguments.list:
            print("\n".join(f"{id_}: {statement}" for id_, statement in rows().items()))
            return 0
        arguments.twinkey = program(arguments.twinkey)
        report.fact("date", f"{datetime.now(timezone.utc):%Y-%m-%d}")
        version = subprocess.run(
            [arguments.twinkey, "--version"], capture_output=True, text=True, check=True
        )
        report.fact("program", version.stdout.strip())
        report.fact("where", "stand-ins of the test kit" if arguments.stand_in else "AWS")
        if arguments.stand_in:
            stand_ins = StandIns()
        for one in stand_ins.proofs(arguments) if stand_ins else [arguments]:
            left += prove(one, report, redactor)
        engines = {name for name, _, _ in report.steps}
        for id_ in rows():
            if id_ not in report.outcomes:
                kind = id_.partition("-")[0]
                report.row(
                    id_,
                    NOT_TRIED,
                    (
                        f"only {', '.join(sorted(engines))} was chosen"
                        if kind not in engines
                        else "the run ended before"
                    ),
                )
    except KeyboardInterrupt:
        print("prove-on-aws: interrupted", file=sys.stderr)
        status = 130
    except (Refused, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        print(redactor(f"prove-on-aws: refused: {error}"), file=sys.stderr)
        status = 2
    finally:
        if stand_ins:
            stand_ins.close()
    if status != 2:
        text = report.markdown()
        print(text, end="")
        if arguments.output:
            Path(arguments.output).write_text(text, encoding="utf-8")
    return status or int(report.has_failed or bool(left))


sys.exit(main())
