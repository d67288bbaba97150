"""What the tests of the municipal feed share: the feed, a frozen reception, the way from bytes to a translation, a change to a message."""

from __future__ import annotations

import copy
import datetime as dt
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.municipal_medcom import translate as municipal
from gateway.fhir.ids import Ids
from gateway.formats import json
from gateway.model import Change, Feed, Lane, RawMessage, Resource, Trace, Translation
from gateway.terminology.context import Context
from gateway.terminology.tables import load

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "adapters" / "municipal_medcom"
SAMPLES = FOLDER / "samples"
RECEIVED = dt.datetime(2026, 11, 22, 11, 0, tzinfo=dt.UTC)
IDS = Ids(b"a secret of the tests alone")


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


def drop(*path: Any):
    def change(resource: Any) -> None:
        for step in path[:-1]:
            resource = resource[step]
        del resource[path[-1]]

    return change


def put(value: Any, *path: Any):
    def change(resource: Any) -> None:
        for step in path[:-1]:
            resource = resource[step]
        resource[path[-1]] = value

    return change
