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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.search import parameters
from gateway.search.query import DateTerm, Query, ReferenceTerm, Sort, TokenTerm
from gateway.store.postgres import search_dates as dates
from gateway.store.postgres.frequencies import Frequencies
from gateway.store.postgres.search_dates import RESOURCE, Arguments, Branch

_INSTANT: Final = "interval '1 millisecond'"
_CODE_BRANCHES_MAX: Final = 8
_NEWEST: Final = frozenset({Sort.NEWEST, Sort.DATE_NEWEST})
_COLUMNS: Final = "r.rid, {key} as key, r.version, r.updated, r.id, r.lane, r.body"


@dataclass(slots=True)
class Statement:
    """SQL with its arguments."""

    sql: str
    arguments: list[Any]


def page(query: Query, type_code: int, frequencies: Frequencies) -> Statement:
    """Return the statement for one page: columns rid, key, version, updated, id, lane, body; count + 1 rows."""
    plan = _Plan(query, type_code, frequencies)
    limit = query.count + 1
    selects = [
        f"select {_COLUMNS.format(key=_key(query.sort))} from {branch.source} where {' and '.join(conditions)}"
        f" order by {order} limit {limit}"
        for branch in plan.branches
        for conditions, order in _walks(query, [*plan.shared, *branch.conditions], plan.put, dated=plan.dated)
    ]
    if len(selects) == 1:
        return Statement(selects[0], plan.put.values)
    joined = "\nunion all\n".join(f"({select})" for select in selects)
    outer = "key desc nulls last, rid desc" if query.sort in _NEWEST else "key nulls last, rid"
    return Statement(f"select * from (\n{joined}\n) found order by {outer} limit {limit}", plan.put.values)


def total(query: Query, type_code: int, frequencies: Frequencies) -> Statement:
    """Return the statement that counts all matches, wherever the page is."""
    plan = _Plan(query, type_code, frequencies)
    counts = [
        f"(select count(*) from {branch.source} where {' and '.join([*plan.shared, *branch.conditions])})"
        for branch in plan.branches
    ]
    return Statement(f"select {' + '.join(counts)}", plan.put.values)


def _key(sort: Sort) -> str:
    return "r.updated" if sort in {Sort.NEWEST, Sort.OLDEST} else "r.low"


def _walks(query: Query, conditions: list[str], put: Arguments, *, dated: bool) -> list[tuple[list[str], str]]:
    """Return (conditions, order) of the index walks of one branch: two where some resources have no main date."""
    after = query.after
    newest = query.sort in _NEWEST
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


