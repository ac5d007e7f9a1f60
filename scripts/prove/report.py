"""The report: the steps of each engine, and one row for each row of docs/proven.md with an id."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "proven.md"
ROW = re.compile(r"^\| ((?:aws|documentdb|mysql|postgres|rds|redshift)-\d+) \| (.+?) \|")

ASSUMED = "as assumed"
OTHERWISE = "otherwise"
NOT_TRIED = "not tried"


class NotTried(Exception):
    """The reason why a row was not tried."""


class Refused(Exception):
    """The reason why nothing was started."""


def rows():
    """The statements of docs/proven.md by id, in its order."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        match = ROW.match(line)
        if match:
            if match[1] in found:
                raise Refused(f"{PAGE} has two rows {match[1]}")
            found[match[1]] = match[2]
    return found


class Redactor:
    """Replaces known passwords in all output."""

    def __init__(self):
        self.passwords = set()

    def add(self, password):
        if password:
            self.passwords.add(password)

    def __call__(self, text):
        # The longest first: one can be a part of another.
        for password in sorted(self.passwords, key=len, reverse=True):
            text = text.replace(password, "***")
        return text


def one_line(text, limit=300):
    """A text for a cell of a table."""
    text = " ".join(str(text).split()).replace("|", "\\|")
    return text if len(text) <= limit else text[: limit - 1] + "…"


class Report:
    """The outcome of each step and each row."""

    def __init__(self, redactor):
        self.redactor = redactor
        self.facts = []
        self.steps = []
        self.outcomes = {}

    def fact(self, name, value):
        self.facts.append((name, value))

    def step(self, engine, name, error=None):
        self.steps.append((engine, name, error))

    def row(self, id_, outcome, detail):
        self.outcomes[id_] = (outcome, detail)

    @property
    def has_failed(self):
        return any(error for _, _, error in self.steps)

    def markdown(self):
        lines = ["## Report of scripts/prove-on-aws", ""]
        lines += [f"- {name}: {one_line(value)}" for name, value in self.facts]
        lines += ["", "| engine | step | result |", "| --- | --- | --- |"]
        for engine, name, error in self.steps:
            result = f"failed: {one_line(error)}" if error else "succeeded"
            lines.append(f"| {engine} | {one_line(name)} | {result} |")
        lines += ["", "| id | statement | outcome |", "| --- | --- | --- |"]
        for id_, statement in rows().items():
            outcome, detail = self.outcomes.get(id_, (NOT_TRIED, "the run ended before"))
            joint = " because " if outcome == NOT_TRIED else ": "
            shown = f"{outcome}{joint}{one_line(detail)}" if detail else outcome
            lines.append(f"| {id_} | {one_line(statement)} | {shown} |")
        return self.redactor("\n".join(lines) + "\n")
