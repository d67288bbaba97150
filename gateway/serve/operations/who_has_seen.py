"""Patient/{id}/$who-has-seen: who has seen my data, in words that a citizen understands, Danish or English.

Looks of one day from the same organisation, by the same profession, for the same reason, are told as one. No employee is
named (Datatilsynet 2024; C-579/21): when, which organisation, which profession, why, what kind of data. A refused
request counts where data was looked at to refuse it (a patch whose test does not hold tells what stands there). Who acts
for another is told of no type that may be against him. The events themselves are AuditEvents.
"""

from __future__ import annotations

import datetime as dt
import urllib.parse
import zoneinfo
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway import access, errors
from gateway.access import Actor, Kind, NotPermitted, Read, Search, Why
from gateway.access.policy import NOT_FOR_OTHERS
from gateway.access.scopes import Letter
from gateway.audit import words
from gateway.audit.record import Record
from gateway.clock import instant
from gateway.search import times
from gateway.search.query import DateTerm, Prefix, Query, ReferenceTerm, Sort, Term, reference
from gateway.serve import seen
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.audit_events import TYPE, AuditEvents, Found
from gateway.serve.operation import Field, Level, Operation
from gateway.serve.operations import inputs as reading
from gateway.serve.paging import Pages
from gateway.serve.permitted import PermittedStore
from gateway.store.port import Version

COPENHAGEN: Final = zoneinfo.ZoneInfo("Europe/Copenhagen")
COUNT_DEFAULT: Final = 100
COUNT_MAX: Final = 1000
OPERATION: Final = Operation(
    code="who-has-seen",
    definition="urn:sundbro:operation:who-has-seen",
    levels=frozenset({Level.INSTANCE}),
    letter=Letter.READ,
    text="Who has seen a patient's data, when, why, and what kind of data, in plain words",
    types=("Patient",),
    methods=("GET",),
    fields=(
        Field("start", "date", "Looks from this day"),
        Field("end", "date", "Looks to this day"),
        Field("language", "code", "da or en; Accept-Language where it is not given"),
        Field("_count", "positiveInt", f"Events on a page, {COUNT_DEFAULT} unless told, at most {COUNT_MAX}"),
        Field("_page", "string", "What the parameter `next` holds"),
    ),
)
Names = Callable[[str], Awaitable[str]]
"""Gives the name of an organisation by its SOR code, '' where it is not known."""


@dataclass(slots=True)
class _Looks:
    """Looks that are told as one."""

    first: dt.datetime
    last: dt.datetime
    record: Record
    changed: bool
    types: set[str] = field(default_factory=set)
    count: int = 0


