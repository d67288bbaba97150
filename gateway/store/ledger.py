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
class Block:
    """Records that were written together, as stored: what the lines hold is `gateway.audit`'s. Nobody changes one."""

    chain: int
    first: int
    upto: int
    at: dt.datetime
    patients: list[int]
    hashes: bytes
    events: bytes
    personal: bytes


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
class Place:
    """Where a block stands among those of all chains, newest first."""

    at: dt.datetime
    chain: int
    first: int


class LedgerStore(Protocol):
    """See the module's first lines. Every call raises `errors.Unavailable` when the database does not answer."""

    async def begin(self) -> Chain:
        """Begin a chain of one's own."""
        ...

    async def append(self, block: Block) -> None:
        """Add the next records of a chain, all or none, durable when this returns. Raises Forked when they are there."""
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

    async def blocks(self, chain: int, after: int, limit: int) -> list[Block]:
        """Return the blocks of a chain that end after a record, in order."""
        ...

    async def checkpoints(self, chain: int) -> list[CheckpointRow]:
        """Return all checkpoints of a chain, in order."""
        ...

    async def holding(self, chain: int, seq: int) -> Block | None:
        """Return the block that holds a record."""
        ...

    async def newest(
        self,
        *,
        low: dt.datetime | None,
        high: dt.datetime | None,
        upto: Place | None,
        limit: int,
        patients: Sequence[int] | None = None,
    ) -> list[Block]:
        """Return blocks of all chains, newest first, at or below `upto`, not before `low` and before `high`; with
        `patients`, those with records that concern one of them.
        """
        ...

    async def persons(self, owns: Sequence[int]) -> Mapping[int, str]:
        """Return the ids of Patients by `search.query.own` of their references; who is not there is left out."""
        ...

    async def prunable(self, before: dt.datetime) -> list[tuple[int, int]]:
        """Return (chain, upto): the last checkpoint of each chain that was made before a moment, with records before it."""
        ...

    async def prune(self, chain: int, upto: int) -> int:
        """Delete the records of a chain up to a checkpoint; return how many blocks there were."""
        ...

    async def erase(self, blocks: Sequence[Block]) -> None:
        """Write what is left of `personal` and `patients` of blocks, all or none."""
        ...
