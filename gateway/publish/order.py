"""The book of the order of application → its topic on the backbone. In the order of its numbers, none skipped; at least once.

Nobody waits for these records: they are sent about once a second, so that a transaction costs a row and no trip. A crash in
between loses nothing, the rows stand in the store until they are known to be on the log. It is not the outbox: that says
what became of resources, this says in which order raw records were applied (`store.order`).
"""

from __future__ import annotations

import asyncio
import contextlib

from gateway.backbone.port import Backbone, TopicSpec
from gateway.errors import Fenced, Unavailable
from gateway.model import Record
from gateway.observe import events
from gateway.store.holding import Holding
from gateway.store.order import OPENINGS, Entry, retention_hours, topic_of
from gateway.store.port import Store

GROUP = "publish-order"
PAUSE_SECONDS = 1.0
ROWS_MAX = 1000

_KEY = (OPENINGS, 0)


def record_of(row: Entry) -> Record:
    """Return the backbone record of one row."""
    name = f"{row.book}/{row.number}" if row.number else row.book
    return Record(
        topic=topic_of(row.book) if row.number else OPENINGS,
        key=b"",
        value=row.entry,
        headers=(
            ("ce_specversion", b"1.0"),
            ("ce_id", name.encode()),
            ("ce_source", b"/order"),
            ("ce_type", b"dk.sundbro.order.entry.v1" if row.number else b"dk.sundbro.order.opening.v1"),
            ("content-type", b"application/json"),
        ),
    )


class OrderPublisher:
    """One worker; of several, one at a time holds the lease."""

    def __init__(
        self, *, owner: str, backbone: Backbone, store: Store, tell: events.Tell, raw_retention_hours: int
    ) -> None:
        self._holding = Holding(store, GROUP, owner, [_KEY])
        self._backbone = backbone
        self._store = store
        self._tell = tell
        self._retention_hours = retention_hours(raw_retention_hours)
        self._topics: set[str] = {OPENINGS}

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set, and what was committed before."""
        try:
            while True:
                last = stop.is_set()
                try:
                    await self._holding.renew()
                    while await self._publish_once():
                        await self._holding.renew()
                except Fenced:
                    self._holding.forget()
                except Unavailable as error:
                    self._tell(events.PartUnavailable("publish", type(error).__name__, PAUSE_SECONDS))
                    self._holding.forget()
                if last:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), PAUSE_SECONDS)
        finally:
            await self._holding.release()

    async def _publish_once(self) -> bool:
        """Publish what stands in the store now; return whether there may be more."""
        if _KEY not in self._holding.leases:
            return False
        rows = await self._store.order.entries(limit=ROWS_MAX)
        if not rows:
            return False
        records = [record_of(row) for row in rows]
        missing = {record.topic for record in records} - self._topics
        if missing:
            await self._backbone.ensure([TopicSpec(name, 1, self._retention_hours) for name in sorted(missing)])
            self._topics |= missing
        if rows[0].number == 0:  # who reads the entries knows the book by its opening
            await self._backbone.append(records[:1])
            records = records[1:]
        if records:
            await self._backbone.append(records)
        await self._store.order.published(rows[-1].number, epoch=self._holding.epoch(_KEY))
        return len(rows) == ROWS_MAX
