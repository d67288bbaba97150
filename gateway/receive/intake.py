"""What all doors share: bytes of a feed → messages with lane and receipt → durable records on `raw.<feed>`.

Accepted means written down, **not** understood: a door refuses only what is not the feed's format at all, or is over a
limit. Everything else is the translators' to judge, and the receipt tells what they said.

The two halves are apart because order matters: `prepare` cuts and looks, and a connection calls it message by message;
`append` waits for durability, and many may wait at once: the backbone puts them into one commit and keeps their order.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway import errors
from gateway.backbone.port import Backbone
from gateway.clock import Clock
from gateway.fhir.ids import Ids
from gateway.model import Feed, Piece, RawMessage, Reason, Record, RejectionCode
from gateway.observe import events, traces
from gateway.receive.inflight import Hold, Inflight
from gateway.receive.receipts import Receipt, Receipts
from gateway.settings import Settings

Split = Callable[[bytes, str, Feed], list[Piece]]
"""An adapter's `split` (adapters/README.md)."""

Posted = Callable[[str, str, str, Sequence[str]], Awaitable[None]]
"""Has it on record who posted to which feed, through which door: (feed, door, sender, receipts). Raises Unavailable."""

BATCH_MESSAGES_MAX: Final = 50_000
"""Messages in one body. A body of 16 MiB of real readings has fewer; one of empty objects would have millions."""
TURN_MESSAGES: Final = 64
"""So many messages of a batch are cut and packed in one turn of the loop: other senders wait some milliseconds."""

LINES: Final[Mapping[str, str]] = {
    "application/x-ndjson": "application/json",
    "application/ndjson": "application/json",
    "application/fhir+ndjson": "application/fhir+json",
}
"""Content types of newline-delimited batches, and the content type that each line then has."""


@dataclass(frozen=True, slots=True)
class Inlet:
    """A feed and the look that its format takes at raw bytes."""

    feed: Feed
    split: Split


@dataclass(frozen=True, slots=True)
class Limits:
    """What the doors keep to."""

    ack_seconds_max: float = 20.0
    messages_max: int = 2000
    bytes_max: int = 128 << 20
    trace_ratio: float = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Take them from the settings."""
        return cls(settings.ack_seconds_max, settings.inflight_max, settings.inflight_bytes_max, settings.trace_ratio)


Part = tuple[str, bytes]
"""One part of what a sender posted and what to call it in a reason (`line 3`, `message 2`); '' when it is the whole."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Messages ready for the log, and a receipt or a refusal for each message that was sent, in the sender's order."""

    feed: str
    traceparent: str
    since: float
    """When the last byte had come, by the loop's clock in seconds."""
    records: list[Record] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    """For each receipt, the number of the part it came from, from 0."""
    sender: str = ""


