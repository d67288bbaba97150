"""Reading by id, histories and judging for a caller from whom something is hidden. Who sees everything reads by `reads.py`.

What exists for a caller are current resources, not deleted, within his sight: a deleted one has no owner any more, and
who may know that it was cannot be told. An older version is there when the current one is and it is itself, by its own
content, within his sight: one that was another patient's, or had another label, is not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import TooCostly
from gateway.formats import json
from gateway.model import Resource
from gateway.search import match, standing
from gateway.search.query import Index, Term, own
from gateway.search.reach import Sight
from gateway.store.port import Edit, Page, Version
from gateway.store.postgres import search_changes as changing
from gateway.store.postgres.indexing import Indexing
from gateway.store.postgres.reads import Reads, past_of, version_of
from gateway.store.postgres.search import Searches
from gateway.store.postgres.search_reach import Row, seen
from gateway.store.postgres.search_scope import Scope, Statement
from gateway.store.postgres.search_terms import current, holds

VERSIONS_MAX: Final = 2_000
"""How many versions of one resource a caller from whom something is hidden may page through."""
LOOKED_AT_MAX: Final = 10_000
"""How many versions one page of a history looks at."""
_CHUNK: Final = 200
_COLUMNS: Final = (
    "r.rid, r.version, r.updated, r.deleted, r.lane, r.patient, r.body, coalesce(m.receipt, '') as receipt,"
    " r.message = -1 as posted"
)
_NEW: Final = (
    "bigint", "text", "bigint", "bigint", "timestamptz", "timestamptz", "text", "bigint", "text", "text",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Content:
    """What would be there if it stood: an id, the rid that it has (0 for none), what it is found by, and itself."""

    id: str
    rid: int
    index: Index
    resource: Resource


def reading(scope: Scope, resource_type: str, names: list[str]) -> Statement:
    """Return the statement that reads resources by their ids. Types of which a caller sees the same have one statement, so
    that reads of them share a trip.
    """
    there = current(scope, "r", resource_type, its_type=scope.put(scope.type(resource_type), "smallint"))
    return scope.put.statement(
        f"select {_COLUMNS}, r.id from resource r left join message m on m.seq = r.message"
        f" where {scope.any_of('r.id', names, 'text')} and {there}",
        small=True,
    )


class Sighted:
    """The reading half of the port for those who are not shown everything."""

    def __init__(self, searches: Searches, reads: Reads, indexing: Indexing) -> None:
        self._searches = searches
        self._reads = reads
        self._indexing = indexing

    async def current(self, resource_type: str, resource_id: str, sight: Sight) -> Version | None:
        """Return the current version that stands, None where there is none for this caller."""
        found = await self._rows(resource_type, [resource_id], sight)
        return version_of(resource_type, resource_id, found[0]) if found else None

    async def many(self, keys: Sequence[tuple[str, str]], sight: Sight) -> list[Version]:
        """Return the current versions of (type, id) that stand, in any order."""
        by_type: dict[str, list[str]] = {}
        for kind, name in dict.fromkeys(keys):
            by_type.setdefault(kind, []).append(name)
        found: list[Version] = []
        for kind, names in by_type.items():
            found += [version_of(kind, row["id"], row) for row in await self._rows(kind, names, sight)]
        return found

    async def _rows(self, resource_type: str, names: list[str], sight: Sight) -> Sequence[Mapping[str, Any]]:
        scope = await self._searches.scope_of(sight)

        def planned() -> Statement:
            return reading(scope, resource_type, names)

        if len(names) > 1:
            return await self._searches.rows(planned())
        return await self._searches.rows(self._searches.templates.read(resource_type, names[0], scope, planned))

    async def version(self, resource_type: str, resource_id: str, version: int, sight: Sight) -> Version | None:
        """Return one version, None where there is none for this caller."""
        rows = await self._rows(resource_type, [resource_id], sight)
        if not rows:
            return None
        if rows[0]["version"] == version:
            return version_of(resource_type, resource_id, rows[0])
        past = await self._reads.version(resource_type, resource_id, version)
        if past is None or past.deleted:
            return None
        (there,) = await self._judged([(past, rows[0]["rid"])], sight)
        return past if there else None

    async def history(
        self, resource_type: str, resource_id: str, sight: Sight, *, count: int, before: int | None
    ) -> Page:
        """Return versions of one resource, newest first, below version `before`; `total` counts those there are for him.

        Raises TooCostly for one with too many versions.
        """
        rows = await self._rows(resource_type, [resource_id], sight)
        if not rows:
            return Page((), more=False, total=0)
        newest, rid = past_of(resource_type, resource_id, rows[0]), rows[0]["rid"]
        past: list[Version] = []
        page = Page((newest,), more=True)
        while page.more:
            page = await self._reads.history(
                resource_type, resource_id, count=_CHUNK, before=(past[-1] if past else newest).version
            )
            past += page.versions
            if len(past) > VERSIONS_MAX:
                raise TooCostly(f"this resource has more than {VERSIONS_MAX} versions")
        there = await self._judged([(one, rid) for one in past], sight)
        shown = [newest, *(one for one, is_there in zip(past, there, strict=True) if is_there)]
        below = [one for one in shown if before is None or one.version < before]
        return Page(tuple(below[:count]), more=len(below) > count, total=len(shown))

    async def changes(
        self,
        types: Sequence[str],
        sight: Sight,
        *,
        count: int,
        since: dt.datetime | None,
        before: tuple[dt.datetime, str, str, int] | None,
    ) -> Page:
        """Return versions of all resources of some types, newest first, of what stands for this caller.

        Raises TooCostly where too many would have to be looked at.
        """
        kept: list[Version] = []
        looked_at = 0
        standing_types = await changing.standing(self._searches, types)
        while True:
            statement = changing.statement(
                await self._searches.scope_of(sight),
                standing_types,
                limit=max(_CHUNK, count + 1),
                since=since,
                before=before,
            )
            rows = await self._searches.rows(statement) if statement is not None else []
            versions = [(past_of(row["type"], row["id"], row), row["rid"]) for row in rows]
            past = [one for one, row in zip(versions, rows, strict=True) if row["past"]]
            there = dict(zip((id(one) for one, _ in past), await self._judged(past, sight), strict=True))
            kept += [one for one, _ in versions if there.get(id(one), True)]
            if len(kept) > count or len(rows) < max(_CHUNK, count + 1):
                return Page(tuple(kept[:count]), more=len(kept) > count)
            looked_at += len(rows)
            if looked_at >= LOOKED_AT_MAX:
                raise TooCostly(f"more than {LOOKED_AT_MAX} versions would have to be looked at; narrow the history")
            last = versions[-1][0]
            before = (last.last_updated, last.type, last.id, last.version)

    async def _judged(self, past: Sequence[tuple[Version, int]], sight: Sight) -> list[bool]:
        """Say of superseded versions (with the rid of their resource) whether each is within sight; no deletion is."""
        by_type: dict[str, list[int]] = {}
        for place, (one, _) in enumerate(past):
            if not one.deleted:
                by_type.setdefault(one.type, []).append(place)
        there = [False] * len(past)
        for kind, places in by_type.items():
            contents = []
            for place in places:
                version, rid = past[place]
                resource = json.loads(version.body)
                contents.append(Content(version.id, rid, self._indexing.extract(resource), resource))
            for place, is_there in zip(places, await self.judge(kind, contents, sight), strict=True):
                there[place] = is_there
        return there

    async def contents(self, edits: Sequence[Edit], sight: Sight) -> list[bool]:
        """See `store.port.Store.judge`."""
        by_type: dict[str, list[int]] = {}
        for place, edit in enumerate(edits):
            by_type.setdefault(edit.type, []).append(place)
        there = [False] * len(edits)
        for kind, places in by_type.items():
            asked = [Content(edits[place].id, 0, edits[place].index, json.loads(edits[place].body)) for place in places]
            for place, is_there in zip(places, await self.judge(kind, asked, sight, blocks=False), strict=True):
                there[place] = is_there
        return there

    async def judge(
        self, resource_type: str, contents: Iterable[Content], sight: Sight, *, blocks: bool = True
    ) -> list[bool]:
        """Say of contents of a type whether each would be within sight if it stood.

        Not `blocks`: whether it would be, but for what patients have blocked.
        """
        contents = list(contents)
        reach = sight.of(resource_type)
        if reach is None or not contents:
            return [True] * len(contents)
        reach = reach if blocks else reach.unblocked()
        terms = tuple(dict.fromkeys(term for way in reach.ways for term in way.terms))
        scope = await self._searches.scope_of(sight)
        columns: list[list[Any]] = [[] for _ in _NEW]
        of: list[int] = []
        for place, content in enumerate(contents):
            for row in _as_rows(resource_type, content, terms):
                of.append(place)
                for column, value in zip(columns, row, strict=True):
                    column.append(value)

        def told(scope: Scope, term: Term, alias: str, its_type: str) -> str:
            return f"r.held[{terms.index(term) + 1}]" if alias == "r" else holds(scope, term, alias, its_type)

        condition = seen(scope, reach, Row("r", (resource_type,), about="r.about"), told)
        rows = await self._searches.rows(_would_be(scope, resource_type, columns, condition))
        within = {row["place"] for row in rows}
        outside = {of[place] for place in range(len(of)) if place + 1 not in within}
        return [place not in outside for place in range(len(contents))]


def _as_rows(resource_type: str, content: Content, terms: Sequence[Term]) -> Iterator[tuple[Any, ...]]:
    """Yield a content as rows of `_NEW`, one for each patient in whose record it would be; what a constraint asks of it is
    answered here, for it has no rows of values.
    """
    index, stated = content.index, content.index.standing
    further = [fact.patient for fact in stated if isinstance(fact, standing.Sharer)]
    about = next((fact.named for fact in stated if isinstance(fact, standing.About)), ())
    held = "{" + ",".join("t" if match.holds(term, content.resource) else "f" for term in terms) + "}"
    for patient in (index.patient, *further):
        yield (
            0 if resource_type in standing.SHARED else content.rid, content.id, patient, index.code, index.date_low,
            index.date_high, _array(index.tokens), own(f"{resource_type}/{content.id}"), _array(about), held,
        )  # fmt: skip


def _array(numbers: Iterable[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


def _would_be(scope: Scope, resource_type: str, columns: list[list[Any]], condition: str) -> Any:
    """Return the statement that says which of some contents a condition holds of, were they current."""
    arrays = ", ".join(scope.put(column, f"{kind}[]") for column, kind in zip(columns, _NEW, strict=True))
    row = (
        f"select n.place, n.rid, {scope.type(resource_type)}::smallint as type, n.id, n.patient, n.code, n.low, n.high,"
        " n.tokens::bigint[] as tokens, n.own, n.about::bigint[] as about, n.held::boolean[] as held"
        f" from unnest({arrays}) with ordinality"
        " as n (rid, id, patient, code, low, high, tokens, own, about, held, place) offset 0"
    )
    return scope.put.statement(f"select r.place from ({row}) r where {condition}", small=True)
