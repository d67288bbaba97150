"""What follows from a question about texts (`_text`, `_content`, `:text`) and has an index: tokens that tell of its words.

A resource that answers has one of them for each word asked for (`search.words`). What the dictionary holds is asked anew
for each question: a process keeps no copy of what others may have added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway.search import parameters, words
from gateway.search.parameters import Kind
from gateway.search.query import AllTerm, AnyTerm, How, StringTerm, Term, TextTerm, TokenTerm
from gateway.store.postgres.connections import Connection
from gateway.store.postgres.vocabulary import Vocabulary

TOLD_MAX: Final = 1_000
"""How many tokens may tell of a word: beyond, so many resources have it that a walk soon meets some."""
ALWAYS: Final = AllTerm(())
Texts = Mapping[TextTerm, Term]
"""What follows from each of some questions."""


async def look(connection: Connection, vocabulary: Vocabulary, terms: Sequence[Term], resource_type: str) -> Texts:
    """Return what follows from the questions about texts among some terms, in one trip for each."""
    found: dict[TextTerm, Term] = {}
    for term in _texts(terms):
        if term not in found:
            found[term] = await _follows(connection, vocabulary, term, resource_type)
    return found


def _texts(terms: Sequence[Term]) -> Iterator[TextTerm]:
    for term in terms:
        match term:
            case TextTerm():
                yield term
            case AllTerm() | AnyTerm():
                yield from _texts(term.terms)
            case _:
                pass


async def _follows(connection: Connection, vocabulary: Vocabulary, term: TextTerm, resource_type: str) -> Term:
    known = parameters.of(resource_type).get(term.parameter)
    if known is None:
        return ALWAYS
    if known.kind is Kind.STRING and term.parameter not in parameters.TEXTS:
        return _part_of(term, known.stored_as)
    names = words.parameters_of(known)
    if names is None:
        return ALWAYS
    asked = [words.asked(value) for value in term.values]
    told = iter(
        await vocabulary.tokens(connection, resource_type, names, [one for each in asked for one in each], TOLD_MAX)
    )
    code = vocabulary.parameters.get("code", 0)
    ways = [AllTerm(tuple(_told(term.parameter, word, next(told), code) for word, _ in each)) for each in asked]
    return ways[0] if len(ways) == 1 else AnyTerm(tuple(ways))


def _told(name: str, word: str, found: Sequence[tuple[int, int]], code: int) -> Term:
    """Return the term of the tokens that tell of a word, and of its beginning, by which words are found that nothing tells."""
    beginning = words.beginning(word)
    if beginning is None or len(found) > TOLD_MAX:
        return ALWAYS
    tokens = tuple(dict.fromkeys([*(token for _, token in found), beginning]))
    # a code's may stand in the column of the code
    return TokenTerm(name, tokens, tokens if any(parameter == code for parameter, _ in found) else ())


def _part_of(term: TextTerm, stored_as: Sequence[str]) -> Term:
    """Return what follows from `:text` of a string: its texts have the one asked for somewhere."""
    parts = tuple(StringTerm(name, term.values, How.CONTAINS) for name in stored_as)
    return parts[0] if len(parts) == 1 else AnyTerm(parts)
