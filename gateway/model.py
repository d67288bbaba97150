"""The values that travel through the house, from a door to the outbox. No behaviour beyond packing and unpacking.

A message's way: bytes → `Piece` (a door's cheap look at them) → `RawMessage` (written down, on `raw.<feed>`) →
`Translation` (what an adapter makes of it) → the store. None of these values is ever logged whole: a `RawMessage`
has a person's data in `body`, a `Change` in `resource`.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NewType

Resource = dict[str, Any]
"""A FHIR R4 resource as plain JSON values. Decimals are `decimal.Decimal` or int, never float."""

Lane = NewType("Lane", str)
"""A keyed hash of a person (32 hex digits), or of a feed's connection where no person is known. Order is kept per
lane; the backbone key is the lane, never a person's number."""


class RejectionCode(enum.StrEnum):
    """Why a message, or one reading of it, was rejected. Closed: docs/reference/rejections.md lists them all."""

    MALFORMED = "malformed"  # cannot be parsed as its format
    CHARSET = "charset"  # cannot be decoded in any character set the feed allows
    STRUCTURE = "structure"  # a segment or element that must be there is missing, or out of place
    UNSUPPORTED_TYPE = "unsupported-type"  # a message type or event this feed does not take
    UNSUPPORTED_VERSION = "unsupported-version"
    TEST_MESSAGE = "test-message"  # marked training or debugging on a production feed
    IDENTITY_MISSING = "identity-missing"  # no usable identifier of the person
    IDENTITY_INVALID = "identity-invalid"  # an identifier that cannot be one (an impossible date in a CPR number)
    REQUIRED_MISSING = "required-missing"  # a value without which the resource would be untrue or invalid
    VALUE_INVALID = "value-invalid"  # a value that its data type does not allow
    CODE_UNKNOWN = "code-unknown"  # a code from a closed list that has no map
    UNIT_UNKNOWN = "unit-unknown"  # a unit that has no UCUM code for this measurement
    IMPLAUSIBLE = "implausible"  # outside what a living person, or the device, can give
    CLOCK = "clock"  # a time in the future, or a device clock that cannot be placed
    REFERENCE_BROKEN = "reference-broken"  # points at something that is not in the message
    INVALID_RESOURCE = "invalid-resource"  # what came out is not valid FHIR R4
    ENVELOPE_REUSED = "envelope-reused"  # MedCom: a known Bundle.id around another letter
    TOO_LARGE = "too-large"
    MERGE_CYCLE = "merge-cycle"  # a patient merged into itself


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a rejection: a closed code, where in the message, and words for its sender.

    `at` is a pointer in the format's own terms (`PID-3[2].4`, `Bundle.entry[3].resource.status`, `readings[17].unit`).
    `text` never repeats the value itself: it may be a person's number.
    """

    code: RejectionCode
    at: str
    text: str

    def as_json(self) -> dict[str, str]:
        """Return `{"code", "at", "text"}`, the shape of every answer and table."""
        return {"code": self.code.value, "at": self.at, "text": self.text}


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the backbone. `headers` are CloudEvents attributes (`ce_id`, …) and our own, UTF-8."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record stands in the backbone: topic, partition, offset (from 0)."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """A record as read back, with its position."""

    position: Position
    record: Record


@dataclass(frozen=True, slots=True)
class PersonKey:
    """A person's identifier as a door finds it in raw bytes: naming system and value. Never logged."""

    system: str
    value: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One message inside what a sender posted (a batch has several), after a door's cheap look.

    `control_id` is the sender's own number of the message (MSH-10, MessageHeader.id) where the format has one.
    `person` gives the lane; None puts the message on the lane of its feed connection.
    """

    body: bytes
    person: PersonKey | None = None
    control_id: str | None = None


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One message as received: what stands on `raw.<feed>`, and all that translation may look at.

    `received_at` is the door's clock, kept with the record so that a replay sees the same moment.
    """

    feed: str
    receipt: str
    body: bytes
    content_type: str
    lane: Lane
    received_at: dt.datetime
    control_id: str | None = None
    sender: str = ""
    batch: str = ""
    traceparent: str = ""

    def to_record(self, topic: str) -> Record:
        """Pack for the backbone: CloudEvents binary mode, the body untouched as the value."""
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.receipt.encode()),
            ("ce_source", f"/feeds/{self.feed}".encode()),
            ("ce_type", b"dk.sundbro.raw.v1"),
            ("ce_time", self.received_at.isoformat().encode()),
            ("content-type", self.content_type.encode()),
            ("feed", self.feed.encode()),
        ]
        headers += [
            (name, value.encode())
            for name, value in (
                ("msgid", self.control_id or ""),
                ("sender", self.sender),
                ("batch", self.batch),
                ("traceparent", self.traceparent),
            )
            if value
        ]
        return Record(
            topic=topic,
            key=self.lane.encode(),
            value=self.body,
            headers=tuple(headers),
            timestamp_ms=int(self.received_at.timestamp() * 1000),
        )

    @classmethod
    def from_record(cls, record: Record) -> RawMessage:
        """Unpack what `to_record` packed. Raises KeyError when a header is missing: not one of our records."""
        headers = {name: value.decode() for name, value in record.headers}
        return cls(
            feed=headers["feed"],
            receipt=headers["ce_id"],
            body=record.value,
            content_type=headers["content-type"],
            lane=Lane(record.key.decode()),
            received_at=dt.datetime.fromisoformat(headers["ce_time"]),
            control_id=headers.get("msgid"),
            sender=headers.get("sender", ""),
            batch=headers.get("batch", ""),
            traceparent=headers.get("traceparent", ""),
        )

    def digest(self) -> bytes:
        """Return SHA-256 of the body, 32 bytes."""
        return hashlib.sha256(self.body).digest()


