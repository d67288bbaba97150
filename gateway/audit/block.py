"""A block of the ledger, record by record: its lines, and whether each follows from the one before. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.audit import chain as links
from gateway.audit.record import Record, committed, decode
from gateway.store.ledger import Block


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a block as it stands there."""

    chain: int
    seq: int
    at: dt.datetime
    hash: bytes
    event: bytes
    personal: bytes

    @property
    def name(self) -> str:
        """The id of its AuditEvent."""
        return f"{self.chain}-{self.seq}"

    def record(self) -> Record:
        """Return what it says. Raises ValueError, KeyError or TypeError for what is none."""
        return decode(self.event, self.personal)

    def follows(self, before: bytes) -> bool:
        """Say whether its hash is what it must be after a hash."""
        try:
            commitment = committed(self.personal)
        except ValueError:
            return False
        if commitment is None:
            commitment = links.commitment(self.personal)
        return links.linked(before, self.seq, links.moment(self.at), self.event, commitment) == self.hash


def lines(block: Block) -> Iterator[Line]:
    """Yield the records of a block, in order. Where lines are missing, they are empty: such a record does not follow."""
    events, personal = block.events.split(b"\n"), block.personal.split(b"\n")
    count = block.upto - block.first + 1
    events += [b""] * (count - len(events))
    personal += [b""] * (count - len(personal))
    if len(events) > count or len(personal) > count:  # what was put in belongs to nobody: to the last
        events[count - 1 :] = [b"\n".join(events[count - 1 :])]
        personal[count - 1 :] = [b"\n".join(personal[count - 1 :])]
    for place in range(count):
        own = block.hashes[place * links.HASH_BYTES : (place + 1) * links.HASH_BYTES]
        yield Line(block.chain, block.first + place, block.at, own, events[place], personal[place])


def hashes(block: Block) -> list[bytes]:
    """Return the hashes of the records of a block."""
    return [block.hashes[at : at + links.HASH_BYTES] for at in range(0, len(block.hashes), links.HASH_BYTES)]
