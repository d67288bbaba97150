"""A proof that one record is among those of a signed checkpoint, for whoever has the public key and nothing else.

`{"record": {chain, seq, at, event, personal, before, hash}, "place", "count", "path", "checkpoint"}`: hashes are hex, the
checkpoint is its line. `holds` needs no ledger.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.audit import chain as links
from gateway.audit.block import Line, hashes, lines
from gateway.audit.checkpoint import Checkpoint
from gateway.clock import UTC
from gateway.errors import Incorrect, NotFound
from gateway.store.ledger import LedgerStore


async def prove(store: LedgerStore, chain: int, seq: int, keys: Mapping[str, Ed25519PublicKey]) -> dict[str, Any]:
    """Return the proof of a record. Raises NotFound where it is not there, or no checkpoint covers it yet."""
    block = await store.holding(chain, seq)
    if block is None:
        raise NotFound("there is no such record")
    for row in await store.checkpoints(chain):
        made = Checkpoint.read(row.body, keys)
        if made.first <= seq <= made.upto:
            break
    else:
        raise NotFound("no checkpoint covers this record yet")
    leaves: list[bytes] = []
    before = links.beginning(made.name)
    first = made.first
    if made.first > 1:
        previous = await store.holding(chain, made.first - 1)
        if previous is not None:
            before = hashes(previous)[-1]
        elif made.first == seq:
            before = next(
                bytes.fromhex(one.head)
                for one in (Checkpoint.read(row.body, keys) for row in await store.checkpoints(chain))
                if one.upto == made.first - 1
            )
    while len(leaves) < made.upto - made.first + 1:
        found = await store.blocks(chain, first + len(leaves) - 1, 500)
        if not found:
            raise NotFound("records of its checkpoint are not there: verify the ledger")
        leaves += [one for each in found for one in hashes(each)]
    leaves = leaves[: made.upto - made.first + 1]
    place = seq - made.first
    line = next(one for one in lines(block) if one.seq == seq)
    return {
        "record": {
            "chain": chain,
            "seq": seq,
            "at": line.at.isoformat(),
            "event": line.event.decode(),
            "personal": line.personal.decode(),
            "before": (leaves[place - 1] if place else before).hex(),
            "hash": line.hash.hex(),
        },
        "place": place,
        "count": len(leaves),
        "path": [one.hex() for one in links.path(leaves, place)],
        "checkpoint": row.body.decode(),
    }


def holds(proof: Mapping[str, Any], keys: Mapping[str, Ed25519PublicKey]) -> bool:
    """Say whether a proof holds. Raises Incorrect when it is none, or nobody known signed it."""
    try:
        record, made = proof["record"], Checkpoint.read(proof["checkpoint"].encode(), keys)
        at = dt.datetime.fromisoformat(record["at"]).astimezone(UTC)
        line = Line(
            record["chain"],
            record["seq"],
            at,
            bytes.fromhex(record["hash"]),
            record["event"].encode(),
            record["personal"].encode(),
        )
        beside = [bytes.fromhex(one) for one in proof["path"]]
        root = links.root_of_path(line.hash, proof["place"], proof["count"], beside)
        return (
            line.follows(bytes.fromhex(record["before"]))
            and root.hex() == made.root
            and made.chain == record["chain"]
            and made.first + proof["place"] == record["seq"]
            and made.upto - made.first + 1 == proof["count"]
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Incorrect("this is not a proof") from None
