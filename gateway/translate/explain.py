"""Lineage on demand: which rule made each element of a resource, out of which field of which raw record.

Nothing is kept for this: the messages that made the resource are translated again with a `Trace`, which gives the same
answer because translation is pure. Of several messages that say the same element, the one whose saying holds is shown
(gateway/fhir/merge.py): more than a mention, the latest event. Where one element has several sources, each has its line.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.backbone.port import Backbone
from gateway.errors import NotFound
from gateway.fhir.elements import elements
from gateway.model import Change, Mode, Position, RawMessage, Trace, TraceStep
from gateway.store.port import MessageRow, Store
from gateway.translate import provenance
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
    told = Told(resource_type)
    lost: list[str] = []
    changed = False
    for row in messages:
        delivered = await backbone.read(row.source)
        station = stations.get(row.feed)
        if delivered is None or station is None:
            lost.append(row.receipt)
            continue
        changed |= station.mapping != row.mapping
        if resource_type == "Provenance":
            steps = provenance.LINEAGE
            told.lines["Provenance"] = [Line(*step[:2], "", step[2], row.receipt, row.source) for step in steps]
            continue
        raw = RawMessage.from_record(delivered.record)
        trace = Trace()
        translated = station.adapter.translate(raw, station.context, trace)
        for change in translated.changes:
            if change.resource["id"] == resource_id and change.resource["resourceType"] == resource_type:
                told.hear(change, raw.received_at, _lines(trace.of(resource), row))
    return Explanation(resource, told.in_order(), tuple(messages), tuple(lost), changed)


def _lines(steps: Iterable[TraceStep], row: MessageRow) -> list[Line]:
    return [Line(step.element, step.rule, step.official, step.source, row.receipt, row.source) for step in steps]


_Stamp = tuple[int, dt.datetime, dt.datetime]


@dataclass(slots=True)
class Told:
    """What messages say of the top-level elements of one resource: the lines that hold, and the stamp of their saying."""

    resource_type: str
    lines: dict[str, list[Line]] = field(default_factory=dict)
    stamps: dict[str, _Stamp] = field(default_factory=dict)

    def hear(self, change: Change, received_at: dt.datetime, lines: Iterable[Line]) -> None:
        """Take in what one message says; what it set and took away again on its way is left out."""
        rank = 0 if change.mode is Mode.ENSURE else 1
        stamp = (rank, change.event_time or received_at, received_at)
        said: dict[str, list[Line]] = {}
        for line in lines:
            name = _top(line.element)
            if name in change.resource or f"_{name}" in change.resource:
                said.setdefault(name, []).append(line)
        gone = set(self.lines) - set(said) if change.mode is Mode.PUT else set(change.clear)
        for name in gone & set(self.lines):
            if self.stamps[name] < stamp:
                del self.lines[name]
        for name, new in said.items():
            own = (0, *stamp[1:]) if name in change.weak else stamp
            self._say(name, own, new, adds=change.mode is not Mode.PUT and self._is_union(name))

    def _say(self, name: str, stamp: _Stamp, new: list[Line], *, adds: bool) -> None:
        """Let new lines stand instead of those there, beside them where `adds`, or not at all when they count less."""
        known, held = self.stamps.get(name, stamp), self.lines.get(name, [])
        if adds:
            first, second = (new, held) if stamp >= known else (held, new)
            same = {(line.element, line.rule, line.source) for line in first}
            self.lines[name] = [
                *first,
                *(each for each in second if (each.element, each.rule, each.source) not in same),
            ]
        elif stamp >= known:
            self.lines[name] = new
        self.stamps[name] = max(stamp, known)

    def _is_union(self, name: str) -> bool:
        return name == "identifier" or (name == "location" and self.resource_type == "Encounter")

    def in_order(self) -> tuple[Line, ...]:
        """Return the lines in the order of the elements in R4."""
        order = {name: at for at, name in enumerate(elements(self.resource_type))}
        names = sorted(self.lines, key=lambda name: order.get(name, 0))
        return tuple(line for name in names for line in self.lines[name])


def _top(element: str) -> str:
    return element.partition(".")[0].partition("[")[0]
