"""What no index answers whole: texts, places, composites. SQL narrows by what follows from them, the bodies decide.

`search.match` judges each candidate, in the order asked for, until the page is full; so pages and totals are as right as
those of any other search. How many bodies one search may read is limited (`SCAN_MAX`): beyond it the question is refused
as too costly, never answered in part.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.errors import TooCostly
from gateway.formats import json
from gateway.model import Resource
from gateway.search import match, parameters
from gateway.search.query import (
    After,
    AllTerm,
    AnyTerm,
    ChainTerm,
    CompositeTerm,
    HasTerm,
    IdTerm,
    MissingTerm,
    NearTerm,
    NotTerm,
    Query,
    StringTerm,
    Term,
    TextTerm,
    fold,
)
from gateway.store.postgres.index_rows import NO_STRINGS
from gateway.store.postgres.search_texts import ALWAYS as _ALWAYS
from gateway.store.postgres.search_texts import Texts

SCAN_MAX: Final = 10_000
"""How many bodies one search reads at most, to find out which of them answer it."""
BETWEEN_MAX: Final = 1_000
"""How many resources in the middle of a chain may answer what no index does."""
_FIRST: Final = 100
"""How many bodies are read at first to fill a page, where most may not answer."""
_BESIDE: Final = 4
"""How many more than the page are, where nearly all do."""
_MOST: Final = 1_000
_TURN: Final = 50
"""How many bodies are judged in one turn of the loop."""
_WORD: Final = re.compile(r"\w+")

Row = Mapping[str, Any]
Fetch = Callable[[Query, Sequence[Term]], Awaitable[Sequence[Row]]]
"""Gives count + 1 rows at most of a query whose terms all have an index, with what is told of each (`search_sql.page`)."""
Next = Callable[[Query, Row], After]


def indexed(term: Term) -> bool:
    """Say whether an index answers a term, all of it."""
    match term:
        case TextTerm() | NearTerm() | CompositeTerm():
            return False
        case StringTerm():
            return term.parameter not in NO_STRINGS
        case NotTerm() | ChainTerm() | HasTerm():
            return indexed(term.term)
        case AllTerm() | AnyTerm():
            return all(map(indexed, term.terms))
        case _:
            return True


def implied(term: Term, resource_type: str, texts: Texts) -> Term:
    """Return what follows from a term and has an index; in the end, nothing."""
    if indexed(term):
        return term
    match term:
        case CompositeTerm():
            known = parameters.of(resource_type)
            rows = [[one for one in row if known.get(_name(one)) and indexed(one)] for row in term.values]
            return AnyTerm(
                tuple(AllTerm(tuple(one for one in row if not isinstance(one, MissingTerm))) for row in rows)
            )
        case AllTerm():
            return AllTerm(tuple(implied(one, resource_type, texts) for one in term.terms))
        case AnyTerm():
            return AnyTerm(tuple(implied(one, resource_type, texts) for one in term.terms))
        case TextTerm():
            return texts.get(term, _ALWAYS)
        case _:
            return _ALWAYS


def _name(term: Term) -> str:
    name: str = getattr(term, "parameter", "")
    return name


async def settled(terms: Iterable[Term], ids: Callable[[str, Term], Awaitable[tuple[str, ...]]]) -> tuple[Term, ...]:
    """Return terms in which the middle of every chain has an index: where it had none, it is what `ids` found there."""
    return tuple([await _settled(term, ids) for term in terms])


async def _settled(term: Term, ids: Callable[[str, Term], Awaitable[tuple[str, ...]]]) -> Term:
    match term:
        case ChainTerm() | HasTerm() if not indexed(term.term):
            return replace(term, term=IdTerm(await ids(term.type, term.term)))
        case NotTerm():
            return NotTerm(await _settled(term.term, ids))
        case AllTerm():
            return AllTerm(await settled(term.terms, ids))
        case AnyTerm():
            return AnyTerm(await settled(term.terms, ids))
        case _:
            return term


def _words(term: TextTerm) -> list[str]:
    """Return of each text that a term asks for a word that is within it: '' where none is."""
    return [found[0] if (found := _WORD.search(value)) else "" for value in term.values]


def _lacks(body: bytes, words: list[list[str]]) -> bool:
    """Say whether a body, as it is written, has none of the words of a term: most are told so without being read.

    A narrative may write a letter as an entity: where there is one, nothing is said.
    """
    text = body.decode()
    text = text.lower() if text.isascii() else fold(text)
    return "&" not in text and any(all(word not in text for word in of_term) for of_term in words)


@dataclass(slots=True)
class Recheck:
    """One search with terms that bodies decide; all chains are `settled`."""

    query: Query
    texts: Texts
    """What follows from what is asked of texts."""
    told: list[Term] = field(default_factory=list)
    """Parts that need other resources than the one judged: SQL answers them beside it."""
    asked: list[Term] = field(default_factory=list)
    narrowed: Query = field(init=False)
    sure: bool = field(init=False)
    """Whether nearly all that the index leaves answer: it tells of the words that are asked for."""
    read: int = 0

    def __post_init__(self) -> None:
        query = self.query
        self.asked = [term for term in query.terms if not indexed(term)]
        for term in self.asked:
            self._tell(term)
        self.sure = all(isinstance(term, TextTerm) and self.texts.get(term, _ALWAYS) != _ALWAYS for term in self.asked)
        narrowed = tuple(implied(term, query.type, self.texts) for term in query.terms)
        self.narrowed = replace(query, terms=tuple(term for term in narrowed if term != _ALWAYS), total=False)

    def _tell(self, term: Term) -> None:
        match term:
            case ChainTerm() | HasTerm():
                self.told.append(term)
            case NotTerm():
                self._tell(term.term)
            case AllTerm() | AnyTerm():
                for one in term.terms:
                    self._tell(one)
            case _:
                pass

    async def found(self, fetch: Fetch, after: Next, limit: int) -> list[Row]:
        """Return the first rows, at most `limit`, from where the query's page starts. Raises TooCostly."""
        rows: list[Row] = []
        first = limit + _BESIDE if self.sure else max(_FIRST, 2 * limit)
        query = replace(self.narrowed, count=min(first, _MOST))
        while True:
            batch = await fetch(query, self.told)
            more, batch = len(batch) > query.count, batch[: query.count]
            for place, row in enumerate(batch, 1):
                if self._answers(row):
                    rows.append(row)
                    if len(rows) == limit:
                        return rows
                if not place % _TURN:
                    await asyncio.sleep(0)  # to judge takes a while; others come in between
            if not more:
                return rows
            self.read += len(batch)
            if self.read >= SCAN_MAX:
                raise TooCostly(
                    f"more than {SCAN_MAX} resources would have to be read for what no index answers; narrow the search"
                )
            query = replace(query, after=after(query, batch[-1]), count=min(_MOST, 2 * query.count))

    def _answers(self, row: Row) -> bool:
        words = [_words(term) for term in self.asked if isinstance(term, TextTerm)]
        if words and _lacks(row["body"], words):
            return False
        resource: Resource = json.loads(row["body"])
        return all(self._holds(term, row, resource) for term in self.asked)

    def _holds(self, term: Term, row: Row, resource: Resource) -> bool:
        match term:
            case ChainTerm() | HasTerm():
                held: bool = row[f"t{self.told.index(term) + 1}"]
                return held
            case NotTerm():
                return not self._holds(term.term, row, resource)
            case AllTerm():
                return all(self._holds(one, row, resource) for one in term.terms)
            case AnyTerm():
                return any(self._holds(one, row, resource) for one in term.terms)
            case _:
                return match.holds(term, resource)
