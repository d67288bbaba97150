"""What keeps a ledger in order beside the requests: checkpoints when they are due, to every witness until it has them; the
checkpoints of chains whose writer died; the end of what retention ends; and how far behind all that is.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.audit import chain as links
from gateway.audit.block import hashes as hashes_of
from gateway.audit.checkpoint import Checkpoint, Key, stamp
from gateway.audit.ledger import CHECKPOINT_SECONDS, Ledger
from gateway.audit.vocabulary import Event
from gateway.audit.witness import Witness
from gateway.clock import Clock
from gateway.errors import Incorrect, Unavailable
from gateway.observe import events
from gateway.store.ledger import Chain, CheckpointRow, Forked, LedgerStore

TICK_SECONDS: Final = 1.0
ORPHAN_AFTER: Final = dt.timedelta(seconds=6 * CHECKPOINT_SECONDS)
ADOPT_BLOCKS: Final = 500
SEND_AT_ONCE: Final = 50
SEND_AGAIN_SECONDS: Final = 15.0
RETENTION_EVERY: Final = dt.timedelta(hours=24)


async def seal_own(ledger: Ledger, tell: events.Tell, stop: asyncio.Event) -> None:
    """Seal a writer's chain whenever it is due, until `stop`. Each writer does this for itself."""
    while not stop.is_set():
        try:
            await ledger.seal()
        except Unavailable as error:
            tell(events.PartUnavailable("audit", type(error).__name__, TICK_SECONDS))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), TICK_SECONDS)


@dataclass(slots=True)
class Keeper:
    """Does the rest, in one process of a gateway; several at once do no harm."""

    store: LedgerStore
    ledger: Ledger
    key: Key
    clock: Clock
    tell: events.Tell
    witnesses: Mapping[str, Witness]
    retention: dt.timedelta | None
    """None keeps records for ever."""
    looked: dt.datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`."""
        while not stop.is_set():
            try:
                await self.adopt()
                await self.send()
                await self.forget()
                behind = await self.store.behind()
                self.tell(events.AuditMeasured(behind.unsealed_seconds, behind.unsent, behind.unsent_seconds))
            except Unavailable as error:
                self.tell(events.PartUnavailable("audit", type(error).__name__, TICK_SECONDS))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_SECONDS)

    async def send(self) -> int:
        """Send what is due; return how many checkpoints a witness took."""
        taken = 0
        for unsent in await self.store.claim(SEND_AT_ONCE, SEND_AGAIN_SECONDS):
            witness = self.witnesses.get(unsent.witness)
            if witness is None:  # one of other settings: it waits for them, and is counted
                continue
            try:
                await witness.tell(unsent.body)
            except Unavailable as error:
                self.tell(events.PartUnavailable(f"witness-{witness.name}", type(error).__name__, SEND_AGAIN_SECONDS))
                continue
            await self.store.acknowledged(unsent)
            taken += 1
        return taken

    async def adopt(self) -> int:
        """Seal and close the chains whose writer died before it could; return how many."""
        found = await self.store.orphans(self.clock.now() - ORPHAN_AFTER)
        for chain in found:
            with contextlib.suppress(Forked):  # somebody else was faster, or its writer lives after all
                await self._close(chain)
        return len(found)

    async def _close(self, chain: Chain) -> None:
        row = await self.store.last_checkpoint(chain.number)
        number, upto, before = 0, 0, ""
        if row is not None:
            with contextlib.suppress(Incorrect):
                before = Checkpoint.read(row.body, {self.key.name: self.key.public}).digest
            number, upto = row.number, row.upto
        while blocks := await self.store.blocks(chain.number, upto, ADOPT_BLOCKS):
            now, first = self.clock.now(), upto + 1
            closed = len(blocks) < ADOPT_BLOCKS
            hashes = [one for block in blocks for one in hashes_of(block)]
            number, upto = number + 1, blocks[-1].upto
            head, root = hashes[-1].hex(), links.root(hashes).hex()
            made = Checkpoint(
                chain.number, chain.name, number, first, upto, head, root, before, stamp(now), closed
            )  # fmt: skip
            before = made.digest
            row = CheckpointRow(chain.number, number, upto, now, closed, made.line(self.key))
            await self.store.checkpoint(row, list(self.witnesses))

    async def forget(self) -> int:
        """Delete what retention ends, with a record of each deletion before it; return how many blocks went."""
        now = self.clock.now()
        if self.retention is None or (self.looked is not None and now - self.looked < RETENTION_EVERY):
            return 0
        self.looked = now
        gone = 0
        for chain, upto in await self.store.prunable(now - self.retention):
            more = {"chain": chain, "upto": upto}
            await self.ledger.write({"event": Event.PRUNED, "status": 200, "door": "ledger", "more": more})
            gone += await self.store.prune(chain, upto)
        return gone
