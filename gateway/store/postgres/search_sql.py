"""A query → one SQL statement and its arguments. Pure; `search` runs it.

The planner guesses badly where `tokens && …` stands beside another condition (docs/explanation/store.md), so the
driving index is decided here. A statement is one or more *branches*, each an index walk of its own in the order asked
for, cut at the page size; together they hold every match once. Values are arguments, never text. In the order of
preference the branches come from

* `_id`: the unique index
* a patient: (patient, type, low) or, with a code, (patient, code, low)
* a code: (type, code, low), a branch per code; and the token index for resources whose preferred coding is another
* a token that is not frequent: the token index
* the main date: (type, low), with a branch for long intervals where a lower bound says nothing about `low`
* a date beside the main one: its rows
* else the order itself: (type, updated) or (type, low)

`Observation?patient=Patient/p&code=8480-6` becomes::

    select rid, low as key, version, updated, id, lane, body from resource r
     where type = 89 and not deleted and patient = $1 and code = $2 order by low desc nulls last, rid desc limit 21
    union all … the token index for other codings of a resource …

A condition on tokens that must not drive is written `(tokens && $1) is true`, which no index answers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.search import parameters
from gateway.search.query import DateTerm, Query, ReferenceTerm, Sort, TokenTerm
from gateway.store.postgres import search_dates as dates
from gateway.store.postgres.search_dates import Arguments

Frequent = Callable[[Collection[int]], float]
"""Says about how many resources hold one of these tokens."""

_INSTANT: Final = "interval '1 millisecond'"
_CODE_BRANCHES_MAX: Final = 8
_RARE_ROWS_MAX: Final = 3000
"""Up to about so many matches the token index is cheaper than walking the order and filtering."""
_COLUMNS: Final = "r.rid, {key} as key, r.version, r.updated, r.id, r.lane, r.body"


@dataclass(slots=True)
class Statement:
    """SQL with its arguments."""

    sql: str
    arguments: list[Any]


@dataclass(slots=True)
class _Plan:
    """Conditions that every branch has, and the branches' own."""

    shared: list[str]
    branches: list[list[str]]
    dated: bool
    """Whether the conditions leave out resources without a main date."""


def page(query: Query, type_code: int, frequent: Frequent) -> Statement:
    """Return the statement for one page: columns rid, key, version, updated, id, lane, body; count + 1 rows."""
    put = Arguments()
    plan = _plan(query, type_code, frequent, put)
    limit = query.count + 1
    selects = [
        f"select {_COLUMNS.format(key=_key(query.sort))} from resource r where {' and '.join(conditions)}"
        f" order by {order} limit {limit}"
        for branch in plan.branches
        for conditions, order in _walks(query, [*plan.shared, *branch], put, dated=plan.dated)
    ]
    if len(selects) == 1:
        return Statement(selects[0], put.values)
    joined = "\nunion all\n".join(f"({select})" for select in selects)
    outer = "key desc nulls last, rid desc" if query.sort in {Sort.NEWEST, Sort.DATE_NEWEST} else "key nulls last, rid"
    return Statement(f"select * from (\n{joined}\n) found order by {outer} limit {limit}", put.values)


def total(query: Query, type_code: int, frequent: Frequent) -> Statement:
    """Return the statement that counts all matches, wherever the page is."""
    put = Arguments()
    plan = _plan(query, type_code, frequent, put)
    counts = [
        f"(select count(*) from resource r where {' and '.join([*plan.shared, *branch])})" for branch in plan.branches
    ]
    return Statement(f"select {' + '.join(counts)}", put.values)


def _key(sort: Sort) -> str:
    return "r.updated" if sort in {Sort.NEWEST, Sort.OLDEST} else "r.low"


def _walks(query: Query, conditions: list[str], put: Arguments, *, dated: bool) -> list[tuple[list[str], str]]:
    """Return (conditions, order) of the index walks of one branch: two where some resources have no main date."""
    after = query.after
    newest = query.sort in {Sort.NEWEST, Sort.DATE_NEWEST}
    sign, way = ("<", " desc") if newest else (">", "")
    column = _key(query.sort)
    undated = [*conditions, "r.low is null"]
    by_date = column == "r.low"
    if by_date and after is not None and after.key is None:
        return [([*undated, f"r.rid {sign} {put(after.rid)}"], f"r.rid{way}")]
    order = f"{column}{way}{' nulls last' if newest and by_date else ' nulls first' if by_date else ''}, r.rid{way}"
    if after is not None:
        conditions = [*conditions, f"({column}, r.rid) {sign} ({put(after.key)}, {put(after.rid)})"]
    if not by_date or dated or (newest and after is None):
        return [(conditions, order)]
    return [([*conditions, "r.low is not null"], order), (undated, f"r.rid{way}")]


