"""What drives a search: the branches of its statement, and what is asked of every row they meet. Part of `search_sql`.

The planner guesses badly where `tokens && …` stands beside another condition (docs/explanation/store.md), so the
driving index is decided here, in this order of preference:

* `_id`: the unique index
* a patient: (patient, type, low) or, with a code, (patient, code, low)
* a token or code that few resources hold: the token index
* what may turn out to leave few, a chain or a string for example: they are looked up first (`search_drive`)
* what exists for whoever asks, where that is one patient's record or those of few: from each (`search_reach`)
* a code: (type, code, low), a branch per code; and the token index for resources whose preferred coding is another
* the main date: (type, low), with a branch for long intervals where a lower bound says nothing about `low`
* else the order itself: (type, updated), (type, low), or the rows of a parameter (`search_order`)

What is counted is read whole: there everything that can drive does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.search.query import (
    AllTerm,
    ChainTerm,
    DateTerm,
    MissingTerm,
    NotTerm,
    Query,
    ReferenceTerm,
    Sort,
    Term,
    TokenTerm,
)
from gateway.store.postgres import search_dates as dates
from gateway.store.postgres import search_drive as drive
from gateway.store.postgres import search_order as orders
from gateway.store.postgres import search_snapshot as snapshot
from gateway.store.postgres.search_reach import in_record
from gateway.store.postgres.search_scope import RESOURCE, Scope, first, main_date, of_patient, one_patient
from gateway.store.postgres.search_terms import current, holds

_CODE_BRANCHES_MAX: Final = 8
_GATES_MAX: Final = 2


@dataclass(frozen=True, slots=True)
class Branch:
    """Conditions of a branch, what it reads from, and what must be so for it to run at all."""

    conditions: list[str]
    source: str = RESOURCE
    gate: str = ""
    through: str = ""
    """A set of resources, `i`, from each of which a walk of its own starts."""
    few: bool = False
    """Whether what it reads is few, in no order; a branch that is not walks in the order asked for."""
    answers: tuple[Term, ...] = ()
    """The terms that all it reads answers."""
    dated: bool = False
    """Whether its own index has the few in the order of their main date: a page of them need not read all."""


@dataclass(slots=True)
class Plan:
    """What a query becomes: the conditions of all branches, and the branches. Arguments are put into the scope."""

    query: Query
    scope: Scope
    counts: bool = False
    """Whether matches are counted: all are read, in no order."""
    shared: list[str] = field(default_factory=list)
    held: list[tuple[Term, str]] = field(default_factory=list)
    """Terms as conditions, of every branch that does not answer them anyhow."""
    branches: list[Branch] = field(default_factory=list)
    selects: list[tuple[str, str]] = field(default_factory=list)
    """What stands before the branches: sets of few."""
    dated: bool = False
    """Whether the conditions leave out resources without a main date."""

    def __post_init__(self) -> None:
        query, put = self.query, self.scope.put
        terms = list(_flat(query.terms))
        main = [term for term in terms if isinstance(term, DateTerm) and term.parameter == main_date(query.type)]
        self.dated = bool(main)
        self.shared.append(current(self.scope, "r", query.type))
        answered = self._drive(terms, main)
        if query.until is not None:
            self.shared.append(_existed(put(query.until, "timestamptz")))
        if query.as_of is not None:
            self.shared.append(snapshot.unchanged(query.as_of, put))
        for date in query.updated:
            self.shared += dates.updated(date, "r", put)
        for date in main:
            self.shared += dates.range_of(date, "r.low", put)
        self.held = [(term, holds(self.scope, term, "r", query.type)) for term in terms if term not in answered]

    def conditions(self, branch: Branch) -> list[str]:
        """Return all that is asked of what a branch reads, but for its gate."""
        held = [condition for term, condition in self.held if term not in branch.answers]
        return [*self.shared, *held, *branch.conditions]

    @property
    def _by_date(self) -> bool:
        return not self.query.order and self.query.sort in {Sort.DATE_NEWEST, Sort.DATE_OLDEST}

    def _drive(self, terms: Sequence[Term], main: Sequence[DateTerm]) -> list[Term]:
        """Make the branches; return the terms that they answer without being asked."""
        query, scope = self.query, self.scope
        if query.ids:
            self.branches = [Branch([scope.any_of("r.id", list(query.ids), "text")], few=True)]
            return []
        asked = [term for term in terms if isinstance(term, TokenTerm | ReferenceTerm)]
        patient = next((t for t in asked if isinstance(t, ReferenceTerm) and of_patient(query.type, t.parameter)), None)
        code = next((t for t in asked if isinstance(t, TokenTerm) and t.codes), None)
        if patient is not None:
            return self._by_patient(self._patients(patient), patient, code)
        owner = self._owner()
        if owner is not None:
            return self._by_patient([owner], None, code)
        # a code may stand in its column instead
        tokens = [term for term in asked if isinstance(term, ReferenceTerm) or not term.codes]
        rarest = min(tokens, key=self._rows, default=None)
        if rarest is not None and self._rare(rarest.values):
            self.branches = [Branch([], first(scope.tokens("r", list(rarest.values))), few=True)]
            return [rarest]
        rare_code = code is not None and self._rare(code.values, beside=scope.frequencies.coded(code.codes))
        gates = [] if rare_code else self._gates(terms)
        by_unit = orders.by_unit(scope, query.type, query.order) and not self.counts
        if not query.order and (ours := drive.related(scope, query.type)) is not None:
            gates.append(ours)
        if code is not None and (self._by_date or rare_code or self.counts or by_unit):
            rest = self._by_code(code, few=rare_code or by_unit)
            if main:
                rest = self._in_windows(rest, code, main)
        elif main and (self._by_date or self.counts):
            rest = [Branch(*window) for window in dates.windows(main, scope.type(query.type), scope.put)]
            code = None
        else:
            rest, code = [Branch([])], None
        self._put_behind(gates, rest)
        return [code] if code is not None and not gates else []

    def _gates(self, terms: Sequence[Term]) -> list[drive.Gate]:
        """Return the sets of few to look for before anything is walked."""
        query, scope = self.query, self.scope
        most = drive.EVERY if self.counts else scope.frequencies.few(scope.type(query.type), query.count + 1)
        gates: list[drive.Gate] = []
        for group in sorted(drive.grouped(terms, query.type), key=lambda one: drive.reach(one[0])):
            term = group[0]
            by_window = isinstance(term, DateTerm) and term.parameter == main_date(query.type) and self._by_date
            if isinstance(term, TokenTerm | ReferenceTerm | NotTerm | MissingTerm) or by_window:
                continue
            gate = None
            if isinstance(term, ChainTerm) and self._by_date and not self.counts:
                gate = drive.patients(scope, term, query.type)
            gate = gate or drive.gate(scope, group, query.type, most)
            if gate is not None:
                gates.append(gate)
            if gates and (self.counts or len(gates) == _GATES_MAX):
                break
        return gates

    def _put_behind(self, gates: Sequence[drive.Gate], rest: Sequence[Branch]) -> None:
        """Make the branches: one behind each gate, and the rest where all of them are shut."""
        shut: list[str] = []
        for gate in gates:
            self.selects += gate.selects
            opened = " and ".join([*shut, gate.open])
            if gate.through:
                branch = Branch([gate.link], gate=opened, through=gate.through, answers=gate.answers)
            else:
                found = first(f"r.rid = any({gate.rids})")
                branch = Branch([], found, gate=opened, few=True, answers=gate.answers)
            self.branches.append(branch)
            shut.append(gate.shut)
        self.branches += [replace(one, gate=" and ".join(shut)) for one in rest]

    def _owner(self) -> Branch | None:
        """Return the branch of the one patient whose record is all that exists for whoever asks, None without one."""
        reach = self.scope.reach(self.query.type)
        if reach is None or reach.owner is None:
            return None
        return Branch([in_record(self.scope, "r.patient", reach.owner)], few=True)

    def _by_patient(self, branches: list[Branch], term: ReferenceTerm | None, code: TokenTerm | None) -> list[Term]:
        answered: list[Term] = [] if term is None else [term]
        if code is None or len(branches) > 1:
            self.branches = branches
            return answered
        (patient,) = branches
        self.branches = [
            Branch([*patient.conditions, *way.conditions], way.source, few=True, dated=patient.dated)
            for way in self._by_code(code, few=True)
        ]
        return [*answered, code]

    def _patients(self, term: ReferenceTerm) -> list[Branch]:
        scope, values = self.scope, list(term.values)
        column = scope.any_of("r.patient", values, "bigint")
        if term.parameter == "patient" and one_patient(self.query.type):
            return [Branch([column], few=True, dated=len(values) == 1)]
        # the second patient of an appointment, and what `subject` may be besides, stand among the tokens
        others = f"(r.patient is null or not {scope.any_of('r.patient', values, 'bigint')})"
        return [
            Branch([column], few=True, dated=len(values) == 1),
            Branch([others], first(scope.tokens("r", values)), few=True),
        ]

    def _by_code(self, code: TokenTerm, *, few: bool) -> list[Branch]:
        others = self._other_codes(code)
        driven = self.counts or self._rare(code.codes)
        other = (
            Branch(others[1:], first(others[0]), few=few)
            if driven
            else Branch([f"({others[0]}) is true", *others[1:]], few=few)
        )
        one_each = len(set(code.codes)) <= _CODE_BRANCHES_MAX
        return [*(Branch(way, few=few, dated=one_each) for way in self._code_columns(code)), other]

    def _in_windows(self, rest: Sequence[Branch], code: TokenTerm, main: Sequence[DateTerm]) -> list[Branch]:
        """Return walks by code within the dates asked for: a lower bound for short intervals, a branch for long ones."""
        (short, _), *long = dates.windows(main, self.scope.type(self.query.type), self.scope.put)
        held = holds(self.scope, code, "r", self.query.type)
        return [
            *(replace(one, conditions=[*one.conditions, *short]) for one in rest),
            *(Branch([*conditions, held], source) for conditions, source in long),
        ]

    def _code_columns(self, term: TokenTerm) -> list[list[str]]:
        """Return the conditions of a branch per code by its column, which holds the preferred coding's."""
        scope = self.scope
        codes = list(dict.fromkeys(term.codes))
        bare = [value for value, code in zip(term.values, term.codes, strict=True) if value == code]
        exact: list[str] = []
        if len(bare) < len(term.values):
            full = f"({scope.tokens('r', list(term.values))}) is true"
            exact = [f"({scope.any_of('r.code', bare, 'bigint')} or {full})" if bare else full]
        if len(codes) <= _CODE_BRANCHES_MAX:
            return [[scope.any_of("r.code", [code], "bigint"), *exact] for code in codes]
        return [[scope.any_of("r.code", codes, "bigint"), *exact]]

    def _other_codes(self, term: TokenTerm) -> list[str]:
        """Return the conditions of the branch for resources whose preferred coding is another, the driving one first.

        The code-only form of a coding that is not preferred stands among the tokens, its form with a system always.
        """
        scope, codes = self.scope, list(dict.fromkeys(term.codes))
        others = f"(r.code is null or not {scope.any_of('r.code', codes, 'bigint')})"
        held = f"({scope.tokens('r', list(term.values))}) is true"
        return [scope.tokens("r", codes), held, others]

    def _rows(self, term: TokenTerm | ReferenceTerm) -> float:
        return self.scope.frequencies.rows(term.values)

    def _rare(self, values: Sequence[int], *, beside: float = 0.0) -> bool:
        type_code = self.scope.type(self.query.type)
        return self.scope.frequencies.rare(values, type_code, self.query.count + 1, beside=beside)


def _flat(terms: Sequence[Term]) -> Iterator[Term]:
    for term in terms:
        if isinstance(term, AllTerm):
            yield from _flat(term.terms)
        else:
            yield term


def _existed(moment: str) -> str:
    """Return the condition that a resource was there, and not deleted, at a moment (`Query.until`)."""
    return (
        f"(r.updated <= {moment} or (r.version > 1 and (select not v.deleted from version v where v.type = r.type"
        f" and v.id = r.id and v.updated <= {moment} order by v.version desc limit 1)))"
    )
