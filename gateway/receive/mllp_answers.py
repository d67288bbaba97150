"""From the payload of an MLLP block to the bytes that answer it. No socket here.

`Answers.begin` does what must be done in the order of the blocks (look, decide, prepare, wait for room) and gives back
a future; durability is awaited behind that future, so that the blocks of one connection, and of all others, share
commits.

Which answer (HL7 v2.9 §2.9): AA or CA when the message is durable, never before; AR or CR when it cannot be taken;
nothing (or AE, CE when the feed file says `options.ack_when_unavailable = "AE"`) when the log did not confirm. A batch
is answered by a batch, or with `options.mllp_batch_ack = "single"` by one answer: then it is taken whole or not at all.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from gateway import errors
from gateway.formats import er7, v2ack
from gateway.model import Feed
from gateway.receive import mllp_rules
from gateway.receive.inflight import Hold
from gateway.receive.intake import BATCH_MESSAGES_MAX, TURN_MESSAGES, Intake, Prepared
from gateway.receive.mllp_rules import Refusal, Routes
from gateway.store.port import MessageRow

DOOR: Final = "mllp"
CONTENT_TYPE: Final = "application/hl7-v2"
_COMMIT_BLOCKS: Final = (b"\x06", b"\x15")
_SENDER_LENGTH_MAX: Final = 200
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Later:
    """An application acknowledgement that its sender waits for: the message, and its receipt to ask the store with."""

    seen: er7.Peek
    receipt: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back for one block: a payload (b'' is nothing), and what to send when the store has decided."""

    payload: bytes = b""
    later: tuple[Later, ...] = ()


@dataclass(slots=True)
class _Message:
    """One message of a block, on its way to an answer."""

    seen: er7.Peek
    body: bytes
    feed: Feed | None
    refusal: Refusal | None
    receipt: str = ""


