"""patch: some elements of a resource changed, by JSON Patch or FHIRPath Patch (FHIR R4 http#patch).

It rests on the version it was made for: when that moves on meanwhile, the patch is applied anew, unless If-Match says
otherwise. XML Patch is refused with 415.
"""

from __future__ import annotations

from typing import Final

from gateway import access
from gateway.access import Actor
from gateway.clock import Clock
from gateway.fhir import patch as json_patch
from gateway.fhir import path_patch
from gateway.serve import prefer
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.perform import Performer
from gateway.serve.sent import aimed
from gateway.serve.step import Method, Patch

JSON_PATCH: Final = "application/json-patch+json"


class PatchHandler:
    """Answers `PATCH Type/id` and `PATCH Type?…`. `base` is the address of the API, without a slash at its end."""

    def __init__(self, perform: Performer, base: str, clock: Clock) -> None:
        self._perform = perform
        self._base = base
        self._clock = clock

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Patch, 200."""
        matched = asking.matched
        access.decide(actor, access.Patch(matched.type, matched.id))
        step = aimed(asking, Method.PATCH, now=self._clock.now(), base=self._base)
        step.patch = _patch_of(asking)
        (done,) = await self._perform(actor, [step])
        return prefer.answer(done, asking, self._base)


def _patch_of(asking: Asking) -> Patch:
    kind = asking.header(b"content-type").partition(";")[0].strip().lower()
    return json_patch.read(asking.body) if kind == JSON_PATCH else path_patch.read(asking.resource())
