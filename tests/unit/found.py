"""What a store would find by an `Index` alone: its conditions, in Python. For the laws of search."""

from __future__ import annotations

from gateway.search import amounts, parameters, times
from gateway.search.query import (
    AllTerm,
    AnyTerm,
    DateTerm,
    How,
    Index,
    MissingTerm,
    NotTerm,
    NumberTerm,
    QuantityTerm,
    Query,
    ReferenceTerm,
    StringTerm,
    TokenTerm,
)  # fmt: skip


def found(index: Index, query: Query) -> bool:
    """Say whether an index holds what a query's terms ask for."""
    return all(holds(index, term, query.type) for term in query.terms)


def holds(index: Index, term, kind: str) -> bool:
    match term:
        case NotTerm():
            return not holds(index, term.term, kind)
        case AllTerm():
            return all(holds(index, one, kind) for one in term.terms)
        case AnyTerm():
            return any(holds(index, one, kind) for one in term.terms)
        case MissingTerm():
            return bool(index.present >> parameters.of(kind).get(term.parameter).bit & 1) is not term.missing
        case TokenTerm() | ReferenceTerm():
            return not {*index.tokens, index.patient, index.code}.isdisjoint(term.values)
        case DateTerm():
            main = parameters.of(kind).main_date
            covered = [(index.date_low, index.date_high)] if term.parameter == main and index.date_low else []
            covered += [(low, high) for name, low, high in index.dates if name == term.parameter]
            return any(times.compare(prefix, one, (low, high)) for one in covered for prefix, low, high in term.values)
        case StringTerm():
            kept = [(folded, written) for name, folded, written in index.strings if name == term.parameter]
            return any(compare(term.how, *texts, asked) for texts in kept for asked in term.values)
        case NumberTerm() | QuantityTerm():
            kept = [measure for measure in index.measures if measure.parameter == term.parameter]
            return any(amounts.answers(asked, measure) for measure in kept for asked in term.values)
    raise AssertionError(f"no index answers {type(term).__name__}")


def compare(how: How, folded: str, written: str, asked: str) -> bool:
    return {
        How.EXACT: written == asked, How.BELOW: written == asked or written.startswith(asked.rstrip("/") + "/"), How.EQUALS: folded == asked,
        How.STARTS: folded.startswith(asked), How.CONTAINS: asked in folded, How.ENDS: folded.endswith(asked),
    }[how]  # fmt: skip
