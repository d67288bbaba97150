"""What the audit room asks of the store: records appended to hash chains, checkpoints, and what is to be told to whom.

The store keeps bytes; what they mean, and that they hang together, is for `gateway.audit`. One implementation: PostgreSQL.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway import errors


class Forked(errors.Unavailable):
    """A chain has a record of that number already: somebody else wrote it, or we did and did not hear of it."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One writer's chain; its first link is made of `name`."""

    number: int
    name: str


@dataclass(slots=True)
class LedgerRow:
    """One record as stored. Not frozen for speed; nobody changes one."""

    chain: int
    seq: int
    at: dt.datetime
    hash: bytes
    event: bytes
    personal: bytes | None
    erased: bytes | None = None


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A checkpoint as stored: `body` is its line of JSON."""

    chain: int
    number: int
    upto: int
    at: dt.datetime
    closed: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Unsent:
    """A checkpoint that a witness has not acknowledged."""

    chain: int
    number: int
    witness: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Behind:
    """How far behind the ledger is, in seconds and numbers."""

    unsealed_seconds: float
    unsent: int
    unsent_seconds: float


@dataclass(frozen=True, slots=True)
class Below:
    """Where a page of records begins: below this one, newest first."""

    at: dt.datetime
    chain: int
    seq: int


class LedgerStore(Protocol):
    """See the module's first lines. Every call raises `errors.Unavailable` when the database does not answer."""

    async def begin(self) -> Chain:
        """Begin a chain of one's own."""
        ...

    async def append(
        self, chain: int, rows: Sequence[LedgerRow], about: Sequence[tuple[int, dt.datetime, int]]
    ) -> None:
        """Add the next records of a chain, all or none, durable when this returns; `about` is (patient, at, seq).

        Raises Forked when one of the numbers is taken.
        """
        ...

    async def hashes(self, chain: int, after: int, limit: int) -> list[tuple[int, dt.datetime, bytes]]:
        """Return (seq, at, hash) of the records after one, in order."""
        ...

    async def checkpoint(self, row: CheckpointRow, witnesses: Sequence[str]) -> None:
        """Keep a checkpoint, to be sent to each of the witnesses. Raises Forked when its number is taken."""
        ...

    async def last_checkpoint(self, chain: int) -> CheckpointRow | None:
        """Return the last checkpoint of a chain."""
        ...

    async def orphans(self, before: dt.datetime) -> list[Chain]:
        """Return the chains whose oldest record without a checkpoint is from before a moment."""
        ...

    async def claim(self, limit: int, seconds: float) -> list[Unsent]:
        """Take checkpoints that are due to be sent; nobody else gets them for a while that doubles with each try."""
        ...

    async def acknowledged(self, unsent: Unsent) -> None:
        """Note that a witness has a checkpoint."""
        ...

    async def behind(self) -> Behind:
        """Return how far behind things are."""
        ...

    async def chains(self) -> list[Chain]:
        """Return all chains, oldest first."""
        ...

    async def rows(self, chain: int, after: int, limit: int) -> list[LedgerRow]:
        """Return records of a chain after one, in order."""
        ...

    async def checkpoints(self, chain: int) -> list[CheckpointRow]:
        """Return all checkpoints of a chain, in order."""
        ...

    async def one(self, chain: int, seq: int) -> LedgerRow | None:
        """Return one record."""
        ...

    async def newest(
        self,
        *,
        low: dt.datetime | None,
        high: dt.datetime | None,
        below: Below | None,
        limit: int,
        patients: Sequence[int] | None = None,
    ) -> list[LedgerRow]:
        """Return records at or after `low` and before `high`, newest first; with `patients`, those about one of them."""
        ...

    async def persons(self, owns: Sequence[int]) -> Mapping[int, str]:
        """Return the ids of Patients by `search.query.own` of their references; who is not there is left out."""
        ...

    async def prunable(self, before: dt.datetime) -> list[tuple[int, int]]:
        """Return (chain, upto): the last checkpoint of each chain that was made before a moment, with records before it."""
        ...

    async def prune(self, chain: int, upto: int) -> int:
        """Delete the records of a chain up to a checkpoint; return how many there were."""
        ...

    async def erase(self, records: Sequence[tuple[int, int]]) -> int:
        """Erase what is personal in records (chain, seq); return of how many."""
        ...
