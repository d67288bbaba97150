"""Which resources that have been changed since a search's first page belong on a later one: judged by what they were then.

`search.match` judges their former versions, and they are put among the rows that have stayed as they were, in the same
order. What a question asks of other resources (chains, `_has`) is asked of these as they are now.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.formats import json
from gateway.model import Resource
from gateway.search import match, parameters
from gateway.search.parameters import Kind
from gateway.search.query import AllTerm, AnyTerm, ChainTerm, HasTerm, NotTerm, Query, Sort, SortBy, Term
from gateway.store.postgres import search_order as orders
from gateway.store.postgres.index_rows import KEY_CHARACTERS, plain
from gateway.store.postgres.plan import Extract
from gateway.store.postgres.search_scope import main_date

Row = Mapping[str, Any]
Ask = Callable[[Query], Awaitable[set[str]]]
"""Gives the ids of current resources that a query finds."""
Link = ChainTerm | HasTerm
_ASKED_MAX: Final = 500
_TURN: Final = 50
"""How many bodies are judged in one turn of the loop."""


async def answering(query: Query, former: Iterable[Row], extract: Extract, ask: Ask) -> list[Row]:
    """Return those of some former versions that a query finds, with the keys of its order, as `search_sql.page` has them."""
    alone = [term for term in query.terms if not any(links(term))]
    linked = [term for term in query.terms if any(links(term))]
    held: list[tuple[Row, Resource]] = []
    for place, row in enumerate(former, 1):
        if not query.ids or row["id"] in query.ids:
            resource: Resource = json.loads(row["body"])
            if all(match.holds(term, resource) for term in (*query.updated, *alone)):
                held.append((row, resource))
        if not place % _TURN:
            await asyncio.sleep(0)  # others come in between
    if linked and held:
        told = _Told(query, [link for term in linked for link in links(term)])
        await told.learn([resource for _, resource in held], ask)
        held = [(row, resource) for row, resource in held if all(told.holds(term, resource) for term in linked)]
    return [{**row, **_keys(query, row, resource, extract)} for row, resource in held]


def links(term: Term) -> Iterator[Link]:
    """Yield what a term asks of other resources."""
    match term:
        case ChainTerm() | HasTerm():
            yield term
        case NotTerm():
            yield from links(term.term)
        case AllTerm() | AnyTerm():
            for one in term.terms:
                yield from links(one)
        case _:
            pass


@dataclass(slots=True)
class _Told:
    """What other resources say: for each link the ids that answer it, of targets for a chain, of its own for a `_has`."""

    query: Query
    links: Sequence[Link]
    found: dict[Link, set[str]] = field(default_factory=dict)

    async def learn(self, resources: Sequence[Resource], ask: Ask) -> None:
        for link in self.links:
            if isinstance(link, ChainTerm):
                kind, term = link.type, link.term
                ids = {one for resource in resources for one in _targets(resource, link)}
            else:
                kind, term = self.query.type, link
                ids = {str(resource["id"]) for resource in resources}
            named, found = sorted(ids), self.found.setdefault(link, set())
            for start in range(0, len(named), _ASKED_MAX):
                some = tuple(named[start : start + _ASKED_MAX])
                found |= await ask(_beside(self.query, kind, term, some))

    def holds(self, term: Term, resource: Resource) -> bool:
        match term:
            case ChainTerm():
                return not self.found[term].isdisjoint(_targets(resource, term))
            case HasTerm():
                return resource["id"] in self.found[term]
            case NotTerm():
                return not self.holds(term.term, resource)
            case AllTerm():
                return all(self.holds(one, resource) for one in term.terms)
            case AnyTerm():
                return any(self.holds(one, resource) for one in term.terms)
            case _:
                return match.holds(term, resource)


def _beside(query: Query, kind: str, term: Term, ids: tuple[str, ...]) -> Query:
    """Return the question which of some current resources answer a term, asked by whoever asks the query."""
    return replace(
        query, type=kind, terms=(term,), ids=ids, updated=(), sort=Sort.NEWEST, order=(), count=len(ids), after=None,
        until=None, as_of=None, total=False, includes=(),
    )  # fmt: skip


def _targets(resource: Resource, link: ChainTerm) -> set[str]:
    start = f"{link.type}/"
    return {one.removeprefix(start) for one in match.references(resource, link.parameter) if one.startswith(start)}


def _keys(query: Query, row: Row, resource: Resource, extract: Extract) -> dict[str, Any]:
    if not query.order:
        by_update = query.sort in {Sort.NEWEST, Sort.OLDEST}
        return {"key": row["updated"] if by_update else extract(resource).date_low}
    return {f"k{place}": _key(by, row, resource, extract) for place, by in enumerate(query.order, 1)}


def _key(by: SortBy, row: Row, resource: Resource, extract: Extract) -> Any:
    """Return what `search_order` sorts by, of a body instead of rows."""
    kind = resource["resourceType"]
    if by.parameter in {"_id", "_lastUpdated"}:
        return row["id" if by.parameter == "_id" else "updated"]
    if by.parameter == main_date(kind):
        return extract(resource).date_low
    value = match.sort_key(resource, by.parameter, descending=by.descending)
    if not isinstance(value, str):
        return value
    known = parameters.of(kind).get(by.parameter)
    text = plain(value)
    return text[:KEY_CHARACTERS] if known is not None and known.kind is Kind.STRING else text


def joined(query: Query, rows: Sequence[Row], former: Sequence[Row], after: Row | None) -> list[Row]:
    """Return the rows of a page with the former ones that belong among them, in order. `after` is the row that the last
    page ended with.
    """
    if after is not None:
        behind = in_order(query, [*(row for row in former if row["rid"] != after["rid"]), after])
        former = behind[behind.index(after) + 1 :]
    changed = {row["rid"] for row in former}
    kept = [row for row in rows if row["rid"] not in changed]  # changed between the one question and the other
    return in_order(query, [*kept, *former]) if former else kept


def in_order(query: Query, rows: Sequence[Row]) -> list[Row]:
    """Return rows in the order of `search_sql.page`."""
    if not query.order:
        newest = query.sort in orders.NEWEST
        return _by(sorted(rows, key=lambda row: row["rid"], reverse=newest), "key", descending=newest)
    found = sorted(rows, key=lambda row: row["rid"], reverse=query.order[0].descending)
    found = [
        *(row for row in found if row["k1"] is not None),
        *sorted((row for row in found if row["k1"] is None), key=lambda row: row["id"]),
    ]
    for place, by in reversed(list(enumerate(query.order, 1))):
        found = _by(found, f"k{place}", descending=by.descending)
    return found


def _by(rows: Sequence[Row], name: str, *, descending: bool) -> list[Row]:
    """Return rows by one key, those without it last, equal ones as they were."""
    valued = [row for row in rows if row[name] is not None]
    return [
        *sorted(valued, key=lambda row: _zoned(row[name]), reverse=descending),
        *(row for row in rows if row[name] is None),
    ]


def _zoned(value: Any) -> Any:
    """Return a key that compares with others: what is open to the past comes out of the database without a zone."""
    return value.replace(tzinfo=dt.UTC) if isinstance(value, dt.datetime) and value.tzinfo is None else value
