"""create: a new resource under an id of the server's making; with If-None-Exist only if there is none (FHIR R4 http)."""

from __future__ import annotations

from gateway import access
from gateway.access import Actor, Create
from gateway.clock import Clock
from gateway.serve import conditional, prefer
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.perform import Performer
from gateway.serve.sent import nothing_more, resource_of
from gateway.serve.step import Method, Step


class CreateHandler:
    """Answers creations. `base` is the address of the API, without a slash at its end."""

    def __init__(self, perform: Performer, base: str, clock: Clock) -> None:
        self._perform = perform
        self._base = base
        self._clock = clock

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Create, 201; or find, 200."""
        kind = asking.matched.type
        access.decide(actor, Create(kind))
        nothing_more(asking)
        question = conditional.exists(kind, asking.condition(b"if-none-exist"), now=self._clock.now(), base=self._base)
        step = Step(Method.POST, kind, question=question, resource=resource_of(asking))
        (done,) = await self._perform(actor, [step])
        return prefer.answer(done, asking, self._base)