class Mode(enum.Enum):
    """How a change meets what the store already has under the same type and id.

    All three converge: whatever order changes arrive in, the same set of changes ends in the same content, decided
    element by element or whole by (rank of the mode, event time).
    """

    PUT = "put"
    """The message holds the whole resource: it replaces an older one whole. A later event is never overwritten."""
    MERGE = "merge"
    """The message holds what its sender knows: each top-level element present replaces the stored one, each name in
    `clear` removes it, others stay. `identifier` is a union; `Encounter.location` keeps history."""
    ENSURE = "ensure"
    """The message only mentions the resource: fills elements that nobody has stated with MERGE."""


@dataclass(slots=True)
class Change:
    """One resource that a message makes or changes. `resource` has its final `id`; no versionId, no lastUpdated."""

    resource: Resource
    mode: Mode = Mode.PUT
    lane: Lane | None = None
    """The person's lane, or None for what belongs to nobody (Organization, Practitioner, Location, Device)."""
    event_time: dt.datetime | None = None
    """When it happened, by the sender's clock, timezone-aware; None means the time of reception."""
    clear: tuple[str, ...] = ()
    """Top-level elements that the sender declared null (HL7 v2 `""`); only with MERGE."""
    weak: tuple[str, ...] = ()
    """Top-level elements that the message does not state, and holds only because the resource needs them: with MERGE
    these alone count as ENSURE (Encounter.status of an A08 must not reopen a discharged visit)."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something odd that did not stop the message (`charset-fallback`, `late`, `clock-corrected`); counted by code."""

    code: str
    at: str = ""
    text: str = ""


@dataclass(slots=True)
class Translation:
    """What an adapter makes of one message.

    `changes` empty and `reasons` not: rejected whole. Both: readings that stand on their own, some of them rejected.
    `letter` names the message for duplicate detection within its feed (two records with the same letter are one
    message); None means the SHA-256 of the body, beside `control_id` when there is one. `envelope` is MedCom's
    Bundle.id. `reply` is a message to send back to the sender (MedCom acknowledgement), as bytes; `reply_reused` is
    the one to send when the envelope turns out to be known around another letter.
    """

    changes: list[Change] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    letter: str | None = None
    envelope: str | None = None
    message_type: str = ""
    """For telling and provenance: `ADT^A01`, `hospital-notification-message`, `kih/blood_pressure`."""
    reply: bytes | None = None
    reply_reused: bytes | None = None
    reply_content_type: str = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class Feed:
    """One sender using one format: a TOML file (docs/reference/feeds.md).

    `systems` maps a sender's own names (assigning authorities, code systems) to URIs; `options` holds what only this
    format reads.
    """

    name: str
    format: str
    title: str = ""
    organisation: str = ""
    organisation_sor: str = ""
    charset: str = "utf-8"
    timezone: str = "Europe/Copenhagen"
    content_types: tuple[str, ...] = ()
    doors: tuple[str, ...] = ("http",)
    systems: Mapping[str, str] = field(default_factory=dict)
    message_bytes_max: int = 10 * 1024 * 1024
    rejection_share_max: float = 0.5
    """The feed stops when more than this share of the last `rejection_window` messages was rejected."""
    rejection_window: int = 200
    accept_test_messages: bool = False
    mutual_tls: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    samples: str = ""


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One line of lineage: a resource's element, the rule that made it, its official row, the source field.

    Example: `Observation/x`, `valueQuantity.value`, `obx-5-nm`, `v2-to-fhir segments/OBX--Observation.csv OBX-5.1`,
    `OBX[3]-5`.
    """

    resource: str
    element: str
    rule: str
    official: str
    source: str


class Trace:
    """Collects lineage while a message is translated again on demand. Translation passes None when nobody asks."""

    def __init__(self) -> None:
        self.steps: list[TraceStep] = []

    def add(self, resource: str, element: str, *, rule: str, official: str = "", source: str = "") -> None:
        """Note that `element` of `resource` ("Type/id") was made by `rule` from `source`."""
        self.steps.append(TraceStep(resource, element, rule, official, source))

    def of(self, resource: str) -> Iterator[TraceStep]:
        """Yield the steps that made `resource` ("Type/id"), in the order they happened."""
        return (step for step in self.steps if step.resource == resource)


def reasons_json(reasons: Sequence[Reason]) -> list[dict[str, str]]:
    """Return reasons as the JSON list that receipts, tables and the command line show."""
    return [reason.as_json() for reason in reasons]
