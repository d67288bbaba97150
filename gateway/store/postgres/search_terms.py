"""A term as a condition on one resource: what a walk asks of every row it meets. Part of `search_sql`.

Every condition is written so that no index is tempted to answer it: what drives a statement is decided in
`search_drive`, once, and what is asked of its rows must not turn that round (docs/explanation/store.md). Hence
`(…) is true` around tokens, and `offset 0` in every `exists`, which keeps the planner from making it a join.
"""

from __future__ import annotations

from gateway.search import parameters
from gateway.search.indexed import WORDS
from gateway.search.query import (
    AllTerm,
    AnyTerm,
    ChainTerm,
    DateTerm,
    HasTerm,
    IdTerm,
    MissingTerm,
    NotTerm,
    NumberTerm,
    QuantityTerm,
    ReferenceTerm,
    StringTerm,
    Term,
    TokenTerm,
    reference_parameter,
)
from gateway.store.postgres import search_dates as dates
from gateway.store.postgres import search_values as values
from gateway.store.postgres.search_reach import Row, seen
from gateway.store.postgres.search_scope import Scope, first, main_date, of_patient, one_patient

ALWAYS = "true"
NEVER = "false"
BESIDE_MAX = 1000
"""How many resources may have a code beside their preferred one to be looked up before anything else."""
PATIENT = reference_parameter("patient")
REFERS = f"(held < 0 or held >= {WORDS})"
"""The condition that a token may be a reference's: it is no word's."""


def holds(scope: Scope, term: Term, alias: str, resource_type: str) -> str:
    """Return the condition that the resource `alias` of a type answers a term; null counts as no.

    Raises TypeError for a term that no index answers: `search_recheck` takes those out before.
    """
    match term:
        case TokenTerm():
            held = scope.tokens(alias, list(term.values))
            by_column = f"{scope.any_of(f'{alias}.code', list(term.values), 'bigint')} or " if term.codes else ""
            return f"({by_column}({held}) is true)"
        case ReferenceTerm():
            held = scope.tokens(alias, list(term.values))
            if not of_patient(resource_type, term.parameter):
                return f"(({held}) is true)"
            return f"({scope.any_of(f'{alias}.patient', list(term.values), 'bigint')} or ({held}) is true)"
        case DateTerm() if term.parameter == "_lastUpdated":
            return " and ".join(dates.updated(term, alias, scope.put))
        case DateTerm() if term.parameter == main_date(resource_type):
            return dates.condition(term, f"{alias}.low", f"{alias}.high", scope.put)
        case StringTerm() | NumberTerm() | QuantityTerm() | DateTerm():
            return _has_row(scope, term, alias, resource_type)
        case IdTerm():
            return scope.any_of(f"{alias}.id", list(term.values), "text")
        case MissingTerm():
            return _missing(term, alias, resource_type)
        case NotTerm():
            return f"(({holds(scope, term.term, alias, resource_type)}) is not true)"
        case AllTerm():
            parts = [holds(scope, one, alias, resource_type) for one in term.terms]
            return f"({' and '.join(parts)})" if parts else ALWAYS
        case AnyTerm():
            parts = [holds(scope, one, alias, resource_type) for one in term.terms]
            return f"({' or '.join(parts)})" if parts else NEVER
        case ChainTerm():
            return _chained(scope, term, alias, resource_type)
        case HasTerm():
            return _referred_to(scope, term, alias, resource_type)
        case _:
            raise TypeError(f"{type(term).__name__} has no index")


def current(scope: Scope, alias: str, resource_type: str, *, its_type: str = "") -> str:
    """Return the condition for a resource of a type that is not deleted, and that exists for whoever asks: every resource
    that a statement reads has it. `its_type` is an expression for the type's number, where it is not to stand in the text.
    """
    there = f"{alias}.type = {its_type or scope.type(resource_type)} and not {alias}.deleted"
    reach = scope.reach(resource_type)
    return there if reach is None else f"{there} and {seen(scope, reach, Row(alias, (resource_type,)), holds)}"


