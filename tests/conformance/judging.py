"""HAPI's validator beside ours on the same files: one table, agree, stricter, laxer."""

from __future__ import annotations

import json as plain
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway import errors
from gateway.conformance.issue import Issue, Severity
from gateway.formats import json
from tests.conformance.fixtures import shipped
from tests.corpus import SHARED

BYTES_MAX = 400_000


@dataclass(slots=True)
class Verdicts:
    """What both said about a set of files."""

    agree: int = 0
    bad: int = 0
    stricter: dict[str, list[Issue]] = field(default_factory=dict)
    laxer: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def row(self) -> str:
        return f"agree {self.agree} ({self.bad} of them wrong), stricter {len(self.stricter)}, laxer {len(self.laxer)}"

    def reasons(self) -> Counter[tuple[str, str]]:
        """Why they differ: ours by its key, theirs by its message id."""
        why: Counter[tuple[str, str]] = Counter()
        for issues in self.stricter.values():
            why.update({("stricter", issue.key) for issue in issues if issue.severity is Severity.ERROR})
        for messages in self.laxer.values():
            why.update({("laxer", str(message["id"])) for message in messages})
        return why


def read(path: Path) -> Any:
    """A resource, or None for what is none (a template, a list)."""
    try:
        found = json.loads(path.read_bytes())
    except errors.Incorrect:
        return None
    return found if isinstance(found, dict) and "resourceType" in found else None


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for path in sorted(folder.rglob("*.json")):
            if path.stat().st_size <= BYTES_MAX and read(path) is not None:
                yield path


def judge(paths: Sequence[Path], guide: str) -> dict[str, list[dict[str, str]]]:
    """HAPI's errors by file."""
    program = SHARED / "judge" / "fhir-validator" / "judge-fhir"
    if not program.is_file():
        pytest.skip(f"NOT RUN: the judge is not on this machine ({program})")
    asked = ["--guide", guide] if guide else []
    done = subprocess.run(
        [str(program), *asked, *map(str, paths)], capture_output=True, text=True, timeout=1500, check=False
    )
    assert f"{len(paths)} resources" in done.stderr, done.stderr[-500:]
    said: dict[str, list[dict[str, str]]] = {str(path): [] for path in paths}
    for line in done.stdout.splitlines():
        message = plain.loads(line)
        said[message["where"]].append(message)
    return said


def compare(paths: Sequence[Path], guide: str = "") -> Verdicts:
    """Ask both about each file."""
    theirs, verdicts = judge(paths, guide), Verdicts()
    for path in paths:
        ours = shipped().check(read(path))
        is_bad = any(issue.severity is Severity.ERROR for issue in ours)
        if is_bad == bool(theirs[str(path)]):
            verdicts.agree += 1
            verdicts.bad += is_bad
        elif is_bad:
            verdicts.stricter[str(path)] = ours
        else:
            verdicts.laxer[str(path)] = theirs[str(path)]
    return verdicts
