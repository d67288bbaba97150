"""What drives a statement where no index is kept in the order asked for: the few resources that a term leaves.

How many a string, a date, a quantity or a chain leaves is not known beforehand. So the statement looks, up to a limit:
`few` makes a select of row numbers with one promise: **when it gives at most `most` rows, every match is among them**.
When it gives more, the term is not worth driving by, and the walk in order, which then meets a match soon, is taken
instead. Both ways stand in one statement; a gate in front of each lets one of them run.

    with few1 as materialized (select v.rid from string_of v where … limit 1001)
    select … from resource r where (select count(*) from few1) <= 1000 and r.rid = any(array(select rid from few1)) …
    union all
    select … from resource r where (select count(*) from few1) > 1000 and … order by … limit 21
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.search import parameters
from gateway.search.parameters import Kind
from gateway.search.query import (
    AllTerm,
    AnyTerm,
    ChainTerm,
    DateTerm,
    HasTerm,
    How,
    IdTerm,
    NumberTerm,
    QuantityTerm,
    ReferenceTerm,
    StringTerm,
    Term,
    TokenTerm,
)
from gateway.store.postgres import search_dates as dates
from gateway.store.postgres import search_reach
from gateway.store.postgres import search_values as values
from gateway.store.postgres.index_rows import grams_of, longer, plain
from gateway.store.postgres.search_scope import Scope, first, main_date, of_patient, one_patient, one_value
from gateway.store.postgres.search_terms import PATIENT, REFERS, current, holds, kept_as

EVERY = 1_000_000_000
"""As `most`: read all there are, for what is counted."""
_SOMEWHERE: Final = frozenset({How.CONTAINS, How.ENDS})
TARGETS_MAX = 200
"""How many resources a chain may go through to be driven by them: from each a walk starts."""
_PARTS_MAX: Final = 200
SOURCES_MAX = 1000
"""The same of a reverse chain, where each is looked up once; and twice as many as are few."""


@dataclass(slots=True)
class Gate:
    """A set of few resources as `with` lists it: its selects in order, and the condition that it is few indeed."""

    name: str
    most: int
    selects: list[tuple[str, str]] = field(default_factory=list)
    through: str = ""
    """Instead of row numbers, a set of resources `i`: `link` says which rows `r` refer to one of them."""
    link: str = ""
    answers: tuple[Term, ...] = ()
    """The terms that all it holds answers."""

    @property
    def open(self) -> str:
        """The condition that it holds every match."""
        return f"(select count(*) from {self.name}) <= {self.most}"

    @property
    def shut(self) -> str:
        """The condition that it does not."""
        return f"(select count(*) from {self.name}) > {self.most}"

    @property
    def rids(self) -> str:
        """Its row numbers, as an array."""
        return f"array(select rid from {self.name})"


def gate(scope: Scope, terms: Sequence[Term], resource_type: str, most: int) -> Gate | None:
    """Return the set of few that a term leaves, or several of one value (`grouped`); None for what cannot drive."""
    made = Gate(scope.name("few"), most)
    select = _group(scope, terms, resource_type, most) or few(scope, terms[0], resource_type, most, made)
    if select is None:
        return None
    made.selects.append((made.name, f"select rid from ({select}) found limit {most + 1}"))
    by_grams = any(isinstance(term, StringTerm) and term.how in _SOMEWHERE for term in terms)
    made.answers = () if by_grams or isinstance(terms[0], AllTerm | AnyTerm) else tuple(terms)
    return made


def grouped(terms: Iterable[Term], resource_type: str) -> list[tuple[Term, ...]]:
    """Return the terms in groups: those of one parameter of which a resource has one value are a range together."""
    groups: dict[object, list[Term]] = {}
    for place, term in enumerate(terms):
        key: object = place
        if isinstance(term, DateTerm | NumberTerm | QuantityTerm) and (
            term.parameter == main_date(resource_type) or one_value(resource_type, term.parameter)
        ):
            key = (type(term), term.parameter)
        groups.setdefault(key, []).append(term)
    return [tuple(group) for group in groups.values()]


def _group(scope: Scope, terms: Sequence[Term], resource_type: str, most: int) -> str | None:
    if len(terms) == 1:
        return None
    main = [term for term in terms if isinstance(term, DateTerm) and term.parameter == main_date(resource_type)]
    if main:
        return _by_main_date(scope, main, resource_type) if all(map(dates.narrows, main)) else None
    ranges = [term for term in terms if isinstance(term, DateTerm | NumberTerm | QuantityTerm)]
    return _by_rows(scope, ranges, resource_type, most)


def patients(scope: Scope, term: ChainTerm, resource_type: str) -> Gate | None:
    """Return the few patients that a chain goes through: from each, its newest are one short walk."""
    key = kept_as(resource_type, term.parameter, term.type)
    if key != PATIENT or not one_patient(resource_type):
        return None
    # a page from each of n of N patients costs what the walk past those of N / n others does: n is the root of N
    limit = min(TARGETS_MAX, scope.frequencies.few(scope.type(term.type), 2))
    made = Gate("", limit, link=f"r.patient = i.own # ({key})::bigint")
    through = inner(scope, term.term, term.type, limit, made)
    if through is None:
        return None
    made.through, made.name = through
    made.answers = (term,)
    return made


def related(scope: Scope, resource_type: str) -> Gate | None:
    """Return the few patients whom an organisation treats, where nothing else exists for whoever asks: otherwise who treats
    few would have everybody's records walked.
    """
    select = search_reach.related(scope, scope.reach(resource_type), TARGETS_MAX)
    if select is None:
        return None
    name, whole = scope.name("ours"), scope.name("whole")
    selects = [(name, select), (whole, search_reach.records_of_each(scope, name))]
    return Gate(name, TARGETS_MAX, selects, through=whole, link="r.patient = i.patient")


def few(scope: Scope, term: Term, resource_type: str, most: int, made: Gate) -> str | None:
    """Return a select of `rid` that keeps the promise above, None for a term that cannot drive. Selects that it needs
    are added to `made`.
    """
    of_type = current(scope, "r", resource_type)
    match term:
        case IdTerm():
            return f"select r.rid from resource r where {of_type} and {scope.any_of('r.id', list(term.values), 'text')}"
        case DateTerm() if term.parameter == "_lastUpdated":
            return None
        case DateTerm() if term.parameter == main_date(resource_type):
            return _by_main_date(scope, [term], resource_type) if dates.narrows(term) else None
        case StringTerm() if term.how in _SOMEWHERE:
            return _by_grams(scope, term, resource_type, most)
        case StringTerm() | NumberTerm() | QuantityTerm() | DateTerm():
            return _by_rows(scope, [term], resource_type, most)
        case TokenTerm() | ReferenceTerm():
            if _known(scope, term) > most:
                return None
            parts = [f"select r.rid from {first(scope.tokens('r', list(term.values)))} where {of_type}"]
            if isinstance(term, TokenTerm) and term.codes:
                column = scope.any_of("r.code", list(term.values), "bigint")
                parts.append(f"select r.rid from resource r where {of_type} and {column}")
            elif of_patient(resource_type, term.parameter):
                column = scope.any_of("r.patient", list(term.values), "bigint")
                parts.append(f"select r.rid from resource r where {of_type} and {column}")
            return _all(parts, most)
        case ChainTerm():
            return _by_targets(scope, term, resource_type, most, made)
        case HasTerm():
            return _by_sources(scope, term, resource_type, most, made)
        case AllTerm():
            ways = (few(scope, one, resource_type, most, made) for one in sorted(term.terms, key=reach))
            return next((way for way in ways if way is not None), None)
        case AnyTerm():
            found = [few(scope, one, resource_type, most, made) for one in term.terms]
            parts = [one for one in found if one is not None]
            return _all(parts, most) if len(parts) == len(found) else None
        case _:
            return None


def reach(term: Term) -> int:
    """Return how many a kind of term is likely to leave, as a rank: what is asked first."""
    order: tuple[type, ...] = (
        IdTerm, ReferenceTerm, ChainTerm, StringTerm, HasTerm, TokenTerm, QuantityTerm, NumberTerm, DateTerm,
    )  # fmt: skip
    return next((place for place, kind in enumerate(order) if isinstance(term, kind)), len(order))


def _all(parts: list[str], most: int) -> str:
    if not parts:
        return "select 0::bigint as rid where false"
    return " union all ".join(f"(select rid from ({part}) part limit {most + 1})" for part in parts)


def _by_main_date(scope: Scope, terms: Sequence[DateTerm], resource_type: str) -> str:
    whole = [current(scope, "r", resource_type)]
    for term in terms:
        whole += [dates.condition(term, "r.low", "r.high", scope.put), *dates.range_of(term, "r.low", scope.put)]
    return " union all ".join(
        f"select r.rid from {source} where {' and '.join([*whole, *conditions])}"
        for conditions, source in dates.windows(terms, scope.type(resource_type), scope.put)
    )


def _by_rows(scope: Scope, terms: Sequence[values.ValueTerm], resource_type: str, most: int) -> str | None:
    found = values.together(scope, terms, resource_type)
    if len(found) > _PARTS_MAX or not all(one.ranged for one in found):
        return None
    table, parts = values.table(terms[0]), []
    for one in found:
        part = f"select v.rid from {table} v where {one.condition}"
        if values.every_unit(terms[0], one):
            units = "(select code from unit union all select 0) u"
            part = f"select w.rid from {units} cross join lateral ({part} and v.unit = u.code limit {most + 1}) w"
        parts.append(part)
    return _all(parts, most)


def _by_grams(scope: Scope, term: StringTerm, resource_type: str, most: int) -> str | None:
    """Return what has every three characters of a text somewhere, in whatever string, and what has longer texts."""
    type_code = scope.type(resource_type)
    known = parameters.of(resource_type).get(term.parameter)
    asked = [sorted(grams_of(plain(value))) for value in term.values]
    rows = scope.frequencies.rows
    if known is None or known.kind is not Kind.STRING or not all(asked):
        return None
    if sum(min(rows([gram]) for gram in each) for each in asked) + rows([longer(type_code)]) > most:
        return None
    held = [f"r.tokens @> {scope.put(each, 'bigint[]')}" for each in [*asked, [longer(type_code)]]]
    of_type = current(scope, "r", resource_type)
    return _all([f"select r.rid from {first(one)} where {of_type}" for one in held], most)


def inner(scope: Scope, term: Term, resource_type: str, limit: int, made: Gate) -> tuple[str, str] | None:
    """Return the names of the set of resources that a term of a chain leaves (columns patient, own, tokens), and of the
    row numbers that it was looked for among; None for a term that cannot drive.
    """
    select = few(scope, term, resource_type, limit, made)
    if select is None:
        return None
    found, kept = scope.name("near"), scope.name("mid")
    made.selects.append((found, f"select rid from ({select}) found limit {limit + 1}"))
    alias = scope.name("i")
    rids = first(f"{alias}.rid = any(array(select rid from {found}))", alias)
    select = (
        f"select {alias}.patient, {alias}.own, {alias}.tokens from {rids}"
        f" where (select count(*) from {found}) <= {limit}"
        f" and {current(scope, alias, resource_type)} and {holds(scope, term, alias, resource_type)}"
    )
    made.selects.append((kept, select))
    return kept, found


def _too_many(found: str, limit: int, most: int) -> str:
    """Return a select that breaks the promise where a set in the middle was cut: more than `most` rows."""
    return f"select null::bigint as rid from generate_series(0, {most}) where (select count(*) from {found}) > {limit}"


def _by_targets(scope: Scope, term: ChainTerm, resource_type: str, most: int, made: Gate) -> str | None:
    limit = max(TARGETS_MAX, most if most == EVERY else 0)
    through = inner(scope, term.term, term.type, limit, made)
    if through is None:
        return None
    kept, found = through
    of_type = current(scope, "r", resource_type)
    key = kept_as(resource_type, term.parameter, term.type)
    sources = []
    if key == PATIENT:
        sources.append(first(f"r.patient = i.own # ({key})::bigint and {of_type}"))
    if key != PATIENT or not one_patient(resource_type):
        sources.append(first(f"r.tokens @> array[i.own # ({key})::bigint]"))
    parts = [
        f"select r.rid from {kept} i cross join lateral (select r.rid from {source} where {of_type}) r"
        for source in sources
    ]
    return f"{_all(parts, most)} union all {_too_many(found, limit, most)}"


def _known(scope: Scope, term: TokenTerm | ReferenceTerm) -> float:
    """Return about how many resources answer a term, as far as statistics tell."""
    codes = term.codes if isinstance(term, TokenTerm) else ()
    return scope.frequencies.rows(term.values) + scope.frequencies.coded(codes)


def _by_sources(scope: Scope, term: HasTerm, resource_type: str, most: int, made: Gate) -> str | None:
    if isinstance(term.term, TokenTerm | ReferenceTerm) and _known(scope, term.term) > most:
        return None  # so many refer to some that the walk soon meets those
    limit = most if most == EVERY else min(SOURCES_MAX, 2 * most)
    through = inner(scope, term.term, term.type, limit, made)
    if through is None:
        return None
    kept, found = through
    of_type = current(scope, "r", resource_type)
    key = kept_as(term.type, term.parameter, resource_type)
    targets = []
    if key == PATIENT:
        targets.append(f"select i.patient # ({key})::bigint as own from {kept} i where i.patient is not null")
    if key != PATIENT or not one_patient(term.type):
        targets.append(f"select held # ({key})::bigint as own from {kept} i, unnest(i.tokens) held where {REFERS}")
    parts = [
        f"select r.rid from (select distinct own from ({target}) t offset 0) i cross join lateral"
        f" (select r.rid from resource r where r.own = i.own and {of_type} offset 0) r"
        for target in targets
    ]
    return f"{_all(parts, most)} union all {_too_many(found, limit, most)}"
