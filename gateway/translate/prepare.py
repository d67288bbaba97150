"""One raw message → what the store applies: translate, validate, add provenance, index, serialise. Pure and total.

A message whose resources are not valid FHIR R4 is rejected whole (`invalid-resource`): what stands in the store is valid,
or it does not stand there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat

from gateway.errors import Incorrect
from gateway.fhir.body import arranged, content_digest
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Change, Mode, Position, RawMessage, Reason, RejectionCode, Resource, Translation
from gateway.search.index import extract
from gateway.search.query import Index
from gateway.store.port import MessageWrite, Write
from gateway.translate.provenance import provenance
from gateway.translate.registry import Station

REASONS_MAX = 50
"""A rejection names so many reasons at most; the rest are counted in one more."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message ready for the store, and what its adapter said."""

    write: MessageWrite
    translation: Translation

    @property
    def made(self) -> tuple[str, ...]:
        """Return `Type/id` of what the message makes, its Provenance aside."""
        write = self.write
        return tuple(dict.fromkeys(f"{each.type}/{each.id}" for each in write.writes if each.id != write.provenance))


def letter_of(raw: RawMessage, translation: Translation) -> str:
    """Return what names the message in its feed: the adapter's word, else control id and SHA-256 of the body.

    HL7 v2: the same MSH-10 with other bytes is another message (control ids are reused after restarts).
    """
    return translation.letter or f"{raw.control_id or ''}:{raw.digest().hex()}"


def judged(translation: Translation) -> list[Reason]:
    """Return the reasons to reject the message whole: what its resources break of FHIR R4."""
    return [reason for change in translation.changes for reason in _broken(change.resource)]


def _broken(resource: Resource, written: bytes | None = None) -> list[Reason]:
    name = f"{resource.get('resourceType')}/{resource.get('id')}"
    return [
        Reason(RejectionCode.INVALID_RESOURCE, f"{name} {issue.path}", issue.text)
        for issue in validate(resource, written)
    ]


class Known:
    """Digests of resources found valid that messages only mention: the same bytes name the same ward all day."""

    def __init__(self) -> None:
        self._valid: set[bytes] = set()

    def faults(self, change: Change, body: bytes, digest: bytes) -> list[Reason]:
        """Return the reasons why a change is not valid R4."""
        if digest in self._valid:
            return []
        broken = _broken(change.resource, body)
        if change.mode is not Mode.PUT and not broken:
            if len(self._valid) >= _KNOWN_MAX:
                self._valid.clear()
            self._valid.add(digest)
        return broken


_KNOWN_MAX = 50_000
_NO_INDEX = Index()
_known = Known()  # a verdict depends on nothing but the bytes: one for all feeds of the process


def _body(change: Change, source: str) -> bytes:
    """Put a change's resource into the order of its body, with `meta.source`, and return that; b'' for no resource."""
    try:
        change.resource = arranged(change.resource, source)
        return json.dumps(change.resource)
    except (Incorrect, TypeError):
        if validate(change.resource):
            return b""  # told as what it breaks of FHIR
        raise


def write_of(change: Change, raw: RawMessage, body: bytes, digest: bytes) -> Write:
    """Return one resource as the store takes it."""
    resource = change.resource
    return Write(
        type=resource["resourceType"],
        id=resource["id"],
        mode=change.mode,
        body=body,
        digest=digest,
        event_time=change.event_time or raw.received_at,
        lane=change.lane or "",
        clear=change.clear,
        weak=change.weak,
        # What is merged is indexed when it has been merged.
        index=extract(resource) if change.mode is Mode.PUT else _NO_INDEX,
        resource=resource if change.mode is not Mode.PUT else None,
    )


def prepare(raw: RawMessage, position: Position, station: Station, *, replay: bool = False) -> Prepared:
    """Translate one message and make it ready. An exception is a bug in the adapter, never the data's fault."""
    translation = station.adapter.translate(raw, station.context)
    source = f"urn:sundbro:feed:{raw.feed}"
    bodies = [_body(change, source) for change in translation.changes]
    digests = [content_digest(body) for body in bodies]
    broken: list[Reason] = []
    for change, body, digest in zip(translation.changes, bodies, digests, strict=True):
        broken += _known.faults(change, body, digest)
    reasons = [*translation.reasons, *broken]
    if len(reasons) > REASONS_MAX:
        more = len(reasons) - REASONS_MAX
        reasons = [*reasons[:REASONS_MAX], Reason(reasons[-1].code, "", f"and {more} more")]
    changes = [] if broken else translation.changes
    letter = letter_of(raw, translation)
    write = MessageWrite(
        feed=raw.feed,
        receipt=raw.receipt,
        source=position,
        received_at=raw.received_at,
        letter=letter,
        message_type=translation.message_type,
        envelope=translation.envelope,
        control_id=raw.control_id,
        sender=raw.sender,
        lane=raw.lane,
        mapping=station.mapping,
        traceparent=raw.traceparent,
        reasons=reasons,
        reply=translation.reply,
        reply_reused=translation.reply_reused,
        reply_content_type=translation.reply_content_type if translation.reply else "",
        replay=replay,
    )
    if changes:
        write.writes = [write_of(*each) for each in zip(changes, repeat(raw), bodies, digests, strict=False)]
        record = provenance(raw, letter, changes, station.feed, station.context.ids, station.mapping)
        lane = next((change.lane for change in changes if change.lane), raw.lane)
        change = Change(record, lane=lane)
        body = _body(change, source)
        write.writes.append(write_of(change, raw, body, content_digest(body)))
        write.provenance = record["id"]
    return Prepared(write, translation)
