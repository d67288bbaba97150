"""Carrying a replay out: what `replay.compare` found, written as new versions under the messages that made it."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.fhir.body import content_digest
from gateway.fhir.body import prepare as serialise
from gateway.formats import json
from gateway.model import Mode
from gateway.search.index import extract
from gateway.store.port import Batch, MessageWrite, Store, Write
from gateway.translate.replay import Comparison, Difference, Folded

MESSAGES_A_BATCH = 100


@dataclass(slots=True)
class Done:
    """What was written. `moved`: resources that live data changed meanwhile, left as they are; replay again."""

    written: int = 0
    deleted: int = 0
    moved: int = 0
    messages: int = 0


async def carry_out(found: Comparison, store: Store) -> Done:
    """Bring the store to what the comparison says. Safe to repeat: what is written already does not differ any more."""
    by_message: dict[str, list[Write]] = {}
    for difference in [*found.added, *found.changed]:
        resource_type, _, resource_id = difference.resource.partition("/")
        folded = found.folded[resource_type, resource_id]
        by_message.setdefault(folded.by, []).append(_write(difference, folded))
    last = next(reversed(found.prepared), "")
    for difference in found.gone:
        by_message.setdefault(last, []).append(_deletion(difference, found))
    for receipt in [*found.accepted, *found.refused, *found.remade]:
        by_message.setdefault(receipt, [])
    done = Done()
    messages = [_message(found, receipt, writes, store) for receipt, writes in by_message.items() if receipt]
    for start in range(0, len(messages), MESSAGES_A_BATCH):
        await _apply([await message for message in messages[start : start + MESSAGES_A_BATCH]], store, done)
    return done


async def _apply(messages: list[MessageWrite], store: Store, done: Done) -> None:
    applied = await store.apply(Batch(messages))
    done.messages += len(applied.messages)
    made = {(kind, resource_id) for one in applied.messages for kind, resource_id, _ in one.versions}
    for message in messages:
        for write in message.writes:
            if (write.type, write.id) not in made:
                done.moved += 1
            elif write.deleted:
                done.deleted += 1
            else:
                done.written += 1


async def _message(found: Comparison, receipt: str, writes: list[Write], store: Store) -> MessageWrite:
    """Return the message again with what it writes now: its own Provenance goes with it, brought up to date, or deleted where
    the message makes nothing any more.
    """
    prepared = found.prepared[receipt]
    message = prepared.write
    message.made = prepared.made
    provenance = next((write for write in message.writes if write.id == message.provenance), None)
    if old := found.provenances.get(receipt):
        current = await store.read("Provenance", old)
        if current is not None and not current.deleted:
            writes = [*writes, _deletion(Difference(f"Provenance/{old}", current.version), found)]
    elif provenance is not None:
        current = await store.read("Provenance", provenance.id)
        provenance.expect = current.version if current else 0
        writes = [*writes, provenance]
    message.writes = writes
    return message


def _write(difference: Difference, folded: Folded) -> Write:
    body = serialise(folded.resource)
    return Write(
        type=folded.resource["resourceType"],
        id=folded.resource["id"],
        mode=Mode.PUT,
        body=body,
        digest=content_digest(body),
        event_time=folded.event[0],
        lane=folded.lane,
        index=extract(folded.resource),
        expect=difference.version,
        state=json.dumps(folded.state).decode() if folded.state is not None else None,
    )


def _deletion(difference: Difference, found: Comparison) -> Write:
    resource_type, _, resource_id = difference.resource.partition("/")
    at = max(prepared.write.received_at for prepared in found.prepared.values())
    return Write(resource_type, resource_id, Mode.PUT, b"", b"", at, expect=difference.version, deleted=True)
