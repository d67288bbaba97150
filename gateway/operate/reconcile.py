"""The sum that must add up, per feed: received = stored + rejected + duplicates + waiting.

`received` is what stands on `raw.<feed>` (what the doors acknowledged, and nothing else), the next three are rows of the
store, `waiting` is what lies past the reading positions. Three independent countings: a lost or doubled message shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.backbone.port import Backbone
from gateway.clock import Clock
from gateway.store.port import Store


@dataclass(frozen=True, slots=True)
class Sum:
    """One feed's count. `lag_seconds` is the age of the oldest message that waits, 0 when none does."""

    feed: str
    received: int
    stored: int
    rejected: int
    duplicate: int
    waiting: int
    lag_seconds: float = 0.0
    stopped: str = ""

    @property
    def difference(self) -> int:
        """Return received − (stored + rejected + duplicate + waiting): 0, or something was lost or doubled."""
        return self.received - (self.stored + self.rejected + self.duplicate + self.waiting)


async def reconcile(
    topics: Mapping[str, str], *, store: Store, backbone: Backbone, clock: Clock, group: str = "translate"
) -> list[Sum]:
    """Return a sum per feed. Consistent only while nothing moves: a moment's difference under load is not a loss."""
    # In this order: what the log had, how far readers were after that, what was counted after that. When no sender sends
    # and nothing waits, all three speak of the same messages, whatever was committed between the questions.
    bounds = await backbone.bounds(list(topics))
    positions = await store.positions(group)
    counts = {count.feed: count for count in await store.counts()}
    stopped = await store.stopped_feeds()
    now = clock.now().timestamp()
    sums = []
    for topic, feed in topics.items():
        received = waiting = 0
        behind: dict[tuple[str, int], int] = {}
        for (name, partition), (first, end) in bounds.items():
            if name == topic:
                position = positions.get((name, partition), 0)
                received += end
                waiting += max(0, end - position)
                if end > max(position, first):
                    behind[(name, partition)] = max(position, first)
        lag = 0.0
        for key, offset in behind.items():
            waits = await backbone.fetch({key: offset}, records_max=1, wait_seconds=0.0)
            if waits:
                lag = max(lag, now - waits[0].record.timestamp_ms / 1000)
        count = counts.get(feed)
        sums.append(
            Sum(
                feed,
                received,
                count.stored if count else 0,
                count.rejected if count else 0,
                count.duplicate if count else 0,
                waiting,
                max(0.0, lag),
                stopped.get(feed, ""),
            )
        )
    return sums
