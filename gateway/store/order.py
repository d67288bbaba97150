"""The order of application: which raw records this store applied after which, across all topics and partitions.

A partition has an order of its own; between partitions it is chance who comes first, and where they meet in one resource
chance decides how its versions are numbered. So the store keeps a *book*: every translator's transaction that applied
something is one entry, numbered from 1 in the order of commit, without gaps. Books are published (`publish.order`), and an
empty store on the same log repeats one (`translate.repeat`) before it begins its own.

An entry is not a copy of anything: it names raw records by their positions. Without those it is worth nothing, and no
person's data is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.formats import json
from gateway.model import Position

OPENINGS = "order"
"""The topic that says which books there are: one record a book, kept for ever."""


KEPT_LONGER_HOURS = 24 * 14
"""Beyond raw records: Kafka forgets whole segments, a week of them by default, so that raw records outlive their time."""


def topic_of(book: str) -> str:
    """Return the topic of a book's entries: one partition."""
    return f"order.{book}"


def retention_hours(raw_retention_hours: int) -> int:
    """Return how long entries are kept: longer than any raw record they name; 0, for ever, where those are."""
    return raw_retention_hours + KEPT_LONGER_HOURS if raw_retention_hours else 0


@dataclass(frozen=True, slots=True)
class Run:
    """`count` records of one partition, from offset `first` on, that were applied right after one another."""

    topic: str
    partition: int
    first: int
    count: int


def runs_of(positions: Iterable[Position]) -> list[Run]:
    """Return positions, in the order of application, as runs."""
    runs: list[Run] = []
    for at in positions:
        last = runs[-1] if runs else None
        if last and (last.topic, last.partition, last.first + last.count) == (at.topic, at.partition, at.offset):
            runs[-1] = Run(last.topic, last.partition, last.first, last.count + 1)
        else:
            runs.append(Run(at.topic, at.partition, at.offset, 1))
    return runs


def packed(runs: Sequence[Run]) -> bytes:
    """Return an entry as it is kept: `{"from": [[topic, partition, offset], …], "runs": [index, count, index, count, …]}`.

    A run begins where the last one of its index ended: a transaction over several partitions is a few bytes a run.
    """
    starts: list[tuple[str, int, int]] = []
    open_at: dict[tuple[str, int], tuple[int, int]] = {}
    numbers: list[int] = []
    for run in runs:
        key = (run.topic, run.partition)
        index, following = open_at.get(key, (0, -1))
        if following != run.first:
            index = len(starts)
            starts.append((*key, run.first))
        open_at[key] = (index, run.first + run.count)
        numbers += (index, run.count)
    return json.dumps({"from": starts, "runs": numbers})


def unpacked(entry: bytes) -> list[Run]:
    """Return the runs of an entry. Raises ValueError or KeyError for bytes that `packed` did not write."""
    told: Any = json.loads(entry)
    places = [(str(topic), int(partition), int(first)) for topic, partition, first in told["from"]]
    runs = []
    for index, count in zip(told["runs"][::2], told["runs"][1::2], strict=True):
        topic, partition, first = places[index]
        runs.append(Run(topic, partition, first, count))
        places[index] = (topic, partition, first + count)
    return runs


@dataclass(frozen=True, slots=True)
class Opening:
    """A book was begun: by a store that had nothing before it, or had repeated another book below an offset of its topic."""

    book: str
    after: tuple[str, int] | None = None

    def packed(self) -> bytes:
        """Return the value of its record on OPENINGS."""
        return json.dumps({"book": self.book, "after": list(self.after) if self.after else None})

    @classmethod
    def unpacked(cls, value: bytes) -> Opening:
        """Read what `packed` wrote."""
        told: Mapping[str, Any] = json.loads(value)
        after = told["after"]
        return cls(told["book"], (str(after[0]), int(after[1])) if after else None)


@dataclass(frozen=True, slots=True)
class Book:
    """What a store keeps. `name` is '' while it is empty or repeats: it `follows` another book then, '' when undecided."""

    name: str
    follows: str
    last: int
    """The number of the last entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row to publish: number 0 is the opening of the book, whose value `entry` is then."""

    book: str
    number: int
    entry: bytes


class Order(Protocol):
    """The store's book. Its entries are written by `Store.apply`, in the transaction that they tell of."""

    async def book(self) -> Book:
        """Return what this store keeps."""
        ...

    async def follow(self, name: str) -> Book:
        """Note which book this store repeats before it begins one; the first name given stands."""
        ...

    async def begin(self, after: tuple[str, int] | None) -> Book:
        """Begin a book of this store's own, unless it has one: from now on transactions are entered."""
        ...

    async def lost(self, name: str) -> Book:
        """Say that book `name` reaches further than this store, which was restored from a backup: it is repeated now."""
        ...

    async def entries(self, *, limit: int) -> list[Entry]:
        """Return rows that are not known to be published: from the lowest, in order, without gaps."""
        ...

    async def published(self, upto: int, *, epoch: int) -> None:
        """Forget rows up to this number: they are on the backbone. Raises `errors.Fenced` when the epoch is old."""
        ...
