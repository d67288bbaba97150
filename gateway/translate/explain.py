"""Lineage on demand: which rule made each element of a resource, out of which field of which raw record.

Nothing is kept for this: the messages that made the resource are translated again with a `Trace`, which gives the same
answer because translation is pure. Elements that a later message set again are shown as that message made them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.backbone.port import Backbone
from gateway.errors import NotFound
from gateway.model import Position, RawMessage, Trace
from gateway.store.port import MessageRow, Store
from gateway.translate.registry import Station


@dataclass(frozen=True, slots=True)
class Line:
    """One element and where it came from. `raw` is the record's position on the backbone, `receipt` its message."""

    element: str
    rule: str
    official: str
    source: str
    receipt: str
    raw: Position


@dataclass(frozen=True, slots=True)
class Explanation:
    """The lineage of one resource. `lost` are messages whose raw record is no longer kept, or whose feed is gone."""

    resource: str
    lines: tuple[Line, ...]
    messages: tuple[MessageRow, ...]
    lost: tuple[str, ...]
    mapping_changed: bool
    """The present mapping is not the one that made it: `sundbro replay` shows what would differ."""


async def explain(resource: str, *, store: Store, backbone: Backbone, stations: Mapping[str, Station]) -> Explanation:
    """Explain `Type/id`. Raises NotFound when the store has no such resource, or no message made it."""
    resource_type, _, resource_id = resource.partition("/")
    messages = await store.made(resource_type, resource_id)
    if not messages:
        raise NotFound(f"no message made {resource}")
    lines: dict[str, Line] = {}
    lost: list[str] = []
    changed = False
    for row in messages:
        delivered = await backbone.read(row.source)
        station = stations.get(row.feed)
        if delivered is None or station is None:
            lost.append(row.receipt)
            continue
        changed |= station.mapping != row.mapping
        raw = RawMessage.from_record(delivered.record)
        trace = Trace()
        station.adapter.translate(raw, station.context, trace)
        for step in trace.of(resource):
            lines[step.element] = Line(step.element, step.rule, step.official, step.source, row.receipt, row.source)
        if resource_type == "Provenance":
            lines["Provenance"] = Line(
                "(all)", "one-per-message", "", "the message and its receipt", row.receipt, row.source
            )
    return Explanation(resource, tuple(lines.values()), tuple(messages), tuple(lost), changed)
