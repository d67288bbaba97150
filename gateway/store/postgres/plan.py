"""What a batch will do, decided in memory: given what is stored, which versions, messages and outbox rows come of it.

Pure: no I/O, and the same whether it runs once or again after a conflict. Messages are taken in their order; several
may write the same resource, and each that changes it makes a version.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from gateway.fhir import body as bodies
from gateway.fhir.merge import put_state
from gateway.formats import json
from gateway.model import Change, Lane, Mode, Reason, RejectionCode, Resource, reasons_json
from gateway.search.query import Index
from gateway.store.port import AppliedMessage, MessageState, MessageWrite, Write
from gateway.store.postgres.inbox import Inbox, Known, Marks, Verdict
from gateway.store.postgres.rows import TOMBSTONE, Precedence, Row, line_of

MESSAGE_COLUMNS = (
    "seq", "received", "stored", "at_offset", "duplicate_of", "part", "first", "feed", "receipt", "state", "letter",
    "envelope", "control", "topic", "type", "sender", "lane", "mapping", "traceparent", "provenance", "made", "reasons",
    "reply", "reply_type",
)  # fmt: skip
OUTBOX_COLUMNS = ("seq", "message", "part", "version", "type", "id")

State = dict[str, list[Any]]
Mention = tuple[int, str, bytes, dt.date, bytes, str | None]
"""A mention that says nothing new: type, id, its digest, its day, and the digest and state of the content that it met.
Not the version: one that was planned and came to nothing may have had another content under the same number."""
Extract = Callable[[Resource], Index]

_REUSED = Reason(
    RejectionCode.ENVELOPE_REUSED, "Bundle.id", "this envelope has been used before, around another message"
)


class Merge(Protocol):
    """`fhir.merge.merge`: returns the content, who stated it, and whether the change was older than all it met."""

    def __call__(
        self, stored: Resource | None, state: State | None, change: Change, *, feed: str, received_at: dt.datetime
    ) -> tuple[Resource, State, bool]:
        """Let `change` meet what is stored."""
        ...


class Outgoing(NamedTuple):
    """An outbox row before it has a number. `key` decides its partition; version 0 is the reply of the message."""

    key: str
    type: int
    id: str
    version: int
    message: int


@dataclass(slots=True)
class Tally:
    """What to add to a feed's counts."""

    stored: int = 0
    rejected: int = 0
    duplicate: int = 0

    def add(self, state: MessageState, number: int) -> None:
        """Count `number` messages of a state."""
        setattr(self, state.value, getattr(self, state.value) + number)