def _has_row(scope: Scope, term: values.ValueTerm, alias: str, resource_type: str) -> str:
    found = [one.condition for one in values.rows(scope, term, resource_type)]
    if not found:
        return NEVER
    any_of = " or ".join(f"({one})" for one in found)
    return f"exists (select from {values.table(term)} v where v.rid = {alias}.rid and ({any_of}) offset 0)"


def _missing(term: MissingTerm, alias: str, resource_type: str) -> str:
    known = parameters.of(resource_type).get(term.parameter)
    if term.parameter in {"_id", "_lastUpdated"}:
        return NEVER if term.missing else ALWAYS
    bit = 1 << known.bit if known is not None and known.bit >= 0 else 0
    return f"({alias}.present & {bit}) {'=' if term.missing else '<>'} 0"


def _chained(scope: Scope, term: ChainTerm, alias: str, resource_type: str) -> str:
    target = scope.name("c")
    inner = f"{current(scope, target, term.type)} and {holds(scope, term.term, target, term.type)} offset 0"
    exists = f"exists (select from resource {target} where {{link}} and {inner})"
    if term.type == "Patient" and of_patient(resource_type, term.parameter):
        if one_patient(resource_type):
            return exists.format(link=f"{target}.patient = {alias}.patient")
        targets = f"{_unfolded(alias, PATIENT)} union all select {alias}.patient # ({PATIENT})::bigint"
        return exists.format(link=f"{target}.own = any(array({targets}))")
    link = f"{target}.own = any(array({_unfolded(alias, kept_as(resource_type, term.parameter, term.type))}))"
    # most resources refer to nothing by many a parameter: told by a bit, without a look at what they may refer to
    refers = _missing(MissingTerm(term.parameter, missing=False), alias, resource_type)
    return f"({refers} and {exists.format(link=link)})"


def _referred_to(scope: Scope, term: HasTerm, alias: str, resource_type: str) -> str:
    source = scope.name("h")
    inner = f"{current(scope, source, term.type)} and {holds(scope, term.term, source, term.type)} offset 0"
    key = kept_as(term.type, term.parameter, resource_type)
    by_patient = resource_type == "Patient" and of_patient(term.type, term.parameter)
    reference = f"{alias}.patient" if by_patient else f"{alias}.own # ({key})::bigint"
    by_token = f"exists (select from {first(f'{source}.tokens @> array[{reference}]', source)} where {inner})"
    if not by_patient:
        return by_token
    by_column = f"exists (select from resource {source} where {source}.patient = {alias}.patient and {inner})"
    if isinstance(term.term, TokenTerm) and term.term.codes:
        by_column = _by_code(scope, term.term, by_column, alias, term.type)
    return by_column if one_patient(term.type) else f"({by_column} or {by_token})"


def _by_code(scope: Scope, code: TokenTerm, by_column: str, alias: str, source_type: str) -> str:
    """Return the condition that a patient has a code, without a look at all that the patient has: by the index of both,
    or among the patients who have the code beside another, preferred one, where those are few in the whole store.
    """
    codes = list(dict.fromkeys(code.codes))
    if scope.frequencies.rows(codes) > BESIDE_MAX:
        return by_column
    one, other = scope.name("h"), scope.name("o")
    at_once = (
        f"exists (select from resource {one} where {one}.patient = {alias}.patient"
        f" and {scope.any_of(f'{one}.code', codes, 'bigint')}"
        f" and {current(scope, one, source_type)} and {holds(scope, code, one, source_type)} offset 0)"
    )
    beside = (
        f"select {other}.patient from {first(scope.tokens(other, codes), other)}"
        f" where {current(scope, other, source_type)} and {holds(scope, code, other, source_type)}"
    )
    return f"({at_once} or {alias}.patient = any(array({beside})))"


def kept_as(resource_type: str, name: str, target_type: str) -> int:
    """Return the hash of the parameter under which references from one type to another are kept."""
    if target_type == "Patient" and of_patient(resource_type, name):
        return PATIENT
    return reference_parameter(name)


def _unfolded(alias: str, key: int) -> str:
    """Return a select of what every token would refer to, were it a reference by this parameter; most are none, and
    meet no resource. Words are passed over.
    """
    return f"select held # ({key})::bigint from unnest({alias}.tokens) held where {REFERS}"
