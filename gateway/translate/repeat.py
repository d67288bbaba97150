"""The repeater: fills an empty store from the log in the order in which another store applied it (`store.order`).

One worker holds all partitions and goes through the other book entry by entry; everybody else waits. When the book ends,
the store begins one of its own and the translators take over. So every version of every resource comes out as it was,
also where persons, feeds and partitions meet in one.

Only the order is another's: what a record becomes is decided by the present mapping, and whatever a book says, each raw
record is applied once and after those before it in its partition. Records that no entry names (older than the book) are
applied before the next one of their partition; entries whose records are not kept any more are passed over. Rejection
limits do not count here: what was applied is applied.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.backbone.port import TopicSpec
from gateway.errors import Unavailable
from gateway.model import Delivered, Position
from gateway.observe import events
from gateway.store.holding import Holding
from gateway.store.order import OPENINGS, Opening, topic_of, unpacked
from gateway.store.port import Advance
from gateway.translate.ahead import Ahead, Key
from gateway.translate.worker import GROUP, Translator, Work

ENTRIES_AHEAD = 500
STEPS_MAX = 2000
"""Looked at before the lease is thought of again: a restored store passes over many entries that it has applied."""
IDLE_SECONDS = 0.5

Step = tuple[Key, int, int | None]
"""Records of a partition in [from, below) to apply next; or, where there is no `below`, a book that has been followed up to
this offset of its topic."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A book as far as it counts: below offset `until` of its topic, or to its end."""

    book: str
    until: int | None = None

    @property
    def key(self) -> Key:
        """Return the one partition of its topic."""
        return topic_of(self.book), 0


def chapters(openings: Mapping[str, Opening], name: str) -> list[Chapter]:
    """Return what leads to the end of a book: those before it as far as they were repeated, then itself."""
    found = [Chapter(name)]
    while (opening := openings.get(found[0].book)) and opening.after:
        if opening.after[0] in {chapter.book for chapter in found}:
            raise RuntimeError(f"book {opening.after[0]} comes after itself")
        found.insert(0, Chapter(*opening.after))
    return found


