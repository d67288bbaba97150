"""Patient/{id}/$everything and Encounter/{id}/$everything (R4 patient- and encounter-operation-everything.html).

The focus, its compartment, and what these refer to that belongs to no patient (Practitioner, Organization, Location,
Medication, Device …); of an encounter also its patient and whatever else it refers to. Paged by sealed links as searches
are; access is decided for each type: what a caller may not see is not there. No resource comes twice: a page remembers
what was shown beside the compartment, up to a number that its link can hold.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway import access, errors
from gateway.access import Actor, NotPermitted, Read, Search
from gateway.access.scopes import Letter
from gateway.clock import Clock
from gateway.formats import json
from gateway.search import parameters, times
from gateway.search.parse import COUNT_MAX
from gateway.search.query import After
from gateway.serve import bundle
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.operation import Field, Level, Operation
from gateway.serve.operations import compartment
from gateway.serve.operations import inputs as reading
from gateway.serve.operations.compartment import Range, Step
from gateway.serve.operations.inputs import Inputs
from gateway.serve.operations.subject import stored
from gateway.serve.paging import Pages
from gateway.serve.permitted import PermittedStore
from gateway.serve.shaping import WHOLE
from gateway.store.port import Page, Version

COUNT_DEFAULT: Final = 100
REMEMBERED_MAX: Final = 900
"""So many resources beside the compartment does a link remember as shown; a later one may come again."""
_LOOK_AHEAD: Final = 8
"""Questions asked at once where the last one found nothing: most types of most patients are empty."""
_HASH_BYTES: Final = 5
_REFERENCE: Final = re.compile(rb'"reference":"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})[/"]')
_AGAIN: Final = (
    Field("_since", "instant", "Only what was updated after this moment"),
    Field("_type", "code", "Only these types, joined by commas or repeated", maximum="*"),
    Field(
        "_count", "integer", f"Resources of the compartment on a page, {COUNT_DEFAULT} unless told, at most {COUNT_MAX}"
    ),
    Field("_page", "string", "What a `next` link holds"),
)
OF_PATIENT: Final = Operation(
    code="everything",
    definition="http://hl7.org/fhir/OperationDefinition/Patient-everything",
    levels=frozenset({Level.INSTANCE}),
    letter=Letter.READ,
    text="All there is about a patient",
    types=("Patient",),
    fields=(
        Field("start", "date", "Care dates from this day"),
        Field("end", "date", "Care dates to this day"),
        *_AGAIN,
    ),
)
OF_ENCOUNTER: Final = Operation(
    code="everything",
    definition="http://hl7.org/fhir/OperationDefinition/Encounter-everything",
    levels=frozenset({Level.INSTANCE}),
    letter=Letter.READ,
    text="All there is about an encounter",
    types=("Encounter",),
    fields=_AGAIN,
)


@dataclass(slots=True)
class _Walk:
    """Where a walk through a compartment stands: what a page link holds."""

    focus: str
    types: tuple[str, ...]
    within: Range
    count: int
    until: dt.datetime
    step: int = 0
    after: After | None = None
    shown: set[bytes] = field(default_factory=set)

    def place(self) -> dict[str, Any]:
        """Return it as JSON values."""
        after, held = self.after, b"".join(sorted(self.shown)[:REMEMBERED_MAX])
        return {
            "everything": self.focus,
            "types": list(self.types),
            "within": [self.within.start, self.within.end, self.within.since],
            "count": self.count,
            "until": self.until.isoformat(),
            "step": self.step,
            "after": [after.key.isoformat() if after.key else None, after.rid, list(after.keys)] if after else None,
            "shown": base64.b85encode(held).decode(),
        }

    @classmethod
    def of(cls, place: dict[str, Any]) -> _Walk:
        """Return what `place` made."""
        held, after = base64.b85decode(place["shown"]), place["after"]
        return cls(
            place["everything"],
            tuple(place["types"]),
            Range(*place["within"]),
            place["count"],
            dt.datetime.fromisoformat(place["until"]),
            place["step"],
            After(dt.datetime.fromisoformat(after[0]) if after[0] else None, after[1], tuple(after[2]))
            if after
            else None,
            {held[start : start + _HASH_BYTES] for start in range(0, len(held), _HASH_BYTES)},
        )


class EverythingHandler:
    """Answers $everything of one of the two; `base` is the address of the API, without a slash at its end."""

    def __init__(self, operation: Operation, store: PermittedStore, pages: Pages, base: str, clock: Clock) -> None:
        self._operation = operation
        self._name = operation.types[0]
        self._store = store
        self._pages = pages
        self._base = base
        self._clock = clock

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with a searchset."""
        focus = f"{self._name}/{asking.matched.id}"
        await stored(self._store, actor, self._name, asking.matched.id)
        given = reading.read(self._operation, asking)
        own = f"{self._base}/{focus}/$everything"
        if token := given.text("_page"):
            if len(given.values) > 1:
                raise errors.Incorrect("_page holds the whole question; nothing is added to it", at="_page")
            place = self._pages.open(actor, token)
            if place.get("everything") != focus:
                raise errors.Incorrect("this is a page of another question", at="_page")
            walk, links = _Walk.of(place), [("self", f"{own}?_page={token}")]
        else:
            walk = self._begun(focus, given)
            asked = urllib.parse.urlencode([(name, value) for name, _, value in given.told])
            links = [("self", f"{own}?{asked}" if asked else own)]
        matches, more = await self._page(actor, walk)
        beside = await self._beside(actor, walk, matches)
        if more:
            links.append(("next", f"{own}?_page={self._pages.seal(actor, walk.place())}"))
        entries = bundle.found(matches, self._base, WHOLE) + bundle.found(beside, self._base, WHOLE, included=True)
        return Answer(200, bundle.bundle("searchset", links=links, entries=entries))

    def _begun(self, focus: str, given: Inputs) -> _Walk:
        types = tuple(one.strip() for text in given.texts("_type") for one in text.split(",") if one.strip())
        if any(one not in parameters.types() for one in types):
            raise errors.Incorrect("_type names a type that R4 does not have", at="_type")
        count = given.number("_count")
        if count == 0:
            raise errors.Incorrect("_count is a number from 1", at="_count")
        return _Walk(
            focus,
            types,
            Range(given.text("start"), given.text("end"), given.text("_since")),
            min(count or COUNT_DEFAULT, COUNT_MAX),
            self._clock.now(),
        )

    async def _page(self, actor: Actor, walk: _Walk) -> tuple[list[Version], bool]:
        """Return the next resources of the compartment, and whether there are more; the walk is moved on."""
        ways = compartment.steps(self._name, walk.types)
        found: list[Version] = []
        empty = False
        while walk.step < len(ways):
            ahead = ways[walk.step : walk.step + (_LOOK_AHEAD if empty else 1)]
            pages = await asyncio.gather(*(self._ask(actor, walk, step, len(found)) for step in ahead))
            for step, page in zip(ahead, pages, strict=True):
                kept = page.versions[: walk.count - len(found)]
                found += [one for one in kept if self._counts(walk, step, one)]
                empty = not page.versions
                if page.more or len(kept) < len(page.versions):
                    return found, await self._stop(actor, walk, step, page, len(kept))
                walk.step, walk.after = walk.step + 1, None
                if len(found) >= walk.count:
                    return found, walk.step < len(ways)
        return found, False

    async def _stop(self, actor: Actor, walk: _Walk, step: Step, page: Page, kept: int) -> bool:
        """Leave the walk after the `kept` first of a page that does not fit."""
        if kept == len(page.versions):
            walk.after = After(page.last_key, page.last_rid, page.last_keys)
        elif kept:
            shorter = await self._ask(actor, walk, step, walk.count - kept)
            walk.after = After(shorter.last_key, shorter.last_rid, shorter.last_keys)
        return True

    async def _ask(self, actor: Actor, walk: _Walk, step: Step, taken: int) -> Page:
        """Return a page of one step, none where the caller may not search the type."""
        count = max(1, walk.count - taken)
        after = walk.after if step == compartment.steps(self._name, walk.types)[walk.step] else None
        query = compartment.query(step, walk.focus, walk.within, count=count, until=walk.until, after=after)
        try:
            return await self._store.search(access.decide(actor, Search(query)))
        except NotPermitted:
            return Page((), more=False)

    def _counts(self, walk: _Walk, step: Step, version: Version) -> bool:
        """Say whether this step is the one that shows a resource: an earlier parameter of its type may have.

        What was made after the first page is for another question.
        """
        if version.version == 1 and version.last_updated > walk.until:
            return False
        own = parameters.compartment(self._name, step.type)
        alone = step.parameter == "_id" or (len(own) == 1 and step.type != self._name)
        return alone or compartment.first(self._name, walk.focus, json.loads(version.body)) == step.parameter

    async def _beside(self, actor: Actor, walk: _Walk, matches: Sequence[Version]) -> list[Version]:
        """Return what the matches refer to and no page has shown; note it as shown."""
        wanted = [name for name in dict.fromkeys(_references(matches)) if self._shows(walk, *name)]
        read = await asyncio.gather(*(self._read(actor, *name) for name in wanted))
        found = []
        for version in read:
            if version is None or version.deleted or not self._is_new(walk, version):
                continue
            walk.shown.add(_short(version.type, version.id))
            found.append(version)
        return found

    def _shows(self, walk: _Walk, kind: str, name: str) -> bool:
        if kind not in parameters.types() or (walk.types and kind not in walk.types) or f"{kind}/{name}" == walk.focus:
            return False
        belongs = self._name == "Patient" and parameters.compartment("Patient", kind)
        return not belongs and _short(kind, name) not in walk.shown

    def _is_new(self, walk: _Walk, version: Version) -> bool:
        """Say whether it belongs beside the compartment, and into the time asked for."""
        if walk.within.since and version.last_updated < times.interval(walk.within.since)[1]:
            return False
        member = bool(parameters.compartment(self._name, version.type))
        return not (member and compartment.first(self._name, walk.focus, json.loads(version.body)))

    async def _read(self, actor: Actor, kind: str, name: str) -> Version | None:
        try:
            return await self._store.read(access.decide(actor, Read(kind, name)))
        except NotPermitted:
            return None


def _references(versions: Sequence[Version]) -> Iterator[tuple[str, str]]:
    """Yield (type, id) of the relative references in stored bodies; JSON text inside a string has its quotes escaped."""
    for version in versions:
        for kind, name in _REFERENCE.findall(version.body):
            yield kind.decode(), name.decode()


def _short(kind: str, name: str) -> bytes:
    return hashlib.blake2b(f"{kind}/{name}".encode(), digest_size=_HASH_BYTES).digest()
