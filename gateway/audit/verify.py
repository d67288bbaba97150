"""Is the ledger what was written, all of it? Reads everything, trusts nothing but the public keys and the witness.

Every record must follow from the one before it; every checkpoint must be signed, and its last hash and tree must be those
of the records that are there; what a witness was told must be there still. What does not hold is told by the first record
that shows it. A rewritten stretch, every hash made anew, shows as the first record of the checkpoint that it contradicts.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.audit import chain as links
from gateway.audit.block import Line, lines
from gateway.audit.checkpoint import Checkpoint
from gateway.audit.record import committed
from gateway.audit.vocabulary import Event
from gateway.errors import Incorrect
from gateway.store.ledger import Block, Chain, LedgerStore

READ_AT_ONCE: Final = 500
_PRUNED: Final = f'"{Event.PRUNED.value}"'.encode()


class Wrong(enum.StrEnum):
    """What may be wrong with a ledger. Closed: docs/how-to/audit.md says what to do about each."""

    CHANGED = "changed"  # what the record says, or its hash, is not what was written
    MISSING = "missing"  # a record is not there, and later ones are
    CUT = "cut"  # the end of a chain, or a whole one, is not there
    HEADLESS = "headless"  # the beginning is not there, and no retention says so
    REWRITTEN = "rewritten"  # the records hang together, and are not those of a signed checkpoint
    FORKED = "forked"  # the witness was told another story
    UNSIGNED = "unsigned"  # a checkpoint's signature does not hold, or one is missing


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold: the first record of a chain that shows it."""

    wrong: Wrong
    chain: int
    seq: int
    text: str


@dataclass(slots=True)
class Report:
    """What `verify` found."""

    records: int = 0
    checkpoints: int = 0
    unsealed: int = 0
    """Records that no checkpoint covers (yet)."""
    witnessed: int = 0
    """Checkpoints that the witness was told of."""
    erased: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


@dataclass(slots=True)
class _Look:
    """What is known of one chain while it is read."""

    chain: Chain
    report: Report
    checkpoints: list[Checkpoint]
    witnessed: list[Checkpoint]
    pruned: int
    """Up to where retention deleted it, as the ledger says."""
    heads: dict[int, bytes] = field(default_factory=dict)
    """Hashes at the records that a checkpoint ends with."""

    def found(self, wrong: Wrong, seq: int, text: str) -> None:
        """Note what does not hold."""
        self.report.findings.append(Finding(wrong, self.chain.number, seq, text))


async def verify(
    store: LedgerStore, keys: Mapping[str, Ed25519PublicKey], witness: Sequence[bytes] | None = None
) -> Report:
    """Verify every chain; `witness` is the lines that it was told, None where there is none to ask."""
    report = Report()
    told = _told(witness or (), keys, report)
    chains = await store.chains()
    pruned = await _pruned(store, chains)
    for chain in chains:
        made: list[Checkpoint] = []
        for row in await store.checkpoints(chain.number):
            report.checkpoints += 1
            try:
                made.append(Checkpoint.read(row.body, keys))
            except Incorrect as error:
                report.findings.append(Finding(Wrong.UNSIGNED, chain.number, row.upto, error.text))
        look = _Look(chain, report, made, told.pop(chain.name, []), pruned.get(chain.number, 0))
        await _chain(store, look)
    for name, lost in told.items():
        text = f"chain {name}, which the witness knows up to record {lost[-1].upto}, is not there"
        report.findings.append(Finding(Wrong.CUT, lost[-1].chain, 1, text))
    return report


def _told(
    witness: Sequence[bytes], keys: Mapping[str, Ed25519PublicKey], report: Report
) -> dict[str, list[Checkpoint]]:
    """Return what the witness was told, by chain, in order."""
    found: dict[str, dict[str, Checkpoint]] = {}
    for number, line in enumerate(witness, 1):
        try:
            one = Checkpoint.read(line, keys)
        except Incorrect as error:
            report.findings.append(Finding(Wrong.UNSIGNED, 0, 0, f"line {number} of the witness: {error.text}"))
            continue
        report.witnessed += 1
        found.setdefault(one.name, {})[one.digest] = one
    return {name: sorted(lines.values(), key=lambda one: one.number) for name, lines in found.items()}


async def _pruned(store: LedgerStore, chains: Sequence[Chain]) -> dict[int, int]:
    """Return up to where chains say that retention deleted them."""
    found: dict[int, int] = {}
    for chain in chains:
        after = 0
        while blocks := await store.blocks(chain.number, after, READ_AT_ONCE):
            after = blocks[-1].upto
            for line in [one for block in blocks if _PRUNED in block.events for one in lines(block)]:
                if (told := _retention(line)) is not None:
                    found[told[0]] = max(found.get(told[0], 0), told[1])
    return found


