"""What the tests of the municipal feed share: the feed, a frozen reception, the way from bytes to a translation, the judge."""

from __future__ import annotations

import copy
import datetime as dt
import json as plain_json
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from adapters.municipal_medcom import translate as municipal
from gateway.fhir.ids import Ids
from gateway.formats import json
from gateway.model import Change, Feed, Lane, RawMessage, Resource, Trace, Translation
from gateway.terminology.context import Context
from gateway.terminology.tables import load
from tests.corpus import SHARED

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "adapters" / "municipal_medcom"
SAMPLES = FOLDER / "samples"
RECEIVED = dt.datetime(2026, 11, 22, 11, 0, tzinfo=dt.UTC)
IDS = Ids(b"a secret of the tests alone")
JUDGE = SHARED / "judge" / "fhir-validator" / "judge-fhir"


def feed(**changed: Any) -> Feed:
    settings = tomllib.loads((FOLDER / "feed.toml").read_text("utf-8"))
    for name in ("doors", "content_types"):
        settings[name] = tuple(settings[name])
    return Feed(**{**settings, **changed})


def context() -> Context:
    return Context(feed(), IDS, load(PROJECT / "mappings"))


def raw(body: bytes, received_at: dt.datetime = RECEIVED) -> RawMessage:
    return RawMessage("municipal", "receipt", body, "application/fhir+json", Lane("0" * 32), received_at)


def translated(message: Any, *, received_at: dt.datetime = RECEIVED, trace: Trace | None = None) -> Translation:
    body = message if isinstance(message, bytes) else json.dumps(message)
    return municipal.translate(raw(body, received_at), context(), trace)


def altered(message: Resource, change: Callable[[dict[str, Any]], object], kind: str = "Bundle") -> Resource:
    """A copy of a message in which `change` was done to its first resource of a kind."""
    made = copy.deepcopy(message)
    change(made if kind == "Bundle" else part(made, kind))
    return made


def part(message: Resource, kind: str) -> dict[str, Any]:
    return next(entry["resource"] for entry in message["entry"] if entry["resource"]["resourceType"] == kind)


def changes(translation: Translation, kind: str) -> list[Change]:
    return [change for change in translation.changes if change.resource["resourceType"] == kind]


def only(translation: Translation, kind: str) -> Resource:
    assert not translation.reasons, translation.reasons
    (found,) = changes(translation, kind)
    return found.resource


def refused(translation: Translation) -> list[tuple[str, str]]:
    assert translation.changes == []
    return [(reason.code.value, reason.at) for reason in translation.reasons]


def judged(files: Iterable[tuple[str, bytes]], folder: Path, *guides: str) -> list[str]:
    """What HAPI's validator finds wrong with NDJSON files, with the guides named. One start of it for all files."""
    if not JUDGE.exists() or shutil.which("java") is None:
        pytest.skip(f"NOT RUN: no independent FHIR validator on this machine ({JUDGE}, java)")
    count = 0
    for name, body in files:
        (folder / f"{name}.ndjson").write_bytes(body)
        count += len(body.splitlines())
    arguments = [word for guide in guides for word in ("--guide", guide)]
    run = subprocess.run(
        [str(JUDGE), *arguments, str(folder)], capture_output=True, text=True, timeout=280, check=False
    )
    assert f"{count} resources" in run.stderr, run.stderr
    found = [plain_json.loads(line) for line in run.stdout.splitlines()]
    return [f"{Path(one['where']).name} {one['at']}: {one['message']}" for one in found if one["severity"] != "warning"]