class _Plan:
    """What a query becomes: the conditions of all branches, the branches, and the arguments of both."""

    def __init__(self, query: Query, type_code: int, frequencies: Frequencies) -> None:
        self.put = Arguments()
        self._query = query
        self._type = type_code
        self._frequencies = frequencies
        self.shared = [f"r.type = {type_code:d}", "not r.deleted"]
        main_date = parameters.of(query.type).main_date
        main = [term for term in query.terms if isinstance(term, DateTerm) and term.parameter == main_date]
        beside = [term for term in query.terms if isinstance(term, DateTerm) and term.parameter != main_date]
        tokens = [term for term in query.terms if isinstance(term, TokenTerm | ReferenceTerm)]
        self.dated = bool(main)
        """Whether the conditions leave out resources without a main date."""
        branches, drivers = self._drive(tokens)
        self.shared += [self._held(term) for term in tokens if term not in drivers]
        self._dates(main, beside, driven=branches != [Branch([])] or bool(main))
        narrow = bool(query.ids) or any(isinstance(term, ReferenceTerm) or not term.codes for term in drivers)
        windows = dates.windows(main, type_code, self.put) if main and not narrow else [Branch([])]
        self.branches = [
            Branch([*branch.conditions, *window.conditions], window.source)
            for branch in branches
            if branch.source == RESOURCE
            for window in windows
        ] + [branch for branch in branches if branch.source != RESOURCE]

    def _dates(self, main: Sequence[DateTerm], beside: Sequence[DateTerm], *, driven: bool) -> None:
        put = self.put
        for term in self._query.updated:
            self.shared.append(dates.condition(term, "r.updated", f"(r.updated + {_INSTANT})", put))
            self.shared += dates.range_of_updated(term, put)
        for term in main:
            self.shared += [dates.condition(term, "r.low", "r.high", put), *dates.range_of(term, "r.low", put)]
        for number, term in enumerate(beside):
            self.shared.append(dates.beside(term, self._type, put, drives=not driven and number == 0))

    def _drive(
        self, terms: Sequence[TokenTerm | ReferenceTerm]
    ) -> tuple[list[Branch], list[TokenTerm | ReferenceTerm]]:
        """Return the branches, and the terms that they stand for."""
        query, put = self._query, self.put
        if query.ids:
            return [Branch([f"r.id = any({put(list(query.ids), '::text[]')})"])], []
        patient = next((t for t in terms if isinstance(t, ReferenceTerm) and _of_patient(query.type, t)), None)
        code = next((t for t in terms if isinstance(t, TokenTerm) and t.codes), None)
        if patient is not None:
            branches = self._patients(patient)
            if code is None or len(branches) > 1:
                return branches, [patient]
            ways = [[*branches[0].conditions, *way] for way in (*self._code_columns(code), self._other_codes(code))]
            return [Branch(way) for way in ways], [patient, code]
        if code is not None:
            others = self._other_codes(code)
            others_branch = Branch(others[1:], _first(others[0])) if self._rare(code.codes) else Branch(others)
            return [*(Branch(way) for way in self._code_columns(code)), others_branch], [code]
        rarest = min(terms, key=lambda term: self._frequencies.rows(term.values), default=None)
        if rarest is not None and self._rare(rarest.values):
            return [Branch([], _first(self._tokens(rarest.values, drives=True)))], [rarest]
        return [Branch([])], []

    def _patients(self, term: ReferenceTerm) -> list[Branch]:
        values = list(term.values)
        column = f"r.patient = {self.put(values[0])}" if len(values) == 1 else _in("r.patient", values, self.put)
        patient = parameters.of(self._query.type).get("patient")
        places = patient.paths if patient is not None else ()
        if term.parameter == "patient" and len(places) == 1 and not any(step.repeats for step in places[0].steps):
            return [Branch([column])]
        # the second patient of an appointment, and what `subject` may be besides, stand among the tokens
        others = f"(r.patient is null or not {_in('r.patient', values, self.put)})"
        return [Branch([column]), Branch([others], _first(self._tokens(values, drives=True)))]

    def _code_columns(self, term: TokenTerm) -> list[list[str]]:
        """Return the conditions of a branch per code by its column, which holds the preferred coding's."""
        codes = list(dict.fromkeys(term.codes))
        bare = [value for value, code in zip(term.values, term.codes, strict=True) if value == code]
        exact: list[str] = []
        if len(bare) < len(term.values):
            full = self._tokens(term.values)
            exact = [f"({_in('r.code', bare, self.put)} or {full})" if bare else full]
        if len(codes) <= _CODE_BRANCHES_MAX:
            return [[f"r.code = {self.put(code)}", *exact] for code in codes]
        return [[_in("r.code", codes, self.put), *exact]]

    def _other_codes(self, term: TokenTerm) -> list[str]:
        """Return the conditions of the branch for resources whose preferred coding is another, the driving one first.

        The code-only form of a coding that is not preferred stands among the tokens, its form with a system always.
        """
        codes = list(dict.fromkeys(term.codes))
        others = f"(r.code is null or not {_in('r.code', codes, self.put)})"
        return [self._tokens(codes, drives=self._rare(codes)), self._tokens(term.values), others]

    def _held(self, term: TokenTerm | ReferenceTerm) -> str:
        """Return the condition for a term that drives nothing."""
        held = self._tokens(term.values)
        if isinstance(term, TokenTerm):
            return f"({_in('r.code', term.values, self.put)} or {held})" if term.codes else held
        if _of_patient(self._query.type, term):
            return f"({_in('r.patient', term.values, self.put)} or {held})"
        return held

    def _rare(self, values: Sequence[int]) -> bool:
        return self._frequencies.rare(values, self._type, self._query.count + 1)

    def _tokens(self, values: Sequence[int], *, drives: bool = False) -> str:
        overlap = f"r.tokens && {self.put(list(values), '::bigint[]')}"
        return overlap if drives else f"({overlap}) is true"


def _first(condition: str) -> str:
    """Return a source that reads by one condition before all others; `offset 0` keeps the planner from merging them."""
    return f"(select * from resource r where {condition} offset 0) r"


def _of_patient(resource_type: str, term: ReferenceTerm) -> bool:
    """Say whether a term asks for patients: `patient`, or `subject` with an id that may be a patient's."""
    parameter = parameters.of(resource_type).get(term.parameter)
    return term.parameter == "patient" or (parameter is not None and parameter.as_patient)


def _in(column: str, values: Sequence[int], put: Arguments) -> str:
    return f"{column} = any({put(list(values), '::bigint[]')})"
