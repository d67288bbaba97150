"""`/fhir/AuditEvent`: the audit ledger as resources. Read and searched like any other type, and never written.

The handler stands before the store: no AuditEvent is stored. Patients and dates are found by an index; whatever else is
asked for is compared with each event in turn, as far as a limit allows. Operators see all of it, a citizen his own and no
employee's name, staff nothing: whom somebody treats is not for colleagues to look up here.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway import access, errors
from gateway.access import Actor, Kind, NotPermitted, Read, Search, Why
from gateway.audit.block import Line, lines
from gateway.audit.event import audit_event, patient_own
from gateway.audit.record import Record
from gateway.clock import Clock
from gateway.formats import json
from gateway.model import Resource
from gateway.search import match, parse
from gateway.search.query import ChainTerm, DateTerm, HasTerm, Prefix, Query, ReferenceTerm, Sort, Term, reference
from gateway.serve import bundle, seen, shaping
from gateway.serve.answer import Answer, stamps
from gateway.serve.asking import Asking
from gateway.serve.paging import Pages
from gateway.serve.routes import Interaction
from gateway.store.ledger import LedgerStore, Place
from gateway.store.port import Version

TYPE: Final = "AuditEvent"
SCAN_MAX: Final = 20_000
"""So many events are looked at for one page."""
BLOCKS_AT_ONCE: Final = 100
_ID: Final = re.compile(r"([1-9][0-9]{0,8})-([1-9][0-9]{0,17})")
_KNOWN_MAX: Final = 10_000
_FROM: Final = frozenset({Prefix.EQ, Prefix.GE, Prefix.GT, Prefix.SA})
_TO: Final = frozenset({Prefix.EQ, Prefix.LE, Prefix.LT, Prefix.EB})


@dataclass(slots=True)
class Found:
    """One event: its line, what that says, and the resource."""

    line: Line
    record: Record
    resource: Resource


class AuditEvents:
    """Answers for AuditEvent. `base` is the address of the API, without a slash at its end."""

    def __init__(self, ledger: LedgerStore, pages: Pages, base: str, clock: Clock) -> None:
        self._ledger = ledger
        self._pages = pages
        self._base = base
        self._clock = clock
        self._known: OrderedDict[int, str] = OrderedDict()

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer a read or a search."""
        interaction = asking.matched.route.interaction
        if interaction in {Interaction.READ, Interaction.VREAD}:
            return await self._read(actor, asking)
        if interaction in {Interaction.SEARCH, Interaction.SEARCH_COMPARTMENT}:
            return await self._search(actor, asking)
        raise errors.NotAllowed(
            "an AuditEvent is a view of the audit ledger: it is read and searched, and has one version"
        )

    async def _read(self, actor: Actor, asking: Asking) -> Answer:
        access.decide(actor, Read(TYPE, asking.matched.id))
        only = whose(actor)
        shape = shaping.taken(asking, TYPE)
        found = _ID.fullmatch(asking.matched.id)
        block = await self._ledger.holding(int(found[1]), int(found[2])) if found else None
        line = next((one for one in lines(block) if one.name == asking.matched.id), None) if block else None
        record = line.record() if line else None
        if line is None or record is None or not _mine(record, only) or asking.matched.version > 1:
            raise errors.NotFound("there is no such resource")
        event = (await self._made([(line, record)], only))[0]
        version = _version(event, shape)
        seen.only([version], [one for one in record.patients if only is None or one in only])
        return Answer(200, version.body, stamps(version))

    async def _search(self, actor: Actor, asking: Asking) -> Answer:
        matched = asking.matched
        address = "/".join(part for part in (matched.type, matched.id, matched.member) if part)
        below: tuple[dt.datetime, int, int] | None = None
        token = asking.take("_page")
        if token:
            held = self._pages.open(actor, token)
            if held.get("audit") != address:
                raise errors.Incorrect("this is a page of another search", at="_page")
            asking.pairs = [(name, value) for name, value in held["pairs"]]
            at, chain, seq = held["below"]
            below = (dt.datetime.fromisoformat(at), chain, seq)
        pairs = list(asking.pairs)
        shape = shaping.taken(asking, TYPE)
        asked = parse.understand(TYPE, asking.pairs, lenient=asking.lenient(), now=self._clock.now(), base=self._base)
        query = asked.query
        if matched.member:
            if matched.type != "Patient":
                raise errors.NotFound(f"the AuditEvents of a {matched.type} are not to be had this way")
            term = ReferenceTerm("patient", (reference("patient", f"Patient/{matched.id}"),))
            query = replace(query, terms=(*query.terms, term))
        query = access.decide(actor, Search(query)).intent.query
        _refuse(query)
        only = whose(actor)
        events, more = await self.page(query, below, only=only)
        versions = [_version(event, shape) for event in events]
        patients = dict.fromkeys(one for e in events for one in e.record.patients if only is None or one in only)
        seen.only(versions, list(patients))
        own = f"{self._base}/{address}"
        links = [("self", f"{own}?_page={token}" if token else own)]
        if more:
            last = events[-1].line
            place = {"audit": address, "pairs": pairs, "below": [last.at.isoformat(), last.chain, last.seq]}
            links.append(("next", f"{own}?_page={self._pages.seal(actor, place)}"))
        asking.pairs = pairs
        return Answer(
            200, bundle.bundle("searchset", links=links, entries=bundle.found(versions, self._base, shaping.WHOLE))
        )

    async def page(
        self, query: Query, below: tuple[dt.datetime, int, int] | None = None, *, only: frozenset[int] | None
    ) -> tuple[list[Found], bool]:
        """Return the newest events that answer a query, below (at, chain, seq), and whether there are more.

        Raises TooCostly when that would take looking at more than a limit.
        """
        patients = _patients(query.terms, only)
        low, high = _period([*query.updated, *[term for term in query.terms if isinstance(term, DateTerm)]])
        place = Place(*below) if below else None
        found: list[Found] = []
        looked = 0
        while len(found) <= query.count:
            blocks = await self._ledger.newest(low=low, high=high, upto=place, limit=BLOCKS_AT_ONCE, patients=patients)
            read: list[tuple[Line, Record]] = []
            for block in blocks:
                if (
                    place is not None
                    and (block.at, block.chain, block.first) == (place.at, place.chain, place.first)
                    and looked
                ):
                    continue
                for line in reversed(list(lines(block))):
                    looked += 1
                    if below is None or (line.at, line.chain, line.seq) < below:
                        record = line.record()
                        if _mine(record, only) and (patients is None or {*record.concerned} & {*patients}):
                            read.append((line, record))
            made = await self._made(read, only)
            found += [one for one in made if answers(query, one, only)]
            if len(blocks) < BLOCKS_AT_ONCE:
                break
            if looked > SCAN_MAX and len(found) <= query.count:
                raise errors.TooCostly(
                    f"more than {SCAN_MAX} events would have to be looked at: narrow the search by patient or date"
                )
            place = Place(blocks[-1].at, blocks[-1].chain, blocks[-1].first)
        return found[: query.count], len(found) > query.count

    async def _made(self, read: Sequence[tuple[Line, Record]], only: frozenset[int] | None) -> list[Found]:
        owns = {patient_own(patient) for _, record in read for patient in record.patients}
        persons = await self._persons(owns)
        return [Found(line, record, audit_event(line, record, persons, only)) for line, record in read]

    async def _persons(self, owns: set[int]) -> Mapping[int, str]:
        if unknown := [one for one in owns if one not in self._known]:
            self._known.update(await self._ledger.persons(unknown))
            while len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)
        return {one: self._known[one] for one in owns if one in self._known}