def _retention(line: Line) -> tuple[int, int] | None:
    try:
        record = line.record()
        return (record.more["chain"], record.more["upto"]) if record.event is Event.PRUNED else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # its chain says that it was changed


async def _chain(store: LedgerStore, look: _Look) -> None:
    blocks = await store.blocks(look.chain.number, 0, READ_AT_ONCE)
    start = _start(look, blocks[0].first if blocks else 1)
    if start is None:
        return
    seq, before = start
    walk = _Walk(look, seq, before)
    while blocks:
        for block in blocks:
            if not walk.block(block):
                return
        blocks = await store.blocks(look.chain.number, walk.seq, READ_AT_ONCE)
    _ended(look, walk.seq)


class _Walk:
    """A walk along a chain, record by record."""

    def __init__(self, look: _Look, seq: int, before: bytes) -> None:
        self.seq = seq
        self._look = look
        self._before = before
        self._ends = {one.upto for one in (*look.checkpoints, *look.witnessed)}
        self._waiting = {one.first: one for one in look.checkpoints if one.upto >= one.first > seq}
        self._current: Checkpoint | None = None
        self._stretch: list[bytes] = []
        look.heads[seq] = before

    def block(self, block: Block) -> bool:
        """Go on through a block; say whether it holds."""
        look, number = self._look, self._look.chain.number
        if block.first > self.seq + 1:
            gap = f"{self.seq + 1} to {block.first - 1}" if block.first > self.seq + 2 else f"{self.seq + 1}"
            look.found(Wrong.MISSING, self.seq + 1, f"record {gap} of chain {number} is not there")
            return False
        if block.first <= self.seq:
            look.found(Wrong.FORKED, block.first, f"record {block.first} of chain {number} is there twice")
            return False
        for line in lines(block):
            if not line.follows(self._before):
                look.found(Wrong.CHANGED, line.seq, f"record {line.seq} of chain {number} was changed or moved")
                return False
            if not self._signed(line):
                return False
        return True

    def _signed(self, line: Line) -> bool:
        """Note a record; say whether the checkpoint that ends with it, if any, is of these records."""
        look = self._look
        self.seq, self._before = line.seq, line.hash
        look.report.records += 1
        look.report.erased += committed(line.personal) is not None
        if line.seq in self._waiting:
            self._current, self._stretch = self._waiting[line.seq], []
        self._stretch.append(line.hash)
        one = self._current
        if one is not None and line.seq == one.upto:
            self._current = None
            if links.root(self._stretch).hex() != one.root or line.hash.hex() != one.head:
                text = f"records {one.first} to {one.upto} of chain {one.chain} are not those that were signed"
                look.found(Wrong.REWRITTEN, one.first, text)
                return False
        if line.seq in self._ends:
            look.heads[line.seq] = line.hash
        return True


def _start(look: _Look, first: int) -> tuple[int, bytes] | None:
    """Return the record before the first, and its hash: nothing, or the checkpoint at which retention cut."""
    if first == 1 and not look.pruned:
        return 0, links.beginning(look.chain.name)
    cut = first - 1 if first > 1 else look.pruned
    there = [one for one in (*look.checkpoints, *look.witnessed) if one.upto == cut]
    if cut == look.pruned and there:
        return cut, bytes.fromhex(there[0].head)
    if first == 1:  # retention was to be, and has not come to it
        return 0, links.beginning(look.chain.name)
    look.found(Wrong.HEADLESS, 1, f"records 1 to {first - 1} of chain {look.chain.number} are not there")
    return None


def _ended(look: _Look, seq: int) -> None:
    """Compare where the chain ends with what was signed, and with what the witness was told."""
    number = look.chain.number
    before = ""
    for place, one in enumerate(look.checkpoints, 1):
        if one.number != place or one.before != before or one.name != look.chain.name:
            look.found(Wrong.UNSIGNED, one.first, f"checkpoint {place} of chain {number} is not there, or another is")
            return
        before = one.digest
    if look.checkpoints and (last := look.checkpoints[-1]).upto > seq:
        look.found(Wrong.CUT, seq + 1, f"chain {number} was signed up to record {last.upto} and ends at {seq}")
        return
    look.report.unsealed += seq - (look.checkpoints[-1].upto if look.checkpoints else 0)
    for one in look.witnessed:
        if one.upto > seq:
            look.found(
                Wrong.CUT, seq + 1, f"the witness knows chain {number} up to record {one.upto}; it ends at {seq}"
            )
            return
        known = look.heads.get(one.upto)
        if known is not None and known.hex() != one.head:
            look.found(
                Wrong.FORKED, one.first, f"the witness knows other records {one.first} to {one.upto} of chain {number}"
            )
            return
    own = {one.digest for one in look.checkpoints}
    for one in look.witnessed:
        if one.digest not in own:
            text = f"checkpoint {one.number} of chain {number}, which the witness knows, is not there"
            look.found(Wrong.FORKED, one.first, text)
            return
