"""Lineage: whatever an adapter sets, a trace says by which rule and out of which field. All samples of all adapters."""

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter
from pathlib import Path

import pytest

from gateway.app.files import messages
from gateway.fhir.ids import Ids
from gateway.model import Lane, RawMessage, Trace
from gateway.terminology.context import Context
from gateway.translate import feeds, registry
from tests.corpus import SHARED
from tests.feeds import hospital, test_hospital_corpus

ROOT = Path(__file__).resolve().parents[2]
STATIONS = registry.stations(feeds.load(registry.ADAPTERS, None), Ids(b"sixteen bytes at least, for tests"))
RECEIVED = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
FEEDS = {station.feed.format: name for name, station in STATIONS.items()}
SAMPLES = [path for path in sorted(ROOT.glob("adapters/*/samples/*")) if not path.name.endswith(".expected.json")]


OFFICIAL = SHARED / "terminology" / "v2-to-fhir"


def untraced(adapter: registry.Adapter, raw: RawMessage, context: Context, trace: Trace) -> set[str]:
    """Return the elements that no step tells of, `Type.element`; every step of `trace` must have a rule and a source."""
    translated = adapter.translate(raw, context, trace)
    missing: set[str] = set()
    told: dict[str, set[str]] = {}
    for step in trace.steps:
        assert step.rule, step
        assert step.source, step
        told.setdefault(step.resource, set()).add(step.element.partition(".")[0].partition("[")[0])
    for change in translated.changes:
        kind = change.resource["resourceType"]
        wanted = {element.lstrip("_") for element in change.resource.keys() - {"resourceType", "id", "meta", "text"}}
        missing |= {f"{kind}.{element}" for element in wanted - told.get(f"{kind}/{change.resource['id']}", set())}
    # Whether anybody listens makes no difference to what is said.
    assert [c.resource for c in adapter.translate(raw, context).changes] == [c.resource for c in translated.changes]
    return missing


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parents[1].name}/{path.name}")
def test_every_element_is_traced(path: Path) -> None:
    station = STATIONS[FEEDS[path.parents[1].name]]
    missing: set[str] = set()
    for found in messages(path, station):
        if found.piece is None:
            continue
        raw = RawMessage(
            station.feed.name, "r", found.piece.body, found.content_type, Lane("l"), RECEIVED, found.piece.control_id
        )
        missing |= untraced(station.adapter, raw, station.context, Trace())
    assert not missing


@pytest.mark.corpus
def test_every_element_of_every_hospital_message_is_traced_to_rows_that_exist() -> None:
    adapter = STATIONS[FEEDS["hospital_hl7v2"]].adapter
    read, missing, rows = 0, Counter[str](), set[str]()
    for source in test_hospital_corpus.SOURCES:
        for path in test_hospital_corpus.files(source):
            for body in test_hospital_corpus.messages(path):
                read += 1
                trace = Trace()
                raw = RawMessage("test", "r", body, "application/hl7-v2", Lane("l"), RECEIVED)
                missing.update(untraced(adapter, raw, hospital.CONTEXT, trace))
                rows |= {step.official for step in trace.steps if step.official}
    print(f"\n{read} messages, {len(rows)} official rows; untraced: {dict(missing)}")
    assert read > 600
    assert not missing
    assert [row for row in sorted(rows) if not exists(row)] == []


def exists(official: str) -> bool:
    """Tell whether HL7 v2-to-FHIR has a row: `segments/OBX--Observation.csv OBX-5`; of messages the last name counts."""
    name, _, row = official.partition(" ")
    with (OFFICIAL / name).open(encoding="utf-8", newline="") as file:
        return any(row == cell.rpartition(".")[2] or row == cell for line in csv.reader(file) for cell in line[:3])
