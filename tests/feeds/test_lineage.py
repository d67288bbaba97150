"""Lineage: whatever an adapter sets, a trace says by which rule and out of which field. All samples of all adapters."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from gateway.app.files import messages
from gateway.fhir.ids import Ids
from gateway.model import Lane, RawMessage, Trace
from gateway.translate import feeds, registry

ROOT = Path(__file__).resolve().parents[2]
STATIONS = registry.stations(feeds.load(registry.ADAPTERS, None), Ids(b"sixteen bytes at least, for tests"))
RECEIVED = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
FEEDS = {station.feed.format: name for name, station in STATIONS.items()}
SAMPLES = [path for path in sorted(ROOT.glob("adapters/*/samples/*")) if not path.name.endswith(".expected.json")]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parents[1].name}/{path.name}")
def test_every_element_is_traced(path: Path) -> None:
    station = STATIONS[FEEDS[path.parents[1].name]]
    untraced: set[str] = set()
    for found in messages(path, station):
        if found.piece is None:
            continue
        raw = RawMessage(
            station.feed.name, "r", found.piece.body, found.content_type, Lane("l"), RECEIVED, found.piece.control_id
        )
        trace = Trace()
        traced = station.adapter.translate(raw, station.context, trace)
        for change in traced.changes:
            name = f"{change.resource['resourceType']}/{change.resource['id']}"
            steps = list(trace.of(name))
            told = {step.element.partition(".")[0].partition("[")[0] for step in steps}
            wanted = set(change.resource) - {"resourceType", "id", "meta", "text"}
            untraced |= {
                f"{change.resource['resourceType']}.{element}" for element in wanted if element.lstrip("_") not in told
            }
            assert all(step.rule and step.source for step in steps), name
        # Whether anybody listens makes no difference to what is said.
        assert [c.resource for c in station.adapter.translate(raw, station.context).changes] == [
            c.resource for c in traced.changes
        ]
    assert not untraced
