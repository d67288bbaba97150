"""Group commit: many callers, few writes, one order per partition. Both backbones write through it.

It holds what waits, cuts it into bundles, hands them to `write` and gives each caller the offsets back. It is not a
log, knows no storage and never writes twice: a failed write is told to its callers, who decide.

Order: a partition is part of at most one write at a time, and what waits for it is taken in the order of the calls.
When a write is not confirmed, everything that waited *behind* it for the same partition fails as well. So a caller
that tries again never lands behind a record that was appended after its own.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway import errors
from gateway.model import Position, Record

RECORD_OVERHEAD_BYTES = 32
HEADER_OVERHEAD_BYTES = 8


def record_bytes(record: Record) -> int:
    """Return what a record counts for, in bytes: its key, value and headers, and a little for the frame."""
    size = RECORD_OVERHEAD_BYTES + len(record.key) + len(record.value)
    for name, value in record.headers:
        size += HEADER_OVERHEAD_BYTES + len(name) + len(value)
    return size


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, and how long. Sizes are those of `record_bytes`."""

    writers_max: int
    """Writes in flight at once."""
    partitions_max: int
    """Partitions in one write."""
    write_bytes_max: int = 4 << 20
    """Bytes in one write; a single larger record goes alone."""
    partition_bytes_max: int = 4 << 20
    """Bytes of one partition in one write; a single larger record goes alone."""
    waiting_bytes_max: int = 64 << 20
    """Bytes accepted and not yet confirmed. Beyond it `append` refuses with `errors.Unavailable`."""
    record_bytes_max: int = 12 << 20
    """One record; more is `errors.TooLarge`. A feed's largest message (10 MiB) and its headers fit."""
    append_seconds_max: float = 10.0
    """After this an append that is not confirmed fails with `errors.Unavailable`."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Records for one partition, in order: a part of one write."""

    topic: str
    partition: int
    records: list[Record]


Write = Callable[[Sequence[Bundle]], Awaitable[list[list[int]]]]
"""Write bundles durably and return the offset of every record. Raises `errors.Unavailable` when not confirmed."""


