"""A request of the API → its audit record, durable before the answer leaves; else the answer is 503 and says nothing.

What changes something is written down twice: that it is about to be tried, because what is done must be on record even if
the process dies before it can say so, and how it ended. Addresses that are open to all, and those that nothing has, show
nobody's data and are not recorded.
"""

from __future__ import annotations

import hashlib
import hmac
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from gateway import errors
from gateway.access import Actor
from gateway.access.scopes import Letter
from gateway.audit import Entry, Event, Record
from gateway.audit.ledger import Ledger
from gateway.audit.record import Who, who
from gateway.clock import Clock
from gateway.observe import events
from gateway.serve import answer as answers
from gateway.serve import seen as notes
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking, Scope
from gateway.serve.routes import Interaction, Matched
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
CHANGES: Final = frozenset({Letter.CREATE, Letter.UPDATE, Letter.DELETE})
_TRACE_CHARACTERS: Final = 64
_REMEMBERED_MAX: Final = 2048


class Auditor:
    """Writes the records of one API. `secret` keys the hashes of searches."""

    def __init__(self, ledger: Ledger, *, secret: bytes, clock: Clock, tell: events.Tell) -> None:
        self._ledger = ledger
        self._secret = secret
        self._clock = clock
        self._tell = tell
        self._known: OrderedDict[int, tuple[Actor, Who]] = OrderedDict()

    async def intend(self, scope: Scope, asking: Asking) -> None:
        """Write down that a change is about to be tried. Raises Unavailable: then it must not be."""
        if asking.matched.route.letter in CHANGES:
            record = self._record(Event.INTENDED, scope, asking, 0)
            record.code = asking.matched.route.interaction.value
            if asking.matched.id:
                record.address = f"{asking.matched.type}/{asking.matched.id}"
            await self._write(record, asking)

    async def record(self, scope: Scope, asking: Asking, seen: Seen, answer: Answer, why: str) -> Answer:
        """Return the answer when its record is durable, or the refusal that leaves instead."""
        route = asking.matched.route
        if route.letter is None:
            return answer
        record = self._record(EVENTS[route.interaction], scope, asking, answer.status)
        record.why, record.code, record.rules = why, route.code, seen.rules
        if seen.versions or seen.others:
            people = dict.fromkeys([*(one.patient for one in seen.versions), *seen.others])
            people.pop(None, None)
            record.patients = tuple(people)  # type: ignore[arg-type]
            record.resources = tuple(dict.fromkeys([f"{v.type}/{v.id}/{v.version}" for v in seen.versions]))
            record.count = len(record.resources)
        if asking.pairs:
            record.names = tuple(dict.fromkeys([name for name, _ in asking.pairs]))
            record.asked = self._hashed(asking)
        if seen.entries:
            record.entries = tuple(seen.entries)
        if asking.matched.id and not record.resources:
            record.address = f"{asking.matched.type}/{asking.matched.id}"
        try:
            await self._write(record, asking)
        except errors.Unavailable as error:
            self._tell(events.AuditFailed(route.interaction.value))
            return answers.refusal(error)
        return answer

    async def _write(self, record: Record, asking: Asking) -> None:
        begun = time.perf_counter()
        await self._ledger.write(record, self._who(asking.actor) if asking.actor else None)
        self._tell(events.AuditWritten(time.perf_counter() - begun))

    def _record(self, event: Event, scope: Scope, asking: Asking, status: int) -> Record:
        record = Record(event, self._clock.now(), status, type=asking.matched.type)
        if client := scope.get("client"):
            record.source = client[0]
        if b"traceparent" in asking.headers:
            record.trace = asking.header(b"traceparent")[3:35]
        elif b"x-request-id" in asking.headers:
            record.trace = asking.header(b"x-request-id")[:_TRACE_CHARACTERS]
        return record

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
        text = f"{address}?{urllib.parse.urlencode(sorted(asking.pairs))}"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()[:32]


def entry(interaction: Interaction, kind: str, status: int) -> None:
    """Note how an entry of a batch or transaction ended."""
    notes.entry(Entry(EVENTS[interaction], kind, status))


def reading(matched: Matched, status: int) -> None:
    """Note how an entry that reads ended; the open address has nothing to note."""
    if matched.route.letter is not None:
        entry(matched.route.interaction, matched.type, status)
