"""What the tests of the home feed share: the feed, a frozen reception, and the way from bytes to a translation."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

from adapters.home_readings import translate as home
from gateway.fhir.ids import Ids
from gateway.formats import json
from gateway.model import Feed, Lane, RawMessage, Resource, Trace, Translation
from gateway.terminology.context import Context
from gateway.terminology.tables import load
from gateway.translate import feeds

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "adapters" / "home_readings"
SAMPLES = FOLDER / "samples"
RECEIVED = dt.datetime(2026, 11, 22, 11, 0, tzinfo=dt.UTC)
IDS = Ids(b"a secret of the tests alone")


def feed(**changed: Any) -> Feed:
    """The feed file as it stands, with changes."""
    return dataclasses.replace(feeds.parse((FOLDER / "feed.toml").read_text("utf-8"), where="feed.toml"), **changed)


def context(**changed: Any) -> Context:
    return Context(feed(**changed), IDS, load(PROJECT / "mappings"))


def raw(body: bytes, received_at: dt.datetime = RECEIVED) -> RawMessage:
    return RawMessage("home", "receipt", body, "application/json", Lane("0" * 32), received_at)


def translated(
    document: Any, *, received_at: dt.datetime = RECEIVED, trace: Trace | None = None, **changed: Any
) -> Translation:
    body = document if isinstance(document, bytes) else json.dumps(document)
    return home.translate(raw(body, received_at), context(**changed), trace)


def observations(translation: Translation) -> list[Resource]:
    return [change.resource for change in translation.changes if change.resource["resourceType"] == "Observation"]


def only(translation: Translation) -> Resource:
    assert not translation.reasons, translation.reasons
    found = observations(translation)
    assert len(found) == 1
    return found[0]


def refused(translation: Translation) -> list[tuple[str, str]]:
    return [(reason.code.value, reason.at) for reason in translation.reasons]


def reading(kind: str = "weight", value: Any = 80, unit: Any = "kg", **more: Any) -> dict[str, Any]:
    """One reading of a synthetic citizen."""
    return {
        "timestamp": "2026-11-20T08:00:00+01:00",
        "type": kind,
        "measurement": {"unit": unit, "value": value},
        "patient": {"cpr": "2512489996"},
        **more,
    }
