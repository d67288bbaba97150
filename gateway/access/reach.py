"""What a question touches beside the type that it is about: the types that its chains, `_has` and `_list` go through. Pure.

To ask about a resource by what another one says is to learn what that one says, answer by answer (a caller who may
search Observations alone could spell the names of their patients). So a chain goes through types alone that the caller may
search: of several that it may go through the others do not exist for him, and where none is left it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.search.query import AllTerm, AnyTerm, ChainTerm, HasTerm, NotTerm, Query, Term

Opens = Callable[[str], bool]
_LEADING: Final = (ChainTerm, HasTerm, NotTerm, AllTerm, AnyTerm)


class OutOfReachError(Exception):
    """A chain leads through a type that may not be searched, and through no other. `type` is its name."""

    def __init__(self, resource_type: str) -> None:
        super().__init__(resource_type)
        self.type = resource_type


def narrowed(query: Query, opens: Opens) -> Query:
    """Return the query without what is out of reach; itself where all is within. Raises OutOfReachError."""
    if not any(isinstance(term, _LEADING) for term in query.terms):
        return query
    terms = tuple(_term(term, opens) for term in query.terms)
    return query if terms == query.terms else replace(query, terms=terms)


def _term(term: Term, opens: Opens) -> Term:
    match term:
        case ChainTerm() | HasTerm():
            if not opens(term.type):
                raise OutOfReachError(term.type)
            return replace(term, term=_term(term.term, opens))
        case NotTerm():
            return NotTerm(_term(term.term, opens))
        case AllTerm():
            return AllTerm(tuple(_term(inner, opens) for inner in term.terms))
        case AnyTerm():
            return _any(term, opens)
        case _:
            return term


def _any(term: AnyTerm, opens: Opens) -> AnyTerm:
    kept: list[Term] = []
    refused: OutOfReachError | None = None
    for inner in term.terms:
        try:
            kept.append(_term(inner, opens))
        except OutOfReachError as error:
            refused = refused or error
    if refused is not None and not kept:
        raise refused
    return AnyTerm(tuple(kept))
