"""What a search request asks, type by type: the type of its address, the types of `_type`, those of a compartment.

Several types are searched one after another, in the order of `_type` (of their names without it): a page goes on with
the next type where one has no more, and `_sort` orders within a type.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway import access, errors
from gateway.access import Actor, Search
from gateway.access.scopes import Letter
from gateway.search import parameters, parse
from gateway.search.parse import Asked, Terminology
from gateway.search.query import AnyTerm, IdTerm, Query, Term
from gateway.serve.routes import Matched

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Question:
    """A search as understood: one Asked for each type, all made of the same parameters."""

    parts: Sequence[Asked]

    @property
    def used(self) -> Pairs:
        """The parameters that count."""
        return self.parts[0].used

    @property
    def ignored(self) -> list[str]:
        """Why others do not."""
        return self.parts[0].ignored


def understood(
    actor: Actor,
    matched: Matched,
    pairs: Pairs,
    *,
    lenient: bool,
    now: dt.datetime,
    base: str,
    codes: Terminology | None = None,
) -> Question:
    """Return the question of a request. A caller without the right hears so before anything is said of the parameters.

    `codes` knows value sets and hierarchies (`:in`, `:below`).

    Raises NotPermitted, NotFound, Incorrect.
    """
    types, rest = _types(actor, matched, pairs)
    parts = [parse.understand(kind, rest, lenient=lenient, now=now, base=base, codes=codes) for kind in types]
    if matched.member:
        for part in parts:
            part.query = _within(part.query, matched.type, matched.id)
    if rest is not pairs:  # _type was understood here
        parts[0].used += [pair for pair in pairs if pair[0] == "_type"]
    return Question(parts)


def _types(actor: Actor, matched: Matched, pairs: Pairs) -> tuple[list[str], Pairs]:
    """Return the types to search, each of which the caller may search, and the other parameters."""
    if matched.type and not matched.member:
        access.decide(actor, Search(Query(matched.type)))
        return [matched.type], pairs
    if matched.member not in {"", "*"}:
        access.decide(actor, Search(Query(matched.member)))
        if not parameters.compartment(matched.type, matched.member):
            raise errors.NotFound(f"{matched.member} is not in the {matched.type} compartment")
        return [matched.member], pairs
    members = [
        name for name in sorted(parameters.types()) if not matched.type or parameters.compartment(matched.type, name)
    ]
    mine = access.open_to(actor, Letter.SEARCH, members)
    listed = [value for name, value in pairs if name == "_type" and value]
    if not listed:
        return mine, pairs
    named = list(dict.fromkeys(name for value in listed for name in value.split(",")))
    if unknown := [name for name in named if name not in parameters.types()]:
        raise errors.Incorrect(f"_type names {len(unknown)} that R4 does not have", at="_type")
    for name in named:
        access.decide(actor, Search(Query(name)))
    chosen = [name for name in named if name in members]
    if not chosen:
        raise errors.Incorrect(f"_type names no type of the {matched.type} compartment", at="_type")
    return chosen, [pair for pair in pairs if pair[0] != "_type"]


def _within(query: Query, compartment: str, name: str) -> Query:
    """Return a query narrowed to what is in a compartment."""
    terms: list[Term] = []
    for parameter in parameters.compartment(compartment, query.type):
        if parameter == "_id":
            terms.append(IdTerm((name,)))
        else:
            terms += parse.understand(query.type, [(parameter, f"{compartment}/{name}")]).query.terms
    terms = list(dict.fromkeys(terms))
    term = terms[0] if len(terms) == 1 else AnyTerm(tuple(terms))
    return replace(query, terms=(*query.terms, term))
