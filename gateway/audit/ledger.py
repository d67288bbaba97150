"""The writer of one chain: records that wait at the same moment share one insert and one commit.

A writer begins a chain of its own at its first record and ends it when it stops; no two processes write to one chain, so
nobody waits for another, and the database refuses two records of one number. When it is not known whether a commit got
through, the chain is looked at before anything is added to it. A chain that is not as this writer left it is ended there,
and another begun: `verify` tells what happened to it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.audit import chain as links
from gateway.audit.checkpoint import Checkpoint, Key, stamp
from gateway.audit.record import SALT_BYTES, Record, Who, encode
from gateway.clock import Clock
from gateway.errors import Unavailable
from gateway.store.ledger import Chain, CheckpointRow, Forked, LedgerRow, LedgerStore
from gateway.store.postgres.trips import Trips

CHECKPOINT_RECORDS: Final = 1000
CHECKPOINT_SECONDS: Final = 60.0
GROUP_MAX: Final = 256
WAIT_SECONDS_MAX: Final = 5.0
"""No commit is waited for any longer: then the answer is 503."""


@dataclass(slots=True)
class _Head:
    """Where a chain stands, as its writer knows it."""

    chain: Chain
    seq: int
    hash: bytes
    unsealed: list[bytes] = field(default_factory=list)
    """Hashes of the records that no checkpoint covers yet."""
    since: dt.datetime | None = None
    """Of the oldest of them."""
    number: int = 0
    before: str = ""
    """Of the last checkpoint."""


@dataclass(slots=True)
class _Written:
    """A record on its way."""

    at: dt.datetime
    event: bytes
    personal: bytes
    patients: tuple[int, ...]


class Ledger:
    """Writes records. `witnesses` are the names that checkpoints are to be sent to."""

    def __init__(self, store: LedgerStore, key: Key, clock: Clock, witnesses: Sequence[str] = ()) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._witnesses = tuple(witnesses)
        self._head: _Head | None = None
        self._uncertain: list[LedgerRow] = []
        self._sealing = asyncio.Lock()
        self._trips: Trips[_Written, None] = Trips(self._carry, drivers=1, most=GROUP_MAX)

    async def write(self, record: Record, of: Who | None = None) -> None:
        """Return when a record is durable. Raises Unavailable when it cannot be, or it is not known whether it is."""
        event, personal = encode(record, of)
        await self._trips.take(_Written(record.at, event, os.urandom(SALT_BYTES) + personal, record.patients))

    async def _carry(self, written: Sequence[_Written]) -> Sequence[None]:
        head = await self._ready()
        seq, before = head.seq, head.hash
        rows: list[LedgerRow] = []
        about: list[tuple[int, dt.datetime, int]] = []
        for one in written:
            seq += 1
            before = links.linked(before, seq, one.event, links.commitment(one.personal))
            rows.append(LedgerRow(head.chain.number, seq, one.at, before, one.event, one.personal))
            about += [(patient, one.at, seq) for patient in one.patients]
        self._uncertain = rows
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await self._store.append(head.chain.number, rows, about)
        except TimeoutError:
            raise Unavailable("the audit ledger does not answer") from None
        self._uncertain = []
        self._advance(head, rows)
        return [None] * len(written)

    def _advance(self, head: _Head, rows: Sequence[LedgerRow]) -> None:
        head.seq, head.hash = rows[-1].seq, rows[-1].hash
        head.unsealed += [row.hash for row in rows]
        head.since = head.since or self._clock.now()

    async def _ready(self) -> _Head:
        """Return the head of a chain that can be added to: after a commit of which we did not hear, look first."""
        head = self._head
        if head is None:
            chain = await self._store.begin()
            head = self._head = _Head(chain, 0, links.beginning(chain.name))
        if self._uncertain:
            there = await self._store.hashes(head.chain.number, head.seq, GROUP_MAX + 1)
            if there and [one[2] for one in there] == [row.hash for row in self._uncertain]:
                self._advance(head, self._uncertain)
            self._uncertain = []
            if there and there[-1][2] != head.hash:  # somebody else has written here
                self._head = None
                return await self._ready()
        return head

    async def seal(self, *, closing: bool = False) -> bool:
        """Sign a checkpoint where one is due: after its first records, every so many, every so long; and at the end.

        Returns whether one was made. Raises Unavailable.
        """
        async with self._sealing:
            head = self._head
            if head is None or not (closing or (head.unsealed and self._due(head))):
                return False
            hashes, seq, last = list(head.unsealed), head.seq, head.hash
            since, head.since = head.since, None
            now = self._clock.now()
            made = Checkpoint(
                head.chain.number,
                head.chain.name,
                head.number + 1,
                seq - len(hashes) + 1,
                seq,
                last.hex(),
                links.root(hashes).hex(),
                head.before,
                stamp(now),
                closing,
            )
            row = CheckpointRow(made.chain, made.number, made.upto, now, closing, made.line(self._key))
            try:
                await self._store.checkpoint(row, self._witnesses)
            except Forked:  # ours of a moment ago, of which we did not hear, or somebody took us for dead
                await self._reseal(head)
                return False
            except BaseException:
                head.since = since
                raise
            del head.unsealed[: len(hashes)]
            head.number, head.before = made.number, made.digest
            return True

    async def _reseal(self, head: _Head) -> None:
        """Take the last checkpoint that is there for the one we stand behind, if it is ours; else end this chain."""
        row = await self._store.last_checkpoint(head.chain.number)
        try:
            there = Checkpoint.read(row.body, {self._key.name: self._key.public}) if row else None
        except Exception:  # noqa: BLE001 - whatever it is, it is not ours
            there = None
        first = head.seq - len(head.unsealed)
        if there is None or there.closed or not first <= there.upto <= head.seq:
            self._head = None
            return
        del head.unsealed[: there.upto - first]
        head.number, head.before, head.since = there.number, there.digest, self._clock.now() if head.unsealed else None

    def _due(self, head: _Head) -> bool:
        if not head.number or len(head.unsealed) >= CHECKPOINT_RECORDS:
            return True
        return head.since is not None and (self._clock.now() - head.since).total_seconds() >= CHECKPOINT_SECONDS

    async def stop(self) -> None:
        """Write what waits, and close the chain with a last checkpoint."""
        await self._trips.finish()
        await self.seal(closing=True)
        self._head = None
