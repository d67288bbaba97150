"""What registering looks in MinLog needs of the store: an outbox that is filled from the ledger and emptied in batches."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.store.ledger import Block

Looks = Callable[[Block], Iterable[tuple[int, bytes]]]
"""What of a block is to be registered: (patient, what is the same about looks that are one entry)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One entry to be registered; `look` is what `Looks` gave."""

    id: int
    first: dt.datetime
    last: dt.datetime
    patient: int
    looks: int
    tries: int
    look: bytes


@dataclass(frozen=True, slots=True)
class Queue:
    """How much waits."""

    waiting: int
    oldest_seconds: float
    parked: int


class MinlogStore(Protocol):
    """See the module's first line. Every call raises `errors.Unavailable` when the database does not answer."""

    async def collect(self, looks: Looks, *, limit: int, hold_seconds: float) -> int:
        """Look through the next blocks of the ledger, each once; an entry is due after `hold_seconds`. Return how many."""
        ...

    async def claim(self, limit: int, *, requests_max: int, seconds: float) -> list[Waiting]:
        """Take entries that are due, for one request: none where so many requests were made in the last hour."""
        ...

    async def registered(self, ids: Sequence[int]) -> None:
        """Forget entries that are registered."""
        ...

    async def again(self, failed: Sequence[tuple[int, str, float]]) -> None:
        """Try entries again: (id, fault, seconds)."""
        ...

    async def park(self, failed: Sequence[tuple[int, str]]) -> None:
        """Let entries wait for a person: (id, fault)."""
        ...

    async def queue(self) -> Queue:
        """Return how much waits."""
        ...