class Repeater(Translator):
    """One worker of those that would translate. `run` returns when the store keeps a book of its own."""

    def __init__(self, *, retention_hours: int, **given: Any) -> None:
        """Take what a Translator takes, and how long entries of a book are kept."""
        super().__init__(**given)
        self._strict = True
        self._wanted: list[Key] = []
        self._retention_hours = retention_hours
        self._chapters: list[Chapter] = []
        self._ahead = Ahead(self._backbone)
        self._firsts: dict[Key, int] = {}
        self._marks: list[tuple[int, Key, int]] = []
        """(how many records of the batch, topic of a book, offset): so much of the book is done when they are applied."""
        self._done = asyncio.Event()
        self._end: tuple[str, int] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Repeat what there is to repeat, then begin a book; return at once where the store has one, and at `stop`."""
        while not stop.is_set():
            try:
                if self._end:
                    await self._begin()
                if await self._keeps():
                    return
            except Unavailable as error:
                self._tell(events.PartUnavailable("translate", type(error).__name__, IDLE_SECONDS))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), IDLE_SECONDS)
                continue
            self._done.clear()
            stopping = asyncio.create_task(_pass_on(stop, self._done))
            try:
                await super().run(self._done)
            finally:
                stopping.cancel()

    # --- which book ---

    async def _keeps(self) -> bool:
        """Return whether the store keeps a book of its own; where not, get ready to repeat one."""
        book = await self._store.order.book()
        if book.name and await self._last_entry(book.name) > (await self._store.order.book()).last:
            book = await self._store.order.lost(book.name)  # restored from a backup: it has been further than it knows
        openings = {} if book.name else await self._openings()
        if not book.name and not book.follows:
            if not openings:
                await self._begin()
                return True
            book = await self._store.order.follow(next(reversed(openings)))
        if book.name:
            return True
        self._chapters = chapters(openings, book.follows)
        await self._ensure(*(chapter.key[0] for chapter in self._chapters))
        self._wanted = [*(chapter.key for chapter in self._chapters), *self._raw]  # whoever has the first may have all
        self._holding = Holding(self._store, GROUP, self._owner, self._wanted, limit=len(self._wanted))
        bounds = await self._backbone.bounds(list(self._topics))
        self._firsts = {key: first for key, (first, _) in bounds.items()}
        self._tell(events.OrderRepeated(book.follows))
        return False

    async def _begin(self) -> None:
        book = await self._store.order.begin(self._end)
        self._tell(events.OrderBegun(book.name, self._end[0] if self._end else ""))

    async def _ensure(self, *topics: str) -> None:
        await self._backbone.ensure([TopicSpec(topic, 1, self._retention_hours) for topic in topics])

    async def _last_entry(self, book: str) -> int:
        """Return the number of the last entry that is on a book's topic."""
        topic = topic_of(book)
        await self._ensure(topic)
        (_, following) = (await self._backbone.bounds([topic]))[topic, 0]
        last = await self._backbone.read(Position(topic, 0, following - 1)) if following else None
        names = [value for name, value in last.record.headers if name == "ce_id"] if last else []
        return int(names[0].rpartition(b"/")[2]) if names else 0

    async def _openings(self) -> dict[str, Opening]:
        """Return all books in the order in which they were begun."""
        key = (OPENINGS, 0)
        first, following = (await self._backbone.bounds([OPENINGS]))[key]
        await self._ahead.fill({key: (first, following)})
        found: dict[str, Opening] = {}
        for one in self._ahead.stretch(key, first, following):
            opening = Opening.unpacked(one.record.value)
            found.setdefault(opening.book, opening)  # a crash of the publisher may have written it twice
        return found

    # --- following it ---

    async def _renew(self) -> None:
        lost = await self._holding.renew()
        if lost is None:
            return
        for key in lost:
            self._tell(events.WorkerFenced(*key))
        if (await self._store.order.book()).name:
            self._done.set()  # somebody else came to the end
        elif self._wanted[0] not in self._holding.leases:
            await self._holding.release()

    async def _fetch(self) -> list[Delivered]:
        self._marks = []
        if len(self._holding.leases) < len(self._wanted):
            await asyncio.sleep(IDLE_SECONDS)
            return []
        steps = await self._steps()
        wanted: dict[Key, tuple[int, int]] = {}
        for key, start, end in steps:
            if end is not None:
                wanted[key] = (wanted.get(key, (start, 0))[0], end)
        await self._ahead.fill(wanted)
        delivered: list[Delivered] = []
        for key, start, end in steps:
            if end is None:
                self._marks.append((len(delivered), key, start))
            else:
                delivered += self._ahead.stretch(key, start, end)
        if not steps:
            await self._finish()
        return delivered

    async def _steps(self) -> list[Step]:
        """Return what comes next, at most a batch of it: from the positions and the books alone, so that it does not matter
        where the one before ended.
        """
        stands = {key: max(offset, self._firsts.get(key, 0)) for key, offset in self._holding.next.items()}
        room = self._most()
        steps: list[Step] = []
        for chapter in self._chapters:
            while entries := await self._entries(chapter, stands[chapter.key]):
                for entry in entries:
                    for run in unpacked(entry.record.value):
                        key, end = (run.topic, run.partition), run.first + run.count
                        if key not in stands or end <= stands[key]:
                            continue  # of a feed that is no more; or said again, after a crash of its publisher
                        upto = min(end, stands[key] + room)
                        steps.append((key, stands[key], upto))
                        room -= upto - stands[key]
                        stands[key] = upto
                        if upto < end:
                            return steps
                    stands[chapter.key] = entry.position.offset + 1
                    steps.append((chapter.key, stands[chapter.key], None))
                    if not room or len(steps) >= STEPS_MAX:
                        return steps
        return steps

    async def _entries(self, chapter: Chapter, at: int) -> list[Delivered]:
        """Return some records of a book from an offset on; none at its end."""
        first, following = (await self._backbone.bounds([chapter.key[0]]))[chapter.key]
        end = following if chapter.until is None else min(following, chapter.until)
        while (at := max(at, first)) < end:
            upto = min(end, at + ENTRIES_AHEAD)
            await self._ahead.fill({chapter.key: (at, upto)})
            if found := self._ahead.stretch(chapter.key, at, upto):
                return found
            at = upto
        return []

    async def _translate(self, delivered: list[Delivered]) -> Work:
        work = await super()._translate(delivered)
        for count, key, offset in self._marks:
            if count <= len(work.prepared):
                lease = self._holding.leases[key]
                work.advances[key] = Advance(GROUP, *key, lease.next_offset, offset, lease.epoch)
                self._holding.next[key] = offset
        return work

    async def _finish(self) -> None:
        """Nothing comes next: that is the end, once everything is committed."""
        stored = await self._store.positions(GROUP)
        if all(stored.get(key, 0) >= self._holding.next[key] for key in self._raw):
            last = self._chapters[-1]
            self._end = (last.book, self._holding.next[last.key])
            self._done.set()

    async def _watch_limits(self, work: Work) -> None:
        pass


async def _pass_on(stop: asyncio.Event, done: asyncio.Event) -> None:
    await stop.wait()
    done.set()