@dataclass(slots=True)
class Plan:
    """The effect of one transaction. `add` every message, then read the lists."""

    inbox: Inbox
    rows: dict[tuple[int, str], Row]
    types: Mapping[str, int]
    sequence: Iterator[int]
    merge: Merge
    extract: Extract
    mentions: set[Mention]
    """Mentions already found to say nothing new, kept from batch to batch: the same bytes name the same hospital,
    ward and physician in every message."""
    now: dt.datetime
    messages: list[tuple[Any, ...]] = field(default_factory=list)
    retold: list[tuple[Any, ...]] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    tallies: dict[tuple[str, int], Tally] = field(default_factory=dict)

    def add(self, message: MessageWrite) -> AppliedMessage | None:
        """Plan one message; None when the very same record has been applied before."""
        marks = Marks.of(message)
        verdict, known = self.inbox.judge(message, marks)
        if verdict is Verdict.APPLIED:
            return None
        if verdict is Verdict.ECHO:
            self._count(message, MessageState.DUPLICATE)
            return AppliedMessage(message.receipt, MessageState.DUPLICATE)
        if verdict is Verdict.DUPLICATE:
            assert known is not None
            return self._duplicate(message, marks, known)
        if verdict is Verdict.REUSED:
            return self._reused(message, marks)
        if verdict is Verdict.REPLAY:
            assert known is not None
            return self._replay(message, known)
        return self._new(message, marks)

    def _new(self, message: MessageWrite, marks: Marks) -> AppliedMessage:
        state = MessageState.REJECTED if message.reasons and not message.writes else MessageState.STORED
        seq = self._enter(message, marks, state, first=True, reply=message.reply, reasons=message.reasons)
        applied = self._write_all(message, seq, state, reused=self.inbox.control_reused(marks))
        if message.reply is not None:
            self._send_reply(message, seq)
        return applied

    def _duplicate(self, message: MessageWrite, marks: Marks, first: Known) -> AppliedMessage:
        seq = self._enter(message, marks, MessageState.DUPLICATE, first=False, duplicate_of=first.seq)
        if first.answered:  # the answer may have been lost: say the same again
            self._send_reply(message, seq)
        return AppliedMessage(message.receipt, MessageState.DUPLICATE)

    def _reused(self, message: MessageWrite, marks: Marks) -> AppliedMessage:
        reasons = [*message.reasons, _REUSED]
        seq = self._enter(
            message, marks, MessageState.REJECTED, first=False, reply=message.reply_reused, reasons=reasons
        )
        if message.reply_reused is not None:
            self._send_reply(message, seq)
        return AppliedMessage(
            message.receipt, MessageState.REJECTED, control_id_reused=self.inbox.control_reused(marks)
        )

    def _replay(self, message: MessageWrite, known: Known) -> AppliedMessage:
        if not known.first:  # its first arrival is what counts, in a replay too
            return AppliedMessage(message.receipt, known.state)
        state = MessageState.REJECTED if message.reasons and not _made(message) else MessageState.STORED
        if state is not known.state:
            self._count(message, known.state, -1)
            self._count(message, state)
            known.state = state
        made, reasons = _made(message), _reasons(message.reasons)
        told = (_text(message.message_type), message.mapping, message.provenance, made, reasons)
        self.retold.append((known.seq, state.value, self.now, *told))
        return self._write_all(message, known.seq, state, reused=False)

    def _enter(
        self,
        message: MessageWrite,
        marks: Marks,
        state: MessageState,
        *,
        first: bool,
        duplicate_of: int | None = None,
        reply: bytes | None = None,
        reasons: list[Reason] | None = None,
    ) -> int:
        seq, source = next(self.sequence), message.source
        self.messages.append((
            seq, message.received_at, self.now, source.offset, duplicate_of, source.partition, first, message.feed,
            message.receipt, state.value, marks.letter, marks.envelope, marks.control, source.topic,
            _text(message.message_type), _text(message.sender), message.lane, message.mapping,
            _text(message.traceparent), message.provenance if first else "", _made(message) if first else [],
            _reasons(reasons or []), reply, message.reply_content_type if reply is not None else "",
        ))  # fmt: skip
        place = (source.topic, source.partition, source.offset)
        known = Known(seq, message.receipt, state, first, place, reply is not None)
        # Control ids are judged before the message itself is entered: it is not its own reuse.
        self.inbox.enter(message, marks, known)
        self._count(message, state)
        return seq

    def _count(self, message: MessageWrite, state: MessageState, number: int = 1) -> None:
        self.tallies.setdefault((message.feed, message.source.partition), Tally()).add(state, number)

    def _send_reply(self, message: MessageWrite, seq: int) -> None:
        self.outgoing.append(Outgoing(message.lane or message.feed, 0, "", 0, seq))

    def _write_all(self, message: MessageWrite, seq: int, state: MessageState, *, reused: bool) -> AppliedMessage:
        versions: list[tuple[str, str, int]] = []
        unchanged = late = 0
        line = line_of(message.feed, message.lane)
        precedence = Precedence(message.received_at, message.received_at, line)
        for write in message.writes:
            key = (self.types[write.type], write.id)
            row = self.rows.get(key)
            if row is None:
                row = self.rows[key] = Row(key[0], write.id)
            before = row.version
            if write.event_time is not precedence.event:
                precedence = Precedence(write.event_time, message.received_at, line)
            if self._write(row, write, precedence, message, seq):
                late += 1
            if row.version > before:
                versions.append((write.type, write.id, row.version))
                self.outgoing.append(Outgoing(row.lane or f"{write.type}/{write.id}", *key, row.version, seq))
            else:
                unchanged += 1
        return AppliedMessage(message.receipt, state, tuple(versions), unchanged, late, reused)

    def _write(self, row: Row, write: Write, precedence: Precedence, message: MessageWrite, seq: int) -> bool:
        """Let one write meet its row; return whether it came late."""
        if write.expect is not None:
            return self._rewrite(row, write, precedence, seq)
        if (row.state is not None or write.mode is not Mode.PUT) and not write.deleted:
            return self._merge(row, write, precedence, message, seq)
        if row.precedence is not None and precedence < row.precedence:
            return True
        digest = TOMBSTONE if write.deleted else write.digest
        moved = row.precedence != precedence
        row.precedence = precedence
        if digest == row.digest:
            row.noted = row.noted or moved
            return False
        row.state = row.resource = None
        row.feed = message.feed
        body = b"" if write.deleted else write.body
        row.next_version(body=body, digest=digest, lane=write.lane, index=write.index, message=seq, now=self.now)
        return False

    def _rewrite(self, row: Row, write: Write, precedence: Precedence, seq: int) -> bool:
        """Write what a replay says, whole, unless the row has moved since the replay looked at it."""
        if row.version != write.expect:
            return True
        digest = TOMBSTONE if write.deleted else write.digest
        row.precedence = precedence if row.precedence is None else max(row.precedence, precedence)
        row.state, row.resource = write.state, None
        body = b"" if write.deleted else write.body
        row.next_version(body=body, digest=digest, lane=write.lane, index=write.index, message=seq, now=self.now)
        return False

    def _merge(self, row: Row, write: Write, precedence: Precedence, message: MessageWrite, seq: int) -> bool:
        if row.deleted and row.precedence is not None and precedence < row.precedence:
            return True
        mention: Mention | None = None
        if write.mode is Mode.ENSURE:  # counts by its day (fhir.merge), so that most of a day's mentions are equal
            day = write.event_time.astimezone(dt.UTC).date()
            mention = (row.type, row.id, write.digest, day, row.digest, row.state)
            if mention in self.mentions:
                return False
        stored, known = self._known(row)
        lane = Lane(write.lane) if write.lane else None
        said = write.resource if write.resource is not None else json.loads(write.body)
        change = Change(said, write.mode, lane, write.event_time, write.clear, write.weak)
        resource, state, late = self.merge(stored, known, change, feed=message.feed, received_at=message.received_at)
        # What was PUT gets its state written down the first time.
        if resource is stored and state is known and row.state is not None:
            if mention is not None:
                self.mentions.add(mention)
            return late
        written = json.dumps(state).decode()
        row.noted = row.noted or written != row.state
        row.state, row.resource = written, resource
        body = bodies.prepare(resource)
        digest = bodies.content_digest(body)
        if digest != row.digest:
            row.precedence = precedence if row.precedence is None else max(row.precedence, precedence)
            index = self.extract(resource)
            row.next_version(body=body, digest=digest, lane=write.lane, index=index, message=seq, now=self.now)
        return late

    def _known(self, row: Row) -> tuple[Resource | None, State | None]:
        """Return the content to merge into and who stated it."""
        if row.deleted or not row.version:
            return None, None
        content = row.resource or _content(row)
        if row.state is not None:
            return content, json.loads(row.state.encode())
        assert row.precedence is not None
        return content, put_state(row.precedence.event, row.precedence.received, row.feed)


def _content(row: Row) -> Resource:
    assert row.body is not None
    resource: Resource = json.loads(row.body)
    for name in ("versionId", "lastUpdated"):
        resource["meta"].pop(name, None)
    return resource


def _made(message: MessageWrite) -> list[str]:
    if message.made is not None:
        return list(message.made)
    return list(dict.fromkeys(f"{w.type}/{w.id}" for w in message.writes if w.id != message.provenance))


def _reasons(reasons: list[Reason]) -> str | None:
    return json.dumps(reasons_json(reasons)).decode() if reasons else None


def _text(value: str) -> str:
    # What a sender wrote may hold what PostgreSQL's text cannot: NUL, half a surrogate pair.
    return value if value.isprintable() else value.encode("utf-8", "replace").decode().replace("\0", "?")
