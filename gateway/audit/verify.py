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
from gateway.audit.checkpoint import Checkpoint
from gateway.audit.record import decode
from gateway.audit.vocabulary import Event
from gateway.errors import Incorrect
from gateway.store.ledger import Chain, LedgerRow, LedgerStore

READ_AT_ONCE: Final = 5000


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
        first = await store.rows(chain.number, 0, 1)
        after = first[0].seq - 1 if first else 0
        while rows := await store.rows(chain.number, after, READ_AT_ONCE):
            after = rows[-1].seq
            for row in rows:
                if b'"pruned"' in row.event:
                    record = _decoded(row)
                    if record is not None:
                        found[record[0]] = max(found.get(record[0], 0), record[1])
    return found


def _decoded(row: LedgerRow) -> tuple[int, int] | None:
    try:
        record = decode(row.event, None)
        return (record.more["chain"], record.more["upto"]) if record.event is Event.PRUNED else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # the chain says that it was changed


async def _chain(store: LedgerStore, look: _Look) -> None:
    ends = {one.upto for one in (*look.checkpoints, *look.witnessed)}
    rows = await store.rows(look.chain.number, 0, READ_AT_ONCE)
    start = _start(look, rows[0].seq if rows else 1)
    if start is None:
        return
    seq, before = start
    look.heads[seq] = before
    stretch: list[bytes] = []
    waiting = {one.first: one for one in look.checkpoints if one.first <= one.upto and one.first > seq}
    current: Checkpoint | None = None
    while rows:
        for row in rows:
            if row.seq != seq + 1:
                gap = f"record {seq + 1}" if row.seq == seq + 2 else f"records {seq + 1} to {row.seq - 1}"
                look.found(Wrong.MISSING, seq + 1, f"{gap} of chain {look.chain.number} not there")
                return
            expected = links.linked(before, row.seq, row.event, _commitment(row))
            if expected != row.hash or not _timely(row):
                look.found(
                    Wrong.CHANGED, row.seq, f"record {row.seq} of chain {look.chain.number} was changed or moved"
                )
                return
            seq, before = row.seq, row.hash
            look.report.records += 1
            look.report.erased += row.personal is None
            current = waiting.get(seq, current)
            stretch.append(before)
            if current is not None and seq == current.first:
                stretch = [before]
            if current is not None and seq == current.upto:
                if links.root(stretch).hex() != current.root or before.hex() != current.head:
                    text = (
                        f"records {current.first} to {seq} of chain {look.chain.number} are not those that were signed"
                    )
                    look.found(Wrong.REWRITTEN, current.first, text)
                    return
                current = None
            if seq in ends:
                look.heads[seq] = before
        rows = await store.rows(look.chain.number, seq, READ_AT_ONCE)
    _ended(look, seq)


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


def _commitment(row: LedgerRow) -> bytes:
    return row.erased or b"" if row.personal is None else links.commitment(row.personal)


def _timely(row: LedgerRow) -> bool:
    """Say whether the column that records are found by is what the record says."""
    try:
        return decode(row.event, None).at == row.at
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
