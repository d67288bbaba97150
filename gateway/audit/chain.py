"""The hashes of the ledger: the chain of records, and Merkle trees over stretches of it (RFC 6962 §2.1). Pure.

A chain shows that nothing was changed, taken out, put in or moved, to whoever knows its last hash; a tree shows with a
few hashes that one record is among those whose root was signed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Final

HASH_BYTES: Final = 32
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_BEGINNING: Final = b"sundbro audit chain 1\0"


def beginning(name: str) -> bytes:
    """Return what stands before the first record of a chain of this name."""
    return hashlib.sha256(_BEGINNING + name.encode()).digest()


def linked(before: bytes, seq: int, at: bytes, event: bytes, commitment: bytes) -> bytes:
    """Return a record's hash: SHA-256(before ‖ seq as 8 bytes ‖ at ‖ commitment ‖ event); see `moment`, `commitment`."""
    return hashlib.sha256(before + seq.to_bytes(8, "big") + at + commitment + event).digest()


def moment(at: dt.datetime) -> bytes:
    """Return a moment as the chain has it: microseconds since 1970, 8 bytes."""
    return ((at - _EPOCH) // _MICROSECOND).to_bytes(8, "big")


def commitment(personal: bytes) -> bytes:
    """Return what stands for a line of `personal`, salt and all, in the chain."""
    return hashlib.sha256(personal).digest()


def leaf(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """Return the greatest power of two below a count of at least two."""
    return 1 << (count - 1).bit_length() - 1


def root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a tree whose leaves hold record hashes; of none, SHA-256 of nothing."""
    level = [leaf(one) for one in hashes]
    if not level:
        return hashlib.sha256(b"").digest()
    # the same tree as RFC 6962's recursion: pairs from the left, the odd one out moves up as it is
    while len(level) > 1:
        paired = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def path(hashes: Sequence[bytes], place: int) -> list[bytes]:
    """Return the audit path of the leaf at a place (from 0): the hashes beside it, from the leaf up."""
    if len(hashes) <= 1:
        return []
    cut = _split(len(hashes))
    if place < cut:
        return [*path(hashes[:cut], place), root(hashes[cut:])]
    return [*path(hashes[cut:], place - cut), root(hashes[:cut])]


def root_of_path(record: bytes, place: int, count: int, beside: Sequence[bytes]) -> bytes:
    """Return the root that a record's hash at a place among `count` has, by its audit path. Raises ValueError."""
    if count <= 1:
        if beside or place:
            raise ValueError("the path does not fit the tree")
        return leaf(record)
    if not beside:
        raise ValueError("the path does not fit the tree")
    cut = _split(count)
    if place < cut:
        return _node(root_of_path(record, place, cut, beside[:-1]), beside[-1])
    return _node(beside[-1], root_of_path(record, place - cut, count - cut, beside[:-1]))
