"""What a search request asks, type by type: the type of its address, the types of `_type`, those of a compartment.

A search of several types has one order, that of `_lastUpdated`; `several` says how a page of it is put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway import access, errors
from gateway.access import Actor, Search
from gateway.access.scopes import Letter
from gateway.search import parameters, parse
from gateway.search.parse import TYPES_MAX, Asked
from gateway.search.query import AnyTerm, IdTerm, Include, Query, Term
from gateway.search.values import Context
from gateway.serve.routes import Matched

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Question:
    """A search as understood: one Asked for each type, all made of the same parameters."""

    parts: Sequence[Asked]
    used: Pairs
    """The parameters that count, as a further page is asked with them."""

    @property
    def ignored(self) -> list[str]:
        """Why others do not count."""
        return self.parts[0].ignored

    @property
    def includes(self) -> list[Include]:
        """What goes along."""
        if len(self.parts) == 1:
            return [*self.parts[0].query.includes]
        return [*dict.fromkeys(include for part in self.parts for include in part.query.includes)]


@dataclass(frozen=True, slots=True)
class Types:
    """The types that a request searches, each of which its caller may search."""

    names: Sequence[str]
    several: bool
    """Whether the address names one type, or leaves it to `_type` or a compartment."""


def types_of(actor: Actor, matched: Matched, pairs: Pairs) -> Types:
    """Return what a request searches: decided before anything is said of its other parameters.

    `codes` knows value sets and hierarchies (`:in`, `:below`).

    Raises NotPermitted, NotFound, Incorrect.
    """
    if kind := _one(actor, matched):
        return Types([kind], several=False)
    return Types(_several(actor, matched, pairs), several=True)


def understood(matched: Matched, types: Types, pairs: Pairs, context: Context, *, lenient: bool) -> Question:
    """Return the question of a request. Raises Incorrect."""
    parts: list[Asked] = []
    if types.several:
        rest = [pair for pair in pairs if pair[0] != "_type"]
        for start in range(0, len(types.names), TYPES_MAX):
            named = [*rest, ("_type", ",".join(types.names[start : start + TYPES_MAX]))]
            parts += parse.understand_system(
                named, lenient=lenient, now=context.now, base=context.base, codes=context.codes
            )
        used = [pair for pair in parts[0].used if pair[0] != "_type"] + [pair for pair in pairs if pair[0] == "_type"]
    else:
        (kind,) = types.names
        parts.append(
            parse.understand(kind, pairs, lenient=lenient, now=context.now, base=context.base, codes=context.codes)
        )
        used = parts[0].used
    if matched.member:
        for part in parts:
            part.query = _within(part.query, matched.type, matched.id)
    return Question(parts, used)


def _one(actor: Actor, matched: Matched) -> str:
    """Return the one type that an address names, '' when it names several."""
    if matched.member == "*" or not matched.type:
        return ""
    kind = matched.member or matched.type
    access.decide(actor, Search(Query(kind)))
    if matched.member and not _membership(matched.type, kind):
        raise errors.NotFound(f"{kind} is not in the {matched.type} compartment")
    return kind


def _several(actor: Actor, matched: Matched, pairs: Pairs) -> list[str]:
    """Return the types that `_type` names, or all of a compartment.

    Of the types of a compartment those that the caller may not search are left out; those that it names itself are not.
    """
    named = list(dict.fromkeys(name for key, value in pairs if key == "_type" for name in value.split(",") if name))
    members = [name for name in sorted(parameters.types()) if not matched.type or _membership(matched.type, name)]
    mine = access.open_to(actor, Letter.SEARCH, members)
    if not named:
        if not matched.type:
            raise errors.Incorrect("a search of the whole system says which types: _type=A,B", at="_type")
        return mine
    if not {*named} <= {*parameters.types()}:
        raise errors.Incorrect("_type names a type that R4 does not have", at="_type")
    for name in named:
        access.decide(actor, Search(Query(name)))
    chosen = [name for name in named if name in members]
    if len(chosen) < len(named) or len(named) > TYPES_MAX:
        raise errors.Incorrect(f"_type names at most {TYPES_MAX} types, of this compartment", at="_type")
    return chosen


def _membership(compartment: str, kind: str) -> tuple[str, ...]:
    """Return what puts a resource into a compartment; the resource that gives it its name is always in it (`_id`)."""
    listed = parameters.compartment(compartment, kind)
    return tuple(dict.fromkeys((*listed, "_id"))) if kind == compartment else listed


def _within(query: Query, compartment: str, name: str) -> Query:
    """Return a query narrowed to what is in a compartment."""
    terms: list[Term] = []
    for parameter in _membership(compartment, query.type):
        if parameter == "_id":
            terms.append(IdTerm((name,)))
        else:
            terms += parse.understand(query.type, [(parameter, f"{compartment}/{name}")]).query.terms
    terms = list(dict.fromkeys(terms))
    term = terms[0] if len(terms) == 1 else AnyTerm(tuple(terms))
    return replace(query, terms=(*query.terms, term))
