"""A request of the API → its audit record, durable before the answer leaves; else the answer is 503 and says nothing.

What changes something is written down twice: that it is about to be tried, because what is done must be on record even if
the process dies before it can say so, and how it ended. Addresses that are open to all, and those that nothing has, show
nobody's data and are not recorded.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from gateway import errors
from gateway.access import Actor
from gateway.audit import Entry, Event
from gateway.audit.ledger import Ledger
from gateway.audit.record import NOBODY, Who, who, without_numbers
from gateway.formats import json
from gateway.observe import events
from gateway.serve import answer as answers
from gateway.serve import seen as notes
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking, Scope
from gateway.serve.routes import WRITES, Interaction, Matched
from gateway.serve.seen import Seen

EVENTS: Final[Mapping[Interaction, Event]] = {
    Interaction.READ: Event.READ,
    Interaction.VREAD: Event.VREAD,
    Interaction.HISTORY: Event.HISTORY,
    Interaction.HISTORY_TYPE: Event.HISTORY,
    Interaction.HISTORY_SYSTEM: Event.HISTORY,
    Interaction.SEARCH: Event.SEARCH,
    Interaction.SEARCH_SYSTEM: Event.SEARCH,
    Interaction.SEARCH_COMPARTMENT: Event.SEARCH,
    Interaction.CREATE: Event.CREATE,
    Interaction.UPDATE: Event.UPDATE,
    Interaction.PATCH: Event.PATCH,
    Interaction.DELETE: Event.DELETE,
    Interaction.TRANSACTION: Event.BUNDLE,
    Interaction.OPERATION: Event.OPERATION,
}
_TRACE_CHARACTERS: Final = 64
_NAME_CHARACTERS: Final = 64
_NAMES_MAX: Final = 50
_REMEMBERED_MAX: Final = 2048


class Auditor:
    """Writes the records of one API. `secret` keys the hashes of searches."""

    def __init__(self, ledger: Ledger, *, secret: bytes, tell: events.Tell) -> None:
        self._ledger = ledger
        self._secret = secret
        self._tell = tell
        self._known: OrderedDict[int, tuple[Actor, Who]] = OrderedDict()

    def intend(self, scope: Scope, asking: Asking, seen: Seen) -> None:
        """Begin to write down that a change is about to be tried; whoever changes something waits for it (`seen`)."""
        route = asking.matched.route
        if route.letter in WRITES:
            given = self._given(Event.INTENDED, scope, asking) | {"code": route.interaction.value}
            if asking.matched.id:
                given["address"] = without_numbers(f"{asking.matched.type}/{asking.matched.id}")
            seen.intent = asyncio.create_task(self._write(given, asking))

    async def record(self, scope: Scope, asking: Asking, seen: Seen, answer: Answer, why: str) -> Answer:
        """Return the answer when its record is durable, or the refusal that leaves instead."""
        matched = asking.matched
        route = matched.route
        if route.letter is None:
            return answer
        given = self._given(EVENTS[route.interaction], scope, asking)
        given |= {"status": answer.status, "why": why, "code": route.code, "rules": seen.rules}
        if seen.versions or seen.others:
            people = dict.fromkeys([*[one.patient for one in seen.versions], *seen.others])
            people.pop(None, None)
            shown = list(dict.fromkeys([f"{v.type}/{v.id}/{v.version}" for v in seen.versions]))
            given |= {"patients": tuple(people), "resources": shown, "count": len(shown)}
        elif matched.id:
            given["address"] = without_numbers(f"{matched.type}/{matched.id}")
        if asking.pairs:
            given["names"] = _named(tuple([name for name, _ in asking.pairs]))
            given["asked"] = self._hashed(asking)
        if seen.entries:
            given["entries"] = [(one.event, one.type, one.status) for one in seen.entries]
        try:
            if seen.intent is not None:
                await seen.intent
            await self._write(given, asking)
        except errors.Unavailable as error:
            self._tell(events.AuditFailed(route.interaction.value))
            return answers.refusal(error)
        return answer

    async def _write(self, given: dict[str, Any], asking: Asking) -> None:
        begun = time.perf_counter()
        await self._ledger.write(given, self._who(asking.actor) if asking.actor else NOBODY)
        self._tell(events.AuditWritten(time.perf_counter() - begun))

    def _given(self, event: Event, scope: Scope, asking: Asking) -> dict[str, Any]:
        given: dict[str, Any] = {"event": event, "type": asking.matched.type}
        if client := scope.get("client"):
            given["source"] = client[0]
        if b"traceparent" in asking.headers:
            given["trace"] = without_numbers(asking.header(b"traceparent")[3:35])
        elif b"x-request-id" in asking.headers:
            given["trace"] = without_numbers(asking.header(b"x-request-id")[:_TRACE_CHARACTERS])
        return given

    def _who(self, actor: Actor) -> Who:
        """Return an actor as records have him; an actor is one object as long as its token is remembered."""
        known = self._known.get(id(actor))
        if known is not None and known[0] is actor:
            return known[1]
        made = who(actor)
        self._known[id(actor)] = (actor, made)
        if len(self._known) > _REMEMBERED_MAX:
            self._known.popitem(last=False)
        return made

    def _hashed(self, asking: Asking) -> str:
        matched = asking.matched
        address = f"{matched.type}/{matched.id}/{matched.member}/{matched.route.code}"
        text = json.dumps([address, sorted(asking.pairs)])
        return hmac.digest(self._secret, text, "sha256").hex()[:32]


@functools.lru_cache(maxsize=1024)
def _named(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of parameters; of a request that was refused, a caller may have made them up."""
    return tuple([without_numbers(name[:_NAME_CHARACTERS]) for name in dict.fromkeys(names)][:_NAMES_MAX])


def entry(interaction: Interaction, kind: str, status: int) -> None:
    """Note how an entry of a batch or transaction ended."""
    notes.entry(Entry(EVENTS[interaction], kind, status))


def reading(matched: Matched, status: int) -> None:
    """Note how an entry that reads ended; the open address has nothing to note."""
    if matched.route.letter is not None:
        entry(matched.route.interaction, matched.type, status)
