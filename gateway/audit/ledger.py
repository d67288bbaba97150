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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.audit import chain as links
from gateway.audit.block import hashes as hashes_of
from gateway.audit.checkpoint import Checkpoint, Key, stamp
from gateway.audit.record import NOBODY, SALT_DIGITS, Who, concerned, encode
from gateway.clock import Clock
from gateway.errors import Unavailable
from gateway.store.ledger import Block, Chain, CheckpointRow, Forked, LedgerStore
from gateway.store.postgres.trips import Trips

CHECKPOINT_RECORDS: Final = 1000
CHECKPOINT_SECONDS: Final = 10.0
"""What no checkpoint covers can be cut off unseen: the witness hears of it within this and two ticks (`keeper`)."""
GROUP_MAX: Final = 256
GATHER_TURNS: Final = 8
"""A commit costs the processor as much as ten records: those that the loop is about to bring are taken along."""
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


_Written = tuple[bytes, bytes, tuple[int, ...]]
"""A record on its way: its two lines without the salt, and whom it concerns."""


class Ledger:
    """Writes records. `witnesses` are the names that checkpoints are to be sent to."""

    def __init__(self, store: LedgerStore, key: Key, clock: Clock, witnesses: Sequence[str] = ()) -> None:
        self.store = store
        self._key = key
        self._clock = clock
        self._witnesses = tuple(witnesses)
        self._head: _Head | None = None
        self._uncertain: Block | None = None
        self._sealing = asyncio.Lock()
        self._trips: Trips[_Written, None] = Trips(self._carry, drivers=1, most=GROUP_MAX, turns=GATHER_TURNS)

    async def write(self, given: Mapping[str, Any], of: Who = NOBODY) -> None:
        """Return when a record is durable: the fields of `Record` by name, and who. Raises Unavailable when it cannot be,
        or it is not known whether it is.
        """
        event, personal = encode(given, of)
        await self._trips.take((event, personal, concerned(given.get("patients", ()), of.person)))

    async def _carry(self, written: Sequence[_Written]) -> Sequence[None]:
        head = await self._ready()
        seq, before, now = head.seq, head.hash, self._clock.now()
        at, salts = links.moment(now), os.urandom(SALT_DIGITS // 2 * len(written)).hex().encode()
        hashes: list[bytes] = []
        personals: list[bytes] = []
        patients: set[int] = set()
        for place, (event, personal, whose) in enumerate(written):
            seq += 1
            salted = salts[place * SALT_DIGITS : (place + 1) * SALT_DIGITS] + personal
            before = links.linked(before, seq, at, event, links.commitment(salted))
            personals.append(salted)
            hashes.append(before)
            patients.update(whose)
        events = b"\n".join([event for event, _, _ in written])
        block = Block(
            head.chain.number, head.seq + 1, seq, now, list(patients), b"".join(hashes), events, b"\n".join(personals)
        )
        self._uncertain = block
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await self.store.append(block)
        except TimeoutError:
            raise Unavailable("the audit ledger does not answer") from None
        self._uncertain = None
        self._advance(head, hashes)
        return [None] * len(written)

    def _advance(self, head: _Head, hashes: Sequence[bytes]) -> None:
        head.seq, head.hash = head.seq + len(hashes), hashes[-1]
        head.unsealed += hashes
        head.since = head.since or self._clock.now()

    async def _ready(self) -> _Head:
        """Return the head of a chain that can be added to: after a commit of which we did not hear, look first."""
        head = self._head
        if head is None:
            chain = await self.store.begin()
            head = self._head = _Head(chain, 0, links.beginning(chain.name))
        if self._uncertain is not None:
            there = await self.store.blocks(head.chain.number, head.seq, 2)
            if there and there[0].hashes == self._uncertain.hashes:
                self._advance(head, hashes_of(there.pop(0)))
            self._uncertain = None
            if there:  # somebody else has written here, or what we gave up came late
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
                await self.store.checkpoint(row, self._witnesses)
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
        row = await self.store.last_checkpoint(head.chain.number)
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
