"""MedCom messages into the house: a cheap look for the door, and the translation. Pure; never raises for bad input.

A message is taken whole or not at all, because its acknowledgement can only say one or the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from adapters.municipal_medcom import acknowledgement, notification, observation
from adapters.municipal_medcom.house import House
from adapters.municipal_medcom.message import IDENTITY, Fault, Message, Part, choose_person
from gateway.errors import Incorrect, Unprocessable
from gateway.fhir import xml as fhirxml
from gateway.fhir.issue import Issue
from gateway.fhir.validate import validate
from gateway.formats import json, xml
from gateway.model import Feed, Piece, RawMessage, Reason, RejectionCode, Resource, Trace, Translation
from gateway.terminology.context import Context

_EVENTS: Mapping[str, Callable[[House], None]] = {
    notification.EVENT: notification.translate,
    observation.EVENT: observation.translate,
    acknowledgement.EVENT: acknowledgement.translate,
}
_MEDCOM_EVENTS = frozenset({*_EVENTS, "care-communication-message", "empty-message"})
_RULES = {
    "required": RejectionCode.REQUIRED_MISSING,
    "code": RejectionCode.CODE_UNKNOWN,
    "format": RejectionCode.VALUE_INVALID,
    "type": RejectionCode.VALUE_INVALID,
}
"""Rules of `fhir.validate` that have a rejection code of their own."""

_TRIPPED = (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, Incorrect)
"""What a value of another JSON type, form or size than R4's can trip where valid resources are read and answers written."""

_BOM = b"\xef\xbb\xbf"


def split(body: bytes, content_type: str, feed: Feed) -> list[Piece]:  # noqa: ARG001  (the feed decides nothing here)
    """Cut NDJSON into its lines, and find each message's person and MessageHeader.id.

    What one body is, its first byte says (`<` or `{`). Raises errors.Unprocessable when it is neither JSON nor XML.
    """
    if "ndjson" in content_type.lower():
        lines = [line for line in body.removeprefix(_BOM).splitlines() if line.strip()]
        if not lines:
            raise Unprocessable("no message in the body")
        return [_look(line) or Piece(line) for line in lines]
    piece = _look(body)
    if piece is None:
        raise Unprocessable("neither a FHIR message in JSON nor one in XML")
    return [piece]


def _look(body: bytes) -> Piece | None:
    try:
        persons, headers = _look_xml(body) if _is_xml(body) else _look_json(body)
    except (ValueError, AttributeError, Incorrect):
        return None
    control_id = headers[0] if headers and isinstance(headers[0], str) and IDENTITY.fullmatch(headers[0]) else None
    return Piece(body, choose_person(persons), control_id)


def _is_xml(body: bytes) -> bool:
    return body.removeprefix(_BOM).lstrip()[:1] == b"<"


