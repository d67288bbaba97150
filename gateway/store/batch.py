"""What a feed's batch is to the store: messages with their writes, reading positions, and what became of them.

The values of `Store.apply`, which `port` names again; not the promise itself.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field

from gateway.model import Mode, Position, Reason, Resource
from gateway.search.query import Index


class MessageState(enum.StrEnum):
    """What became of a message. WAITING is never stored: it is what a receipt without a row means."""

    WAITING = "waiting"
    STORED = "stored"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"


@dataclass(slots=True)
class Write:
    """One resource, validated and serialised, on its way into the store.

    `body` is `fhir.body.prepare` bytes (no versionId, no lastUpdated); `digest` is `fhir.body.content_digest` of it.
    """

    type: str
    id: str
    mode: Mode
    body: bytes
    digest: bytes
    event_time: dt.datetime
    lane: str = ""
    """The lane of the person it is about; '' for what belongs to nobody, published under its own type/id."""
    clear: tuple[str, ...] = ()
    index: Index = field(default_factory=Index)
    """Of a PUT, or where `expect` is given; the store indexes merged content by itself."""
    weak: tuple[str, ...] = ()  # of the Change
    expect: int | None = None
    """Only a replay gives it: written whole, as version `expect` + 1, if the store still holds version `expect` (0: has
    none); otherwise left alone. Times of events do not matter then."""
    state: str | None = None
    """Only a replay gives it: who stated which element, as `fhir.merge` keeps it, of a merged resource."""
    resource: Resource | None = None
    """What `body` holds, where the caller has it and it is to be merged: read again from the body otherwise."""
    deleted: bool = False
    """A deletion: the next version is a tombstone, unless something later is stored. mode is PUT, `body` is b''."""


@dataclass(slots=True)
class MessageWrite:
    """One message's whole effect. A rejected message has reasons and no writes.

    Duplicate rule (MedCom governance, duplicate table, HL7 v2 practice): a `letter` seen before in this feed makes the message a
    DUPLICATE of the first and its writes are dropped; a known `envelope` around a new letter makes it REJECTED with
    `envelope-reused`. The same `control_id` with another letter is a new message, counted as reused.
    """

    feed: str
    receipt: str
    source: Position
    received_at: dt.datetime
    letter: str
    message_type: str = ""
    envelope: str | None = None
    control_id: str | None = None
    sender: str = ""
    lane: str = ""
    mapping: str = ""  # the version of adapter and tables that translated it
    traceparent: str = ""
    reasons: list[Reason] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    provenance: str = ""  # id of the Provenance among `writes`; its targets are the message's resources
    reply: bytes | None = None
    reply_reused: bytes | None = None
    reply_content_type: str = ""
    replay: bool = False  # of a message that is in the inbox already: the duplicate rule does not apply
    made: tuple[str, ...] | None = None  # `Type/id` of all a replayed message makes, where it writes only what differs


@dataclass(frozen=True, slots=True)
class Advance:
    """The reading position that this batch moves, under the epoch its worker holds."""

    group: str
    topic: str
    partition: int
    from_offset: int
    next_offset: int
    epoch: int


@dataclass(slots=True)
class Batch:
    """What one transaction applies. Without `advances`: writes from the API or a replay."""

    messages: list[MessageWrite]
    advances: tuple[Advance, ...] = ()


@dataclass(frozen=True, slots=True)
class AppliedMessage:
    """What became of one message of a batch."""

    receipt: str
    state: MessageState
    versions: tuple[tuple[str, str, int], ...] = ()
    """(type, id, version) that this message made."""
    unchanged: int = 0  # writes whose content was already there: no new version
    late: int = 0  # writes older than what is stored: they filled gaps at most
    control_id_reused: bool = False


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch did. Messages below the stored position (a repeated batch) are left out, not doubled."""

    messages: tuple[AppliedMessage, ...]
    at: dt.datetime