class Answers:
    """Makes the answers of one MLLP door."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        # MSH-10 has 20 characters before v2.7: 8 of this process, 12 that count.
        self._process = secrets.token_hex(4)
        self._count = itertools.count(1)

    async def begin(self, payload: bytes, routes: Routes, subject: Sequence[str] | None) -> asyncio.Future[Answer]:
        """Take one block as far as order demands; the future has its answer.

        The future raises errors.Unavailable when the block must stay unanswered.
        """
        if payload in _COMMIT_BLOCKS:
            return _ready(Answer())  # release 2's commit acknowledgement of an answer of ours
        try:
            bodies = er7.split_batch(payload)
            if len(bodies) > BATCH_MESSAGES_MAX:
                return _ready(
                    self.refuse(payload, Refusal("207", f"A batch of more than {BATCH_MESSAGES_MAX} messages."))
                )
            messages = [self._look(body, routes, subject) async for body in _unhurried(bodies)]
        except er7.Unreadable:
            return _ready(self.refuse(payload, mllp_rules.unreadable(payload)))
        batch = None if len(bodies) == 1 and bodies[0] is payload else er7.peek_batch(payload) or messages[0].seen
        hold = self._intake.inflight.hold()
        try:
            prepared = await self._prepare(messages)
            first = next((message.refusal for message in messages if message.refusal), None)
            if first and batch is not None and _single(messages):
                prepared = []  # one answer for all: all or nothing
                for message in messages:
                    message.refusal = first
            await hold.wait(messages=len(messages), size=len(payload))
        except BaseException:
            hold.release()
            raise
        return asyncio.ensure_future(self._finish(messages, prepared, hold, batch))

    def refuse(self, payload: bytes, refusal: Refusal) -> Answer:
        """Return the answer to a block that is no message we can read: `payload` is all of it, or its head."""
        self._intake.refused("", DOOR, refusal.error)
        try:
            return Answer(self._answer(er7.peek(payload), "R", refusal))
        except er7.Unreadable:
            return Answer(self._write(payload, "AR", refusal.error, refusal.text))

    def application(self, later: Later, row: MessageRow) -> bytes:
        """Return the application acknowledgement of a message that was dealt with; b'' when it was not asked for."""
        code, error, text = mllp_rules.application_verdict(row)
        return self._write(later.seen, code, error, text) if v2ack.wanted(later.seen, code) else b""

    def _look(self, body: bytes, routes: Routes, subject: Sequence[str] | None) -> _Message:
        seen = er7.peek(body)
        feed = routes.find(seen, subject)
        refusal = mllp_rules.UNKNOWN_FEED if feed is None else mllp_rules.refusal(seen, feed)
        return _Message(seen, body, feed, refusal)

    async def _prepare(self, messages: list[_Message]) -> list[tuple[list[_Message], Prepared]]:
        """Prepare what is not refused, feed by feed (a batch has one, as a rule)."""
        prepared: list[tuple[list[_Message], Prepared]] = []
        good = [message for message in messages if message.refusal is None and message.feed is not None]
        for name in dict.fromkeys(message.feed.name for message in good if message.feed):
            group = [message for message in good if message.feed and message.feed.name == name]
            parts = [(f"message {number}" if len(group) > 1 else "", m.body) for number, m in enumerate(group, 1)]
            try:
                made = await self._intake.prepare(name, parts, CONTENT_TYPE, sender=_sender(group[0].seen))
            except errors.Refused as error:
                group[0].refusal = Refusal("207" if isinstance(error, errors.TooLarge) else "100", error.text)
                continue
            for place, receipt in zip(made.parts, made.receipts, strict=True):
                if receipt.refused:
                    group[place].refusal = Refusal("100", receipt.reasons[0].text)
                else:
                    group[place].receipt = receipt.receipt
            prepared.append((group, made))
        return prepared

    async def _finish(
        self,
        messages: list[_Message],
        prepared: list[tuple[list[_Message], Prepared]],
        hold: Hold,
        batch: er7.Peek | None,
    ) -> Answer:
        with hold:
            for group, made in prepared:
                try:
                    await self._intake.append(made, door=DOOR)
                except errors.TooLarge as error:
                    for message in group:
                        message.refusal = Refusal("207", error.text)
                except errors.Unavailable as error:
                    for message in group:
                        self._intake.refused(_name(message.feed), DOOR, "207")
                    if group[0].feed is None or group[0].feed.options.get("ack_when_unavailable") != "AE":
                        raise
                    return await self._all(messages, "E", Refusal("207", error.text), batch)
        for message in messages:
            if message.refusal:
                self._intake.refused(_name(message.feed), DOOR, message.refusal.error)
        return await self._all(messages, "A", None, batch)

    async def _all(
        self, messages: list[_Message], verdict: str, failure: Refusal | None, batch: er7.Peek | None
    ) -> Answer:
        """Answer every message of a block: `verdict` A (unless it is refused) or E."""
        later = tuple(
            Later(message.seen, message.receipt)
            for message in messages
            if not message.refusal and not failure and v2ack.mode(message.seen) is v2ack.AckMode.BOTH
        )
        if batch is not None and _single(messages):
            refusal = failure or messages[0].refusal
            payload = self._answer(batch, verdict if failure or not refusal else "R", refusal)
            return Answer(payload, later)
        answers = [
            self._answer(message.seen, verdict if failure or not message.refusal else "R", failure or message.refusal)
            async for message in _unhurried(messages)
        ]
        if batch is None:
            return Answer(answers[0], later)
        wanted = [answer for answer in answers if answer]
        if not wanted:
            return Answer(b"", later)
        now = self._intake.now()
        return Answer(v2ack.acknowledge_batch(batch, wanted, now=now, control_id=self._control_id()), later)

    def _answer(self, seen: er7.Peek, verdict: str, refusal: Refusal | None) -> bytes:
        """Return A, E or R in the mode that the sender asked for; b'' when it wants no such answer."""
        if refusal is not None and refusal.error == mllp_rules.HEADER and seen.message_code not in {"ACK", "MCF"}:
            # What such a header says of acknowledgements is not to be believed either.
            return self._write(seen, "AR", refusal.error, refusal.text)
        mode = v2ack.mode(seen)
        # An acknowledgement is never acknowledged: two engines would go on for ever.
        if mode is v2ack.AckMode.NONE or seen.message_code in {"ACK", "MCF"}:
            return b""
        enhanced = mode is not v2ack.AckMode.ORIGINAL
        code = _CODES[("C" if enhanced else "A") + verdict]
        if not v2ack.wanted(seen, code):
            return b""
        return self._write(seen, code, refusal.error if refusal else "", refusal.text if refusal else "")

    def _write(self, seen: er7.Peek | bytes, code: v2ack.Code, error: str, text: str) -> bytes:
        return v2ack.acknowledge(
            seen, code, now=self._intake.now(), control_id=self._control_id(), error=error, text=text
        )

    def _control_id(self) -> str:
        return f"{self._process}{next(self._count):012d}"


_CODES: Final[dict[str, v2ack.Code]] = {"AA": "AA", "AE": "AE", "AR": "AR", "CA": "CA", "CE": "CE", "CR": "CR"}


def _single(messages: list[_Message]) -> bool:
    feed = messages[0].feed
    return feed is not None and feed.options.get("mllp_batch_ack") == "single"


def _name(feed: Feed | None) -> str:
    return feed.name if feed else ""


def _sender(seen: er7.Peek) -> str:
    """Name the sending system: what has no person keeps its order among what this system sent."""
    return b"|".join((seen.sending_application, seen.sending_facility)).decode("latin-1")[:_SENDER_LENGTH_MAX]


async def _unhurried(items: Sequence[T]) -> AsyncIterator[T]:
    """Yield the items; after some of them let others have the loop: a batch must not hold up every ACK."""
    for number, item in enumerate(items, 1):
        yield item
        if number % TURN_MESSAGES == 0:
            await asyncio.sleep(0)


def _ready(answer: Answer) -> asyncio.Future[Answer]:
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    future.set_result(answer)
    return future