@dataclass(eq=False, slots=True)
class _Call:
    done: asyncio.Future[list[Position]]
    positions: list[Position | None]
    missing: int

    def settle(self, index: int, position: Position) -> None:
        self.positions[index] = position
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result([position for position in self.positions if position is not None])

    def fail(self, failure: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(copy.copy(failure))  # one each: a shared one would grow every raiser's traceback


@dataclass(eq=False, slots=True)
class _Part:
    call: _Call
    index: int
    record: Record
    size: int


@dataclass(eq=False, slots=True)
class _Lane:
    """What waits for one partition."""

    topic: str
    partition: int
    waiting: deque[_Part]
    busy: bool = False


class Gatherer:
    """Takes appends from any number of callers on one event loop and turns them into few writes."""

    def __init__(self, write: Write, limits: Limits) -> None:
        self._write = write
        self._limits = limits
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._ready: dict[_Lane, None] = {}  # an ordered set: the lane that became ready first is taken first
        self._writing: set[asyncio.Task[None]] = set()
        self._calls: set[_Call] = set()
        self._held_bytes = 0
        self._open = True

    async def append(self, records: Sequence[Record], partitions: Sequence[int]) -> list[Position]:
        """Append `records`, each to its partition; return their positions in the order given.

        Raises `errors.TooLarge` before anything is taken, `errors.Unavailable` when durability was not confirmed.
        """
        if not records:
            return []
        sizes = [record_bytes(record) for record in records]
        self._admit(records, sizes)
        call = _Call(asyncio.get_running_loop().create_future(), [None] * len(records), len(records))
        self._calls.add(call)
        call.done.add_done_callback(lambda _: self._calls.discard(call))
        lanes: list[_Lane] = []
        for index, (record, partition, size) in enumerate(zip(records, partitions, sizes, strict=True)):
            lane = self._lane(record.topic, partition)
            lane.waiting.append(_Part(call, index, record, size))
            lanes.append(lane)
            if not lane.busy:
                self._ready[lane] = None
        self._pump()
        try:
            async with asyncio.timeout(self._limits.append_seconds_max):
                return await call.done
        except TimeoutError:
            behind = errors.Unavailable("an earlier record of this partition was not confirmed")
            for lane, written in zip(lanes, call.positions, strict=True):
                if written is None:
                    self._fail_waiting(lane, behind)
            raise errors.Unavailable(
                f"the backbone did not confirm within {self._limits.append_seconds_max:g} s"
            ) from None

    async def stop(self, seconds_max: float) -> None:
        """Take nothing more, finish what was taken; what is not confirmed within `seconds_max` fails."""
        self._open = False
        if self._calls:  # a write that nobody waits for any more is not waited for here either
            await asyncio.wait([call.done for call in self._calls], timeout=seconds_max)
        for lane in self._lanes.values():
            self._fail_waiting(lane, errors.Unavailable("the backbone was stopped before this was written"))
        unconfirmed = list(self._writing)
        for task in unconfirmed:
            task.cancel()
        await asyncio.gather(*unconfirmed, return_exceptions=True)

    def _admit(self, records: Sequence[Record], sizes: Sequence[int]) -> None:
        if not self._open:
            raise errors.Unavailable("the backbone is stopped")
        largest = max(sizes)
        if largest > self._limits.record_bytes_max:
            topic = records[sizes.index(largest)].topic
            raise errors.TooLarge(
                f"a record of {largest} bytes for {topic} is over the limit of {self._limits.record_bytes_max} bytes"
            )
        total = sum(sizes)
        if self._held_bytes and self._held_bytes + total > self._limits.waiting_bytes_max:
            raise errors.Unavailable(f"{self._held_bytes} bytes already wait for the backbone")
        self._held_bytes += total

    def _lane(self, topic: str, partition: int) -> _Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(topic, partition, deque())
        return lane

    def _pump(self) -> None:
        while self._ready and len(self._writing) < self._limits.writers_max:
            taken = self._take()
            if taken:
                task = asyncio.create_task(self._run(taken), name="backbone-write")
                self._writing.add(task)
                task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        self._pump()

    def _take(self) -> dict[_Lane, list[_Part]]:
        """Take the next write: the lanes that are ready, oldest first, as far as the limits allow."""
        taken: dict[_Lane, list[_Part]] = {}
        room = self._limits.write_bytes_max
        while self._ready and len(taken) < self._limits.partitions_max and room > 0:
            lane = next(iter(self._ready))
            parts, size = self._take_lane(lane, min(room, self._limits.partition_bytes_max), first=not taken)
            if parts:
                taken[lane] = parts
                lane.busy = True
                room -= size
            elif lane.waiting:
                break  # its next record does not fit beside the others: it opens the next write
            del self._ready[lane]
        return taken

    def _take_lane(self, lane: _Lane, room: int, *, first: bool) -> tuple[list[_Part], int]:
        parts: list[_Part] = []
        size = 0
        while lane.waiting:
            part = lane.waiting[0]
            if part.call.done.done():  # its caller has gone, and nothing of it was written here
                self._held_bytes -= lane.waiting.popleft().size
                continue
            if size + part.size > room and (parts or not first):
                break
            parts.append(lane.waiting.popleft())
            size += part.size
        return parts, size

    async def _run(self, taken: dict[_Lane, list[_Part]]) -> None:
        bundles = [Bundle(lane.topic, lane.partition, [part.record for part in parts]) for lane, parts in taken.items()]
        try:
            offsets = await self._write(bundles)
        except asyncio.CancelledError:
            self._fail(taken, errors.Unavailable("the backbone was stopped before this was confirmed"))
            raise
        except Exception as failure:  # noqa: BLE001 - every failure belongs to the callers, a bug as well
            self._fail(taken, failure)
        else:
            for (lane, parts), written in zip(taken.items(), offsets, strict=True):
                for part, offset in zip(parts, written, strict=True):
                    part.call.settle(part.index, Position(lane.topic, lane.partition, offset))
        finally:
            for lane, parts in taken.items():
                self._held_bytes -= sum(part.size for part in parts)
                lane.busy = False
                if lane.waiting:
                    self._ready[lane] = None

    def _fail(self, taken: dict[_Lane, list[_Part]], failure: Exception) -> None:
        for lane, parts in taken.items():
            for part in parts:
                part.call.fail(failure)
            if not isinstance(failure, errors.Refused):  # a refusal is final: nobody tries that record again
                self._fail_waiting(lane, failure)

    def _fail_waiting(self, lane: _Lane, failure: Exception) -> None:
        for part in lane.waiting:
            self._held_bytes -= part.size
            part.call.fail(failure)
        lane.waiting.clear()
        self._ready.pop(lane, None)