def _look_json(body: bytes) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Read with the fastest reader: nothing of it is kept, and translation reads again with the exact one."""
    bundle = orjson.loads(body.removeprefix(_BOM))
    entries = bundle.get("entry") if isinstance(bundle, dict) else None
    listed = entries if isinstance(entries, list) else []
    persons: list[tuple[Any, Any]] = []
    headers: list[Any] = []
    for entry in listed:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict):
            continue
        kind, identifiers = resource.get("resourceType"), resource.get("identifier")
        if kind == "MessageHeader":
            headers.append(resource.get("id"))
        elif kind == "Patient" and isinstance(identifiers, list):
            persons += [(one.get("system"), one.get("value")) for one in identifiers if isinstance(one, dict)]
    return persons, headers


def _look_xml(body: bytes) -> tuple[list[tuple[Any, Any]], list[Any]]:
    ns = {"f": fhirxml.FHIR}
    root = xml.parse(body)

    def value(node: Any, path: str) -> Any:
        found = node.find(path, ns)
        return None if found is None else found.get("value")

    identifiers = root.iterfind("f:entry/f:resource/f:Patient/f:identifier", ns)
    headers = root.iterfind("f:entry/f:resource/f:MessageHeader", ns)
    return [(value(one, "f:system"), value(one, "f:value")) for one in identifiers], [
        value(one, "f:id") for one in headers
    ]


def translate(raw: RawMessage, context: Context, trace: Trace | None = None) -> Translation:
    """Translate one message. See adapters/README.md for what holds of every adapter."""
    made = Translation()
    try:
        bundle = fhirxml.loads(raw.body) if _is_xml(raw.body) else json.loads(raw.body)
        message = Message(bundle)
    except Incorrect as refusal:
        made.reasons.append(Reason(RejectionCode.MALFORMED, refusal.at or "Bundle", refusal.text))
        return made
    except Fault as fault:
        made.reasons.append(fault.reason)
        return made
    made.letter, made.envelope = message.letter, message.envelope
    made.message_type = _event(message)
    try:
        _fill(made, message, context, raw, trace)
        if made.message_type != acknowledgement.EVENT:
            _answer(made, message, context, raw)
    except Exception:
        # What follows is written for valid resources, and one that is not can trip it anywhere. Then the message is at
        # fault, and the place is told; with a message of valid resources it is a bug, and crashes as one.
        made.reasons = [reason for part in message.parts for reason in _faults(part)]
        if not made.reasons:
            raise
        made.changes, made.notices = [], []
        if made.message_type != acknowledgement.EVENT:
            _refuse(made, message, context, raw)
    return made


def _refuse(made: Translation, message: Message, context: Context, raw: RawMessage) -> None:
    """Answer a message with invalid parts, unless one of them is needed for the answer: then nobody can be told."""
    with contextlib.suppress(*_TRIPPED):
        _answer(made, message, context, raw)
    read = fhirxml.loads if made.reply_content_type.endswith("xml") else json.loads
    replies = [reply for reply in (made.reply, made.reply_reused) if reply is not None]
    if any(validate(read(reply)) for reply in replies):
        made.reply = made.reply_reused = None


def _faults(part: Part) -> list[Reason]:
    """Return why a resource of the message, as it was sent, is not valid R4."""
    return _reasons(validate(part.node.value), part.kind, part.at)


def _event(message: Message) -> str:
    """Return the event of a message; `unknown` for one that MedCom does not have: it goes into names of metrics."""
    try:
        code = message.header.node.need("eventCoding", "code").text()
    except Fault:
        return "unknown"
    return code if code in _MEDCOM_EVENTS else "unknown"


def _fill(made: Translation, message: Message, context: Context, raw: RawMessage, trace: Trace | None) -> None:
    """Put the changes of a message into its translation, or the reasons why there are none."""
    kind = _EVENTS.get(made.message_type)
    if kind is None:
        text = "this feed takes HospitalNotification, HomeCareObservation and acknowledgements"
        made.reasons.append(Reason(RejectionCode.UNSUPPORTED_TYPE, f"{message.header.at}.eventCoding", text))
        return
    try:
        house = House(message, context, raw.received_at, trace)
        kind(house)
    except Fault as fault:
        made.reasons.append(fault.reason)
        return
    made.notices = house.notices
    made.reasons = [reason for change in house.changes for reason in _invalid(change.resource, house.origins)]
    made.changes = [] if made.reasons else house.changes


def _invalid(resource: Resource, origins: Mapping[str, str]) -> list[Reason]:
    """Return why a resource is not valid R4, in terms of the sender's message: what was copied keeps its place."""
    kind = resource["resourceType"]
    return _reasons(validate(resource), kind, origins[f"{kind}/{resource['id']}"])


def _reasons(issues: Sequence[Issue], kind: str, at: str) -> list[Reason]:
    return [
        Reason(_RULES.get(one.rule, RejectionCode.INVALID_RESOURCE), at + one.path.removeprefix(kind), one.text)
        for one in issues
    ]


def _answer(made: Translation, message: Message, context: Context, raw: RawMessage) -> None:
    """Make the acknowledgements as the sender writes, JSON or XML; none when the message names nobody to answer."""
    reused = Reason(RejectionCode.ENVELOPE_REUSED, "Bundle.id", "this Bundle.id has been used around another letter")
    try:
        parties = acknowledgement.Parties.of(message, context.ids)
        answer = acknowledgement.reply(message, parties, context, raw.received_at, made.reasons)
        other = acknowledgement.reply(message, parties, context, raw.received_at, [reused])
    except Fault as fault:
        if not made.reasons:
            made.reasons, made.changes = [fault.reason], []
        return
    as_xml = _is_xml(raw.body)
    write: Callable[[Resource], bytes] = fhirxml.dumps if as_xml else json.dumps
    made.reply, made.reply_reused = write(answer), write(other)
    made.reply_content_type = "application/fhir+xml" if as_xml else "application/fhir+json"