class Intake:
    """The doors' way to the log. One per process; safe for any number of concurrent callers of one event loop."""

    def __init__(
        self,
        inlets: Iterable[Inlet],
        *,
        backbone: Backbone,
        ids: Ids,
        receipts: Receipts,
        clock: Clock,
        tell: events.Tell,
        limits: Limits,
        posted: Posted | None = None,
    ) -> None:
        self._inlets = {inlet.feed.name: inlet for inlet in inlets}
        self._backbone = backbone
        self._ids = ids
        self._receipts = receipts
        self._clock = clock
        self._limits = limits
        self._posted = posted
        self.tell = tell
        self.inflight = Inflight(limits.messages_max, limits.bytes_max)

    def feeds(self, door: str) -> list[Feed]:
        """Return the feeds that a door may take, in the order given at start."""
        return [inlet.feed for inlet in self._inlets.values() if door in inlet.feed.doors]

    def feed(self, name: str, door: str) -> Feed:
        """Return a feed. Raises errors.NotFound when there is none of that name at this door."""
        inlet = self._inlets.get(name)
        if inlet is None or door not in inlet.feed.doors:
            raise errors.NotFound("there is no such feed at this door")
        return inlet.feed

    def now(self) -> dt.datetime:
        """Return the doors' time."""
        return self._clock.now()

    async def take(
        self,
        feed_name: str,
        body: bytes,
        content_type: str,
        *,
        door: str,
        sender: str,
        traceparent: str = "",
        hold: Hold | None = None,
    ) -> list[Receipt]:
        """Write every message of a body down; return a receipt or a refusal for each, in the body's order.

        `content_type` is the bare media type in lower case. `sender` names the connection where a message has no person
        (its lane). `hold` is what the caller counted for the body already. All messages of a body stand in one append:
        when this returns they are durable. Raises errors.Unprocessable (nothing in it is this format),
        errors.TooLarge, errors.Busy (nothing was done), errors.Unavailable (durability not confirmed: what was sent may
        or may not be in the log; to send it again is safe, the store drops duplicates).
        """
        with self.inflight.hold() if hold is None else hold as held:
            if hold is None:
                held.add(size=len(body))
            parts: Sequence[Part] = [("", body)]
            if content_type in LINES:
                parts, content_type = lines(body), LINES[content_type]
            prepared = await self.prepare(feed_name, parts, content_type, sender=sender, traceparent=traceparent)
            held.add(messages=len(prepared.records))
            return await self.append(prepared, door=door)

    async def prepare(
        self, feed_name: str, parts: Sequence[Part], content_type: str, *, sender: str, traceparent: str = ""
    ) -> Prepared:
        """Cut parts into messages and pack them; nothing is written.

        A single part that cannot be taken raises what `take` raises for content. Of several, each is judged by itself:
        one that cannot be taken gets its reasons, the others are taken all the same.
        """
        inlet = self._inlets.get(feed_name)
        if inlet is None:
            raise errors.NotFound("there is no such feed")
        prepared = Prepared(
            feed_name,
            traces.traceparent(traceparent, self._limits.trace_ratio),
            asyncio.get_running_loop().time(),
            sender=sender,
        )
        received_at = self._clock.now()
        batch = self._receipts.new(feed_name, received_at) if len(parts) > 1 else ""
        for number, (name, body) in enumerate(parts):
            try:
                pieces = _cut(inlet, body, content_type)
            except errors.Refused as error:
                if len(parts) == 1:
                    raise
                prepared.receipts.append(Receipt("", (reason(error, name),)))
                prepared.parts.append(number)
                continue
            if len(pieces) > 1 and not batch:
                batch = self._receipts.new(feed_name, received_at)
            for piece in pieces:
                receipt = self._receipts.new(feed_name, received_at)
                raw = RawMessage(
                    feed=feed_name,
                    receipt=receipt,
                    body=piece.body,
                    content_type=content_type,
                    lane=self._ids.lane(piece.person) if piece.person else self._ids.feed_lane(feed_name, sender),
                    received_at=received_at,
                    control_id=piece.control_id,
                    sender=sender,
                    batch=batch,
                    traceparent=prepared.traceparent,
                )
                prepared.records.append(raw.to_record(f"raw.{feed_name}"))
                prepared.receipts.append(Receipt(receipt))
                prepared.parts.append(number)
                if len(prepared.records) % TURN_MESSAGES == 0:
                    await asyncio.sleep(0)
        return prepared

    async def append(self, prepared: Prepared, *, door: str) -> list[Receipt]:
        """Make prepared messages durable. The first step is the backbone's `append`, so that calls keep their order."""
        if prepared.records:
            noting: asyncio.Task[None] | None = None
            if self._posted is not None:
                noting = asyncio.create_task(self._noted(prepared, door))
                noting.add_done_callback(lambda task: task.cancelled() or task.exception())  # when the log failed first
            try:
                async with asyncio.timeout(self._limits.ack_seconds_max):
                    await self._backbone.append(prepared.records)
                    if noting is not None:
                        await noting
            except TimeoutError:
                raise errors.Unavailable(
                    f"the log did not confirm within {self._limits.ack_seconds_max:g} s; send again"
                ) from None
        seconds = asyncio.get_running_loop().time() - prepared.since
        records = iter(prepared.records)
        for receipt in prepared.receipts:
            if receipt.refused:
                self.refused(prepared.feed, door, str(errors.Unprocessable.status))
                continue
            size = len(next(records).value)
            self.tell(events.MessageReceived(prepared.feed, door, receipt.receipt, size, seconds, prepared.traceparent))
        return prepared.receipts

    async def _noted(self, prepared: Prepared, door: str) -> None:
        """Have it on record that messages were posted: with the wait for the log, not after it."""
        assert self._posted is not None
        receipts = [receipt.receipt for receipt in prepared.receipts if not receipt.refused]
        await self._posted(prepared.feed, door, prepared.sender, receipts)

    def refused(self, feed: str, door: str, code: str) -> None:
        """Announce that a door did not take a message, and told its sender so."""
        self.tell(events.MessageRefused(feed, door, code))

    def fault(self, error: BaseException) -> None:
        """Announce a fault of ours that one message brought to light: the door goes on for the others."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        self.tell(events.RoleCrashed("receive", f"{type(error).__name__} at {place.name}:{place.lineno}"))


def _cut(inlet: Inlet, body: bytes, content_type: str) -> list[Piece]:
    """Return the messages of a body, at least one. Raises errors.Unprocessable, errors.TooLarge."""
    pieces = inlet.split(body, content_type, inlet.feed)
    if not pieces:
        raise errors.Unprocessable("there is no message in this body")
    if len(pieces) > BATCH_MESSAGES_MAX:
        raise errors.TooLarge(f"more than {BATCH_MESSAGES_MAX} messages in one body: send several")
    limit = inlet.feed.message_bytes_max
    if max(len(piece.body) for piece in pieces) > limit:
        raise errors.TooLarge(f"a message is larger than the {limit} bytes that this feed takes")
    return pieces


def media_types(feed: Feed) -> list[str]:
    """Return the content types that a feed takes: its own, and lines of JSON where it takes JSON."""
    of_lines = [kind for kind, of_line in LINES.items() if of_line in feed.content_types]
    return list(dict.fromkeys((*feed.content_types, *of_lines)))


def lines(body: bytes) -> list[Part]:
    """Cut newline-delimited JSON into its lines; blank ones are passed over, and counted in the names of the others.

    RFC 8259 §8.1 lets a reader ignore a byte order mark; a line ends with LF, and CR before it is white space. Raises
    errors.Unprocessable when there is no line, errors.TooLarge when there are too many.
    """
    if body.count(b"\n") > BATCH_MESSAGES_MAX:
        raise errors.TooLarge(f"more than {BATCH_MESSAGES_MAX} lines in one body: send several")
    stripped = (line.strip(b" \t\r") for line in body.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    parts = [(f"line {number}", line) for number, line in enumerate(stripped, 1) if line]
    if not parts:
        raise errors.Unprocessable("there is no message in this body")
    return parts


def reason(error: errors.Refused, part: str = "") -> Reason:
    """Say a refusal as a Reason: its own code when the format gave it one, `too-large`, else `malformed`."""
    own = getattr(error, "code", None)
    if not isinstance(own, RejectionCode):
        own = RejectionCode.TOO_LARGE if isinstance(error, errors.TooLarge) else RejectionCode.MALFORMED
    return Reason(own, ": ".join(filter(None, (part, error.at))), error.text)
