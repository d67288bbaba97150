"""$process-message (R4 messageheader-operation-process-message.html): a message Bundle, handed to the municipal feed's door.

The same intake as `POST /ingest/municipal`: the message is written down before it is understood, and its
acknowledgement is made by the feed's adapter. Not here: what a message means. The door is given from outside (`Deliver`),
because rooms do not know one another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gateway import errors
from gateway.access import Actor, NotPermitted, Why
from gateway.access.scopes import Letter
from gateway.formats import json
from gateway.model import Reason
from gateway.serve.answer import Answer, outcome
from gateway.serve.asking import Asking
from gateway.serve.operation import Field, Level, Operation
from gateway.serve.operations import inputs as reading

OPERATION: Final = Operation(
    code="process-message",
    definition="http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message",
    levels=frozenset({Level.SYSTEM}),
    letter=Letter.CREATE,
    text="Take a message in, and answer with its acknowledgement",
    methods=("POST",),
    fields=(
        Field("content", "Bundle", "The message; it may also be sent bare", minimum=1),
        Field("async", "boolean", "Do not wait: 202 as soon as the message is written down"),
    ),
)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a message at the door. `status` is the address that tells more, a path; '' when it was refused.

    `decided` says whether it was stored or rejected in time; `reply` is its acknowledgement in FHIR JSON.
    """

    status: str
    decided: bool = False
    reply: bytes | None = None
    reasons: tuple[Reason, ...] = ()


Deliver = Callable[[Actor, bytes, bool], Awaitable[Delivered]]
"""(who, the Bundle in JSON, whether to wait for the outcome) → what became of it. Raises what the door raises."""


class ProcessMessageHandler:
    """Answers $process-message. `feed` is whose scope (`ingest/<feed>`) it takes."""

    def __init__(self, deliver: Deliver, *, feed: str) -> None:
        self._deliver = deliver
        self._feed = feed

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with the acknowledgement (200), or with where to ask (202), or with why not (422)."""
        if self._feed not in actor.feeds:
            raise NotPermitted(f"no scope of this token opens ingest/{self._feed}", Why.NO_SCOPE)
        given = reading.read(OPERATION, asking)
        message = given.part("content") or {}
        if message.get("type") != "message":
            raise errors.Unprocessable("a message is a Bundle of type message", at="Bundle.type")
        delivered = await self._deliver(actor, json.dumps(message), not given.flag("async"))
        if delivered.reply is not None:
            return Answer(200, delivered.reply)
        headers = [(b"content-location", delivered.status.encode())] if delivered.status else []
        if delivered.reasons:
            texts = [f"{one.text} ({one.code.value}{' at ' + one.at if one.at else ''})" for one in delivered.reasons]
            return Answer(422, outcome("error", "processing", texts), headers)
        if delivered.decided:
            return Answer(200, outcome("information", "informational", ["the message was taken in"]), headers)
        waiting = ["the message is written down; ask at Content-Location what became of it"]
        return Answer(202, outcome("information", "informational", waiting), headers)
