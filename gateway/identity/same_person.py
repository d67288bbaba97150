"""Who asks, with all records that are his at this moment: what a log-in knows is one of them (`persons`).

A merge that a hospital sends, or takes back, holds for tokens that are out already: within as long as a token that was
revoked may still be taken (`oauth.acceptance.REMEMBERED`).
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from gateway.access import Actor, Kind
from gateway.clock import Clock
from gateway.identity.oauth.acceptance import REMEMBERED
from gateway.identity.persons import PersonIndex
from gateway.identity.principal import Principal

_REMEMBERED_MAX: Final = 4096


class Accepts(Protocol):
    """Says whom a request speaks for."""

    async def of_scope(self, scope: Mapping[str, Any], authorization: str | None) -> Principal:
        """Return whom an ASGI request speaks for. Raises NotAuthenticated (401)."""
        ...


class SamePerson:
    """An acceptance whose citizens have all their records."""

    def __init__(self, acceptance: Accepts, index: PersonIndex, clock: Clock) -> None:
        self._acceptance = acceptance
        self._index = index
        self._clock = clock
        self._remembered: OrderedDict[Actor, tuple[Actor, dt.datetime]] = OrderedDict()

    async def of_scope(self, scope: Mapping[str, Any], authorization: str | None) -> Principal:
        """Return whom an ASGI request speaks for. Raises NotAuthenticated (401), Unavailable."""
        principal = await self._acceptance.of_scope(scope, authorization)
        if principal.actor.kind is not Kind.CITIZEN:
            return principal
        return replace(principal, actor=await self._whole(principal.actor))

    async def _whole(self, actor: Actor) -> Actor:
        now = self._clock.now()
        known = self._remembered.get(actor)
        if known is not None and now < known[1]:
            return known[0]
        same = await self._index.person_of(actor.person)
        whole = replace(actor, records=tuple(sorted(same.all - {actor.person})))
        self._remembered[actor] = (whole, now + REMEMBERED)
        self._remembered.move_to_end(actor)
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return whole