def _plan(query: Query, type_code: int, frequent: Frequent, put: Arguments) -> _Plan:
    known = parameters.of(query.type)
    shared = [f"r.type = {type_code:d}", "not r.deleted"]
    tokens = [term for term in query.terms if isinstance(term, TokenTerm | ReferenceTerm)]
    main = [term for term in query.terms if isinstance(term, DateTerm) and term.parameter == known.main_date]
    others = [term for term in query.terms if isinstance(term, DateTerm) and term.parameter != known.main_date]
    branches, drivers = _token_branches(query, tokens, frequent, put)
    shared += [_held(query, term, put) for term in tokens if term not in drivers]
    for term in query.updated:
        shared += [
            dates.condition(term, "r.updated", f"(r.updated + {_INSTANT})", put),
            *dates.range_of_updated(term, put),
        ]
    for term in main:
        shared += [dates.condition(term, "r.low", "r.high", put), *dates.range_of(term, "r.low", put)]
    drives = branches == [[]] and not main
    for number, term in enumerate(others):
        shared.append(dates.beside(term, type_code, put, drives=drives and number == 0))
    if main and not _narrow(query, drivers):
        branches = [[*branch, *window] for branch in branches for window in dates.windows(main, put)]
    return _Plan(shared, branches, dated=bool(main))


def _narrow(query: Query, drivers: Sequence[TokenTerm | ReferenceTerm]) -> bool:
    """Say whether the branches hold so few resources that date bounds need no index of their own."""
    return bool(query.ids) or any(isinstance(term, ReferenceTerm) or not term.codes for term in drivers)


def _token_branches(
    query: Query, terms: Sequence[TokenTerm | ReferenceTerm], frequent: Frequent, put: Arguments
) -> tuple[list[list[str]], list[TokenTerm | ReferenceTerm]]:
    """Return the branches' own conditions and the terms that they stand for."""
    if query.ids:
        return [[f"r.id = any({put(list(query.ids), '::text[]')})"]], []
    patient = next((t for t in terms if isinstance(t, ReferenceTerm) and _of_patient(query.type, t)), None)
    code = next((term for term in terms if isinstance(term, TokenTerm) and term.codes), None)
    if patient is not None:
        branches = _patient_branches(query.type, patient, put)
        if code is None or len(branches) > 1:
            return branches, [patient]
        return [[*branches[0], *branch] for branch in _code_branches(code, frequent, put)], [patient, code]
    if code is not None:
        return _code_branches(code, frequent, put), [code]
    rarest = min(terms, key=lambda term: frequent(term.values), default=None)
    if rarest is not None and frequent(rarest.values) <= _RARE_ROWS_MAX:
        return [[f"r.tokens && {put(list(rarest.values), '::bigint[]')}"]], [rarest]
    return [[]], []


def _of_patient(resource_type: str, term: TokenTerm | ReferenceTerm) -> bool:
    """Say whether a term asks for patients: `patient`, or `subject` with an id that may be a patient's."""
    if not isinstance(term, ReferenceTerm):
        return False
    parameter = parameters.of(resource_type).get(term.parameter)
    return term.parameter == "patient" or (parameter is not None and parameter.as_patient)


def _patient_branches(resource_type: str, term: ReferenceTerm, put: Arguments) -> list[list[str]]:
    values = list(term.values)
    column = f"r.patient = {put(values[0])}" if len(values) == 1 else _in("r.patient", values, put)
    patient = parameters.of(resource_type).get("patient")
    places = patient.paths if patient is not None else ()
    if term.parameter == "patient" and len(places) == 1 and not any(step.repeats for step in places[0].steps):
        return [[column]]
    # the second patient of an appointment, and what `subject` may be besides, stand among the tokens
    beside = f"(r.patient is null or not {_in('r.patient', values, put)})"
    return [[column], [f"r.tokens && {put(values, '::bigint[]')}", beside]]


def _code_branches(term: TokenTerm, frequent: Frequent, put: Arguments) -> list[list[str]]:
    """Return a branch per code by its column, and one for resources whose preferred coding is another.

    The code-only form of a coding that is not preferred stands among the tokens, its form with a system always.
    """
    codes = list(dict.fromkeys(term.codes))
    bare = [value for value, code in zip(term.values, term.codes, strict=True) if value == code]
    full = _tokens(term.values, put)
    exact = [] if len(bare) == len(term.values) else [f"({_in('r.code', bare, put)} or {full})" if bare else full]
    one_by_one = len(codes) <= _CODE_BRANCHES_MAX
    branches = (
        [[f"r.code = {put(code)}", *exact] for code in codes] if one_by_one else [[_in("r.code", codes, put), *exact]]
    )
    other = _tokens(codes, put, drives=frequent(codes) <= _RARE_ROWS_MAX)
    return [*branches, [other, full, f"(r.code is null or not {_in('r.code', codes, put)})"]]


def _held(query: Query, term: TokenTerm | ReferenceTerm, put: Arguments) -> str:
    """Return the condition for a term that drives nothing."""
    held = _tokens(term.values, put)
    if isinstance(term, TokenTerm):
        return f"({_in('r.code', term.values, put)} or {held})" if term.codes else held
    return f"({_in('r.patient', term.values, put)} or {held})" if _of_patient(query.type, term) else held


def _tokens(values: Sequence[int], put: Arguments, *, drives: bool = False) -> str:
    overlap = f"r.tokens && {put(list(values), '::bigint[]')}"
    return overlap if drives else f"({overlap}) is true"


def _in(column: str, values: Sequence[int], put: Arguments) -> str:
    return f"{column} = any({put(list(values), '::bigint[]')})"