class WhoHasSeenHandler:
    """Answers $who-has-seen; `base` is the address of the API, without a slash at its end."""

    def __init__(self, events: AuditEvents, store: PermittedStore, pages: Pages, names: Names, base: str) -> None:
        self._events = events
        self._store = store
        self._pages = pages
        self._names = names
        self._base = base

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with Parameters: an `access` for each group of looks, newest first."""
        focus = f"Patient/{asking.matched.id}"
        given = reading.read(OPERATION, asking)
        language = _language(given.text("language"), asking.header(b"accept-language"))
        patient = reference("patient", focus)
        if actor.kind not in {Kind.OPERATOR, Kind.SYSTEM} and focus != (actor.on_behalf_of or actor.person):
            raise NotPermitted("who has seen somebody's data is for himself to know", Why.NO_SCOPE)
        permitted = access.decide(actor, Read("Patient", asking.matched.id))
        if actor.kind is not Kind.OPERATOR and await self._store.read(permitted) is None:
            raise errors.NotFound("there is no such resource")
        count, span, below = self._asked(actor, given, focus)
        terms: tuple[Term, ...] = (ReferenceTerm("patient", (patient,)), *_between(*span))
        query = access.decide(actor, Search(Query(TYPE, terms, sort=Sort.NEWEST, count=count))).intent.query
        found, more = await self._events.page(query, below, only=frozenset({patient}))
        hidden = NOT_FOR_OTHERS if actor.on_behalf_of else frozenset[str]()
        shown = [one for one in found if _counts(one.record, patient) and not _hides(hidden, one.record)]
        seen.only([Version(TYPE, one.line.name, 1, one.line.at, b"") for one in shown], [patient])
        parts = [await self._part(looks, language) for looks in _grouped(shown, hidden)]
        if more:
            last = found[-1].line
            held = {
                "seen": focus,
                "span": list(span),
                "count": count,
                "below": [last.at.isoformat(), last.chain, last.seq],
            }
            token = urllib.parse.quote(self._pages.seal(actor, held))
            address = f"{self._base}/{focus}/$who-has-seen?language={language}&_page={token}"
            parts.append({"name": "next", "valueUri": address})
        return Answer(200, reading.answer(*parts), [(b"content-language", language.encode())])

    def _asked(
        self, actor: Actor, given: reading.Inputs, focus: str
    ) -> tuple[int, tuple[str, str], tuple[dt.datetime, int, int] | None]:
        token = given.text("_page")
        if not token:
            count = min(given.number("_count") or COUNT_DEFAULT, COUNT_MAX)
            return count, (given.text("start"), given.text("end")), None
        held = self._pages.open(actor, token)
        if held.get("seen") != focus:
            raise errors.Incorrect("this is a page of another question", at="_page")
        at, chain, seq = held["below"]
        start, end = held["span"]
        return held["count"], (start, end), (dt.datetime.fromisoformat(at), chain, seq)

    async def _part(self, looks: _Looks, language: str) -> dict[str, Any]:
        record = looks.record
        organisation = await self._names(record.organisation) if record.organisation else ""
        role, purpose = words.role(record, language), words.purpose(record, language)
        data = words.data(sorted(looks.types), language)
        told: list[dict[str, Any]] = [
            {"name": "period", "valuePeriod": {"start": instant(looks.first), "end": instant(looks.last)}},
            {"name": "looks", "valuePositiveInt": looks.count},
        ]
        if organisation:
            told.append({"name": "organisation", "valueString": organisation})
        if record.organisation:
            told.append({"name": "organisationCode", "valueString": record.organisation})
        told.append({"name": "who", "valueString": role})
        if purpose:
            told.append({"name": "purpose", "valueString": purpose})
        told += [{"name": "data", "valueString": one} for one in data]
        text = _sentence(looks, organisation or record.organisation, role, purpose, data, language)
        told.append({"name": "text", "valueString": text})
        return {"name": "access", "part": told}


def _language(wanted: str, accepted: str) -> str:
    """Return the language to answer in: as asked, else as accepted, else Danish. Raises Incorrect."""
    if wanted:
        if wanted not in words.LANGUAGES:
            raise errors.Incorrect("language is da or en", at="language")
        return wanted
    for part in accepted.lower().split(","):
        if (name := part.strip()[:2]) in words.LANGUAGES:
            return name
    return words.LANGUAGES[0]


def _between(start: str, end: str) -> list[DateTerm]:
    found = []
    for text, prefix in ((start, Prefix.GE), (end, Prefix.LE)):
        if text:
            found.append(DateTerm("date", ((prefix, *times.interval(text)),)))
    return found


def _counts(record: Record, patient: int) -> bool:
    return patient in record.patients and record.looked


def _hides(hidden: frozenset[str], record: Record) -> bool:
    """Say whether a record is about nothing but what a caller is not told of."""
    return bool(hidden) and hidden.issuperset(words.kinds(record))


def _grouped(found: Sequence[Found], hidden: frozenset[str]) -> list[_Looks]:
    """Return looks of a day, an organisation, a profession, a purpose and a kind of act as one, newest first."""
    groups: dict[tuple[Any, ...], _Looks] = {}
    for one in found:
        record = one.record
        day = one.line.at.astimezone(COPENHAGEN).date()
        changed = words.changed(record, hidden)
        key = (day, record.organisation, record.kind, record.role, record.purpose, changed)
        looks = groups.setdefault(key, _Looks(one.line.at, one.line.at, record, changed))
        looks.first = min(looks.first, one.line.at)
        looks.types |= {*words.kinds(record)} - hidden
        looks.count += 1
    return list(groups.values())


def _sentence(looks: _Looks, organisation: str, role: str, purpose: str, data: Sequence[str], language: str) -> str:
    first, last = looks.first.astimezone(COPENHAGEN), looks.last.astimezone(COPENHAGEN)
    clock = f"{first:%H.%M}" if f"{first:%H%M}" == f"{last:%H%M}" else f"{first:%H.%M}–{last:%H.%M}"
    kinds = ", ".join(data)
    if language == "en":
        where = f" at {organisation}" if organisation else ""
        why = f" Reason: {purpose}." if purpose else ""
        act = "changed" if looks.changed else "saw"
        return f"{first:%d.%m.%Y}, {clock}: {role}{where} {act} {kinds}.{why}"
    where = f", {organisation}," if organisation else ""
    why = f" Grund: {purpose}." if purpose else ""
    act = "ændrede" if looks.changed else "så"
    return f"{first:%d.%m.%Y} kl. {clock}: {role}{where} {act} {kinds}.{why}"
