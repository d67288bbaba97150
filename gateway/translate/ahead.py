"""Records read before their turn: of each partition a stretch of the log, held until what comes before it elsewhere is done.

Only a buffer: it neither orders nor decides, and what it holds is read again after a restart.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.backbone.port import Backbone
from gateway.model import Delivered

Key = tuple[str, int]
RECORDS_MAX = 1000
BYTES_MAX = 2 << 20
"""Of one read: what is held of a partition beyond what was wanted."""
WAIT_SECONDS = 0.5


@dataclass(slots=True)
class _Stretch:
    """All that the log holds of one partition in [begin, end)."""

    begin: int
    end: int
    records: list[Delivered] = field(default_factory=list)


class Ahead:
    """See the module's first lines."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._held: dict[Key, _Stretch] = {}

    async def fill(self, wanted: Mapping[Key, tuple[int, int]]) -> None:
        """Read until everything in these offsets, `{partition: (from, below)}`, is here that the log (still) has.

        What lies below `from` is let go. Raises `errors.Unavailable`.
        """
        for key, (start, _) in wanted.items():
            held = self._held.get(key)
            if held is None or not held.begin <= start <= held.end:
                self._held[key] = _Stretch(start, start)
            elif held.begin < start:
                del held.records[: _place(held, start)]
                held.begin = start
        while missing := {key: self._held[key].end for key, (_, end) in wanted.items() if self._held[key].end < end}:
            found = await self._backbone.fetch(
                missing, records_max=RECORDS_MAX, bytes_max=BYTES_MAX, wait_seconds=WAIT_SECONDS
            )
            for one in found:
                held = self._held[one.position.topic, one.position.partition]
                held.records.append(one)
                held.end = one.position.offset + 1
            if not found:
                await self._admit(missing, wanted)

    async def _admit(self, missing: Mapping[Key, int], wanted: Mapping[Key, tuple[int, int]]) -> None:
        """Nothing came: what lies outside of the log (retention) will not come either."""
        bounds = await self._backbone.bounds(sorted({topic for topic, _ in missing}))
        for key in missing:
            held, (first, following) = self._held[key], bounds[key]
            held.end = max(held.end, min(first, wanted[key][1]))
            if held.end >= following:
                held.end = wanted[key][1]

    def stretch(self, key: Key, start: int, end: int) -> list[Delivered]:
        """Return what is here of one partition in [start, end); they stay here."""
        held = self._held[key]
        return held.records[_place(held, start) : _place(held, end)]


def _place(held: _Stretch, offset: int) -> int:
    return bisect.bisect_left(held.records, offset, key=lambda one: one.position.offset)
