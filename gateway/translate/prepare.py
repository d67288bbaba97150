"""One raw message → what the store applies: translate, validate, add provenance, index, serialise. Pure and total.

A message whose resources are not valid FHIR R4 is rejected whole (`invalid-resource`): what stands in the store is valid,
or it does not stand there.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.fhir.body import content_digest
from gateway.fhir.body import prepare as serialise
from gateway.fhir.validate import validate
from gateway.model import Change, Mode, Position, RawMessage, Reason, RejectionCode, Translation
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
    reasons: list[Reason] = []
    for change in translation.changes:
        for issue in validate(change.resource):
            at = f"{change.resource.get('resourceType')}/{change.resource.get('id')} {issue.path}"
            reasons.append(Reason(RejectionCode.INVALID_RESOURCE, at, issue.text))
    return reasons


def write_of(change: Change, raw: RawMessage, source: str) -> Write:
    """Return one resource as the store takes it. Sets `meta.source`, the feed it came from."""
    resource = change.resource
    resource["meta"] = {"source": source, **resource.get("meta", {})}
    body = serialise(resource)
    return Write(
        type=resource["resourceType"],
        id=resource["id"],
        mode=change.mode,
        body=body,
        digest=content_digest(body),
        event_time=change.event_time or raw.received_at,
        lane=change.lane or "",
        clear=change.clear,
        weak=change.weak,
        # What is merged is indexed when it has been merged.
        index=extract(resource) if change.mode is Mode.PUT else Index(),
    )


def prepare(raw: RawMessage, position: Position, station: Station, *, replay: bool = False) -> Prepared:
    """Translate one message and make it ready. An exception is a bug in the adapter, never the data's fault."""
    translation = station.adapter.translate(raw, station.context)
    broken = judged(translation)
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
        source = f"urn:sundbro:feed:{raw.feed}"
        write.writes = [write_of(change, raw, source) for change in changes]
        record = provenance(raw, letter, changes, station.feed, station.context.ids, station.mapping)
        lane = next((change.lane for change in changes if change.lane), raw.lane)
        write.writes.append(write_of(Change(record, lane=lane), raw, source))
        write.provenance = record["id"]
    return Prepared(write, translation)
