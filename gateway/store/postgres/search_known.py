"""What the dictionary of words knows of all resources of a type, and what it makes simpler in a question.

* Of an element of one code (`status`) that no resource lacks: `status:not=final` is one of the other codes that there are.
  They are few, or soon met; a walk that looks for what is not there goes to its end.
* A code that stands in one system alone: `code=system|x` is `code=x`, which is counted by an index alone.

The dictionary only grows, and before the resources do (`Vocabulary.learn`): what it does not know is nowhere yet. Whoever
remembers an answer asks again afterwards whether it still knew no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from gateway.search import parameters, words
from gateway.search.query import AllTerm, IdTerm, NotTerm, Query, Term, TokenTerm
from gateway.search.values import NO_ID
from gateway.store.postgres.connections import Connection
from gateway.store.postgres.vocabulary import Vocabulary

_CODES_MAX: Final = 200
"""More codes than an element of R4's own codes has."""


def asks(query: Query) -> bool:
    """Say whether a question may be made simpler."""
    return any(_negative(term, query.type) or (query.total and _coded(term, query.type)) for term in _flat(query.terms))


async def simpler(connection: Connection, vocabulary: Vocabulary, query: Query) -> Query:
    """Return the question as it is asked where so much is known."""
    terms = [await _simpler(connection, vocabulary, term, query) for term in _flat(query.terms)]
    return replace(query, terms=tuple(terms))


def _flat(terms: Sequence[Term]) -> Iterator[Term]:
    for term in terms:
        if isinstance(term, AllTerm):
            yield from _flat(term.terms)
        else:
            yield term


def _negative(term: Term, resource_type: str) -> bool:
    if not isinstance(term, NotTerm) or not isinstance(term.term, TokenTerm):
        return False
    known = parameters.of(resource_type).get(term.term.parameter)
    return known is not None and words.single(resource_type, known)


def _coded(term: Term, resource_type: str) -> bool:
    if not isinstance(term, TokenTerm) or term.parameter != "code" or term.codes in ((), term.values):
        return False
    known = parameters.of(resource_type).get("code")
    return known is not None and known.stored_as == ("code",) and words.all_told(known)


async def _simpler(connection: Connection, vocabulary: Vocabulary, term: Term, query: Query) -> Term:
    if isinstance(term, NotTerm) and isinstance(term.term, TokenTerm) and _negative(term, query.type):
        return await _others(connection, vocabulary, term, term.term, query.type)
    if isinstance(term, TokenTerm) and query.total and _coded(term, query.type):
        return await _whatever_system(connection, vocabulary, term, query.type)
    return term


async def _others(
    connection: Connection, vocabulary: Vocabulary, term: NotTerm, inner: TokenTerm, resource_type: str
) -> Term:
    asked = [("", False)]
    (found,) = await vocabulary.tokens(connection, resource_type, [inner.parameter], asked, _CODES_MAX)
    tokens = {token for _, token in found}
    if len(found) > _CODES_MAX or 0 in tokens:  # there are too many, or some lack it
        return term
    others = tuple(sorted(tokens.difference(inner.values)))
    return TokenTerm(inner.parameter, others) if others else IdTerm((NO_ID,))


async def _whatever_system(connection: Connection, vocabulary: Vocabulary, term: TokenTerm, resource_type: str) -> Term:
    """Return the term without the systems of codes that stand in no other."""
    codes = sorted({code for value, code in zip(term.values, term.codes, strict=True) if value != code})
    asked = [(words.systems_of(code), True) for code in codes]
    told = await vocabulary.tokens(connection, resource_type, ["code"], asked, 1)
    alone = {full[0][1] for full in told if len(full) == 1}
    values = tuple(code if value in alone else value for value, code in zip(term.values, term.codes, strict=True))
    return replace(term, values=values)
