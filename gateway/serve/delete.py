"""delete: a resource's next version says that it is gone (FHIR R4 http#delete); also where a search says which, one alone.

What is not there is deleted already: 204. References to what is deleted stay as they are: the gateway does not enforce
referential integrity, as what it holds is shared by senders that do not know of one another.
"""

from __future__ import annotations

from gateway import access
from gateway.access import Actor, Delete
from gateway.clock import Clock
from gateway.serve import prefer
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.perform import Performer
from gateway.serve.sent import aimed
from gateway.serve.step import Method


class DeleteHandler:
    """Answers `DELETE Type/id` and `DELETE Type?…`. `base` is the address of the API, without a slash at its end."""

    def __init__(self, perform: Performer, base: str, clock: Clock) -> None:
        self._perform = perform
        self._base = base
        self._clock = clock

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Delete, 204."""
        matched = asking.matched
        access.decide(actor, Delete(matched.type, matched.id))
        step = aimed(asking, Method.DELETE, now=self._clock.now(), base=self._base)
        (done,) = await self._perform(actor, [step])
        return prefer.answer(done, asking, self._base)
