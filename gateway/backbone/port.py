"""What the house needs of a log. Two implementations keep this promise: `postgres` (embedded) and `kafka`.

A backbone is **not** a queue: nothing is taken out by reading, and who has read what is not its business; reading
positions live in the store, beside what was read (`store.port`). Who reads which partition is decided by leases in
the store as well, so that both implementations behave alike.

tests/contracts/test_backbone.py is the conformance suite; an implementation is done when it passes.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.model import Delivered, Position, Record


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as the house wants it. `retention_hours` 0 keeps for ever."""

    name: str
    partitions: int
    retention_hours: int = 0


class Backbone(Protocol):
    """A set of topics, each of several partitions, each an append-only sequence of records with offsets from 0."""

    async def start(self) -> None:
        """Connect. Raises `errors.Unavailable` when that cannot be done now."""
        ...

    async def stop(self) -> None:
        """Finish what was accepted, then disconnect. Safe to call twice."""
        ...

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create the topics that are missing.

        A topic that exists with another number of partitions is refused (`errors.Misconfigured`): changing it would
        break order.
        """
        ...

    async def append(self, records: Sequence[Record]) -> list[Position]:
        """Write records durably; return their positions in the order given.

        When it returns, every record survives the loss of this process and (Kafka: of one broker; embedded: of the
        database process). Concurrent callers share commits. Records with the same key and topic keep the order of
        the calls, and inside a call the order given. The partition is decided by the key alone (`partition_of`).
        Raises `errors.Unavailable` when durability was not confirmed: the records may then be in the log or not
        (after a killed broker even twice: readers know a record by its `ce_id`), and the caller decides whether to say
        so or to try again. Raises `errors.TooLarge` for a record over the limit.
        """
        ...

    async def fetch(
        self,
        wants: Mapping[tuple[str, int], int],
        *,
        records_max: int = 500,
        bytes_max: int = 8 << 20,
        wait_seconds: float = 1.0,
    ) -> list[Delivered]:
        """Read on from the offsets wanted, `{(topic, partition): next offset}`.

        Returns at most about `records_max` records or `bytes_max` bytes, each partition's in offset order without
        gaps that anybody wrote into, and returns at once when there is something; otherwise waits up to
        `wait_seconds` for an append to wake it, then returns an empty list. An offset below the first one kept (after
        `trim` or retention) reads from the first one kept.
        """
        ...

    async def read(self, position: Position) -> Delivered | None:
        """Return the one record at `position`, or None when it is not there (yet, or any more)."""
        ...

    async def bounds(self, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
        """Return (first offset kept, next offset to be written) of every partition of the topics."""
        ...

    async def trim(self, topic: str, before: Mapping[int, int]) -> None:
        """Forget records below the given offset of each partition."""
        ...

    async def expire(self, now: dt.datetime) -> int:
        """Forget what the topics' retention says is old; return how many records. Kafka does it by itself: 0."""
        ...

    async def ready(self) -> None:
        """Return when the backbone answers; raise `errors.Unavailable` when it does not."""
        ...


@functools.lru_cache(maxsize=1 << 14)  # a message's resources all have their patient's lane
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key: Kafka's default (murmur2, Java-compatible), so that other clients agree."""
    length = len(key)
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ length) & mask
    for i in range(0, length - length % 4, 4):
        k = int.from_bytes(key[i : i + 4], "little")
        k = (k * m) & mask
        k ^= k >> 24
        k = (k * m) & mask
        h = ((h * m) & mask) ^ k
    tail = length % 4
    if tail:
        for j in range(tail - 1, -1, -1):
            h ^= key[length - tail + j] << (8 * j)
        h = (h * m) & mask
    h ^= h >> 13
    h = (h * m) & mask
    h ^= h >> 15
    return (h & 0x7FFFFFFF) % partitions
