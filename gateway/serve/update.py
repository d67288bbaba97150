"""update: a resource written whole, created where there is none; also where a search says which (FHIR R4 http).

Ids are the client's to choose (update as create). What the resource had and the body has not is gone, tags and security
labels included; meta.versionId and meta.lastUpdated are the server's.
"""

from __future__ import annotations

from gateway import access, errors
from gateway.access import Actor, Update
from gateway.clock import Clock
from gateway.serve import conditional, prefer
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.perform import Performer
from gateway.serve.sent import aimed, resource_of, same_id
from gateway.serve.step import Method


class UpdateHandler:
    """Answers `PUT Type/id` and `PUT Type?…`. `base` is the address of the API, without a slash at its end."""

    def __init__(self, perform: Performer, base: str, clock: Clock) -> None:
        self._perform = perform
        self._base = base
        self._clock = clock

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Replace, 200; or create, 201."""
        matched = asking.matched
        access.decide(actor, Update(matched.type, matched.id))
        step = aimed(asking, Method.PUT, now=self._clock.now(), base=self._base)
        step.fresh = conditional.fresh(asking.condition(b"if-none-match"))
        if step.tags and step.fresh:
            raise errors.Incorrect("If-Match and If-None-Match ask for the opposite", at="If-None-Match")
        step.resource = resource_of(asking)
        if matched.id:
            same_id(step.resource, matched.id, matched.type)
        else:
            step.own_id = str(step.resource.get("id", ""))
        (done,) = await self._perform(actor, [step])
        return prefer.answer(done, asking, self._base)