def whose(actor: Actor) -> frozenset[int] | None:
    """Return whose events somebody may see: a citizen his own; None is all. Raises NotPermitted.

    Whether he still acts for another is the store's to know (`access`): of his, `$who-has-seen` tells, which asks it.
    """
    if actor.kind in {Kind.OPERATOR, Kind.SYSTEM}:
        return None
    if actor.kind is Kind.CITIZEN and actor.person and not actor.on_behalf_of:
        return frozenset(reference("patient", one) for one in (actor.person, *actor.records))
    raise NotPermitted("the audit ledger is for citizens, each his own, and for who runs the gateway", Why.NO_SCOPE)


def answers(query: Query, found: Found, only: frozenset[int] | None) -> bool:
    """Say whether an event answers a query; a patient is compared as the ledger names him, known to the store or not, and
    does not exist for who may not see his.
    """
    if query.ids and found.resource["id"] not in query.ids:
        return False
    concerned = {*found.record.concerned} if only is None else only & {*found.record.concerned}
    for term in (*query.updated, *query.terms):
        if isinstance(term, ReferenceTerm) and term.parameter == "patient":
            if not {*term.values} & concerned:
                return False
        elif not match.holds(term, found.resource):
            return False
    return True


def _mine(record: Record, only: frozenset[int] | None) -> bool:
    return only is None or bool(only & {*record.concerned})


def _patients(terms: Sequence[Term], only: frozenset[int] | None) -> list[int] | None:
    """Return the patients that an index can find the events of; None where the question names none."""
    for term in terms:
        if isinstance(term, ReferenceTerm) and term.parameter == "patient":
            return list(term.values)
    return list(only) if only is not None else None


def _period(terms: Sequence[DateTerm]) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return moments outside of which nothing answers; milliseconds are given away, `match` decides."""
    low: dt.datetime | None = None
    high: dt.datetime | None = None
    for term in terms:
        if len(term.values) == 1:
            prefix, start, end = term.values[0]
            if prefix in _FROM:
                low = max(low, start) if low else start
            if prefix in _TO:
                high = min(high, end + _MILLISECOND) if high else end + _MILLISECOND
    return low, high


_MILLISECOND: Final = dt.timedelta(milliseconds=1)


def _refuse(query: Query) -> None:
    """Refuse what a view of the ledger cannot do. Raises Incorrect."""
    if query.order or query.sort not in {Sort.NEWEST, Sort.DATE_NEWEST}:
        raise errors.Incorrect("AuditEvents come newest first, and in no other order", at="_sort")
    if query.includes:
        raise errors.Incorrect("AuditEvents are searched without _include and _revinclude", at="_include")
    if query.total:
        raise errors.Incorrect("AuditEvents are not counted: _total and _summary=count are not to be had", at="_total")
    if any(isinstance(term, ChainTerm | HasTerm) for term in query.terms):
        raise errors.Incorrect("AuditEvents are searched without chains and _has")


def _version(found: Found, shape: shaping.Shape) -> Version:
    body = shape.of(json.dumps(found.resource))
    return Version(TYPE, found.line.name, 1, found.line.at, body)
