"""Erasing what is personal in records: it goes for ever, what stands for it in the chain stays, and that it went is on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.audit import chain as links
from gateway.audit.block import lines
from gateway.audit.ledger import Ledger
from gateway.audit.record import erased
from gateway.audit.vocabulary import Event
from gateway.errors import NotFound
from gateway.store.ledger import Block, LedgerStore


async def erase(store: LedgerStore, ledger: Ledger, records: Sequence[tuple[int, int]]) -> None:
    """Erase what is personal in records (chain, seq). Raises NotFound, and erases none, when one is not there."""
    wanted: dict[tuple[int, int], set[int]] = {}
    blocks: dict[tuple[int, int], Block] = {}
    for chain, seq in records:
        block = await store.holding(chain, seq)
        if block is None:
            raise NotFound(f"there is no record {chain}-{seq}")
        blocks[block.chain, block.first] = block
        wanted.setdefault((block.chain, block.first), set()).add(seq)
    for key, seqs in wanted.items():
        more = {"chain": key[0], "records": sorted(seqs)}
        await ledger.write({"event": Event.ERASED, "status": 200, "door": "ledger", "more": more})
    await store.erase([_left(blocks[key], seqs) for key, seqs in wanted.items()])


def _left(block: Block, seqs: set[int]) -> Block:
    kept: list[bytes] = []
    patients: dict[int, None] = {}
    for line in lines(block):
        if line.seq in seqs:
            kept.append(erased(line.personal, links.commitment(line.personal)))
        else:
            kept.append(line.personal)
            patients |= dict.fromkeys(line.record().concerned)
    return replace(block, personal=b"\n".join(kept), patients=list(patients))
