"""What a caller may see of a resource type, as a condition on one resource. Part of `search_sql`: `search_terms.current`
puts it to every resource that a statement reads, so that what is hidden is not there for any part of it.

A Reach in memory is judged by `search.within`; that both agree is a law (tests/leaks).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.search import parameters, standing
from gateway.search.indexed import reference_parameter
from gateway.search.parameters import Kind
from gateway.search.query import ReferenceTerm, Term, TokenTerm
from gateway.search.reach import Blocked, Empowered, Labelled, Owner, Ownerless, Reach, Related, Test, Unless, Way
from gateway.search.standing import Category
from gateway.store.postgres.search_scope import Scope

Holds = Callable[[Scope, Term, str, str], str]
NOTHING: Final = "false"


def constrains(term: Term) -> bool:
    """Say whether a term may stand in a reach: one that the resource's own row answers, also before it is stored."""
    return isinstance(term, TokenTerm | ReferenceTerm)


def seen(scope: Scope, reach: Reach, alias: str, resource_type: str, holds: Holds) -> str:
    """Return the condition that a resource `alias` of a type is within a reach."""
    ways = [_way(scope, way, alias, resource_type, holds) for way in reach.ways]
    return f"({' or '.join(ways)})" if ways else NOTHING


def related(scope: Scope, reach: Reach | None, most: int) -> str | None:
    """Return a select of the patients, in whose records everything within a reach is: those that one organisation treats or
    has treated, one more than `most` where there are more; None where a reach is not so.
    """
    ways = reach.ways if reach is not None else ()
    agents = {test.agents for way in ways for test in way.tests if isinstance(test, Related)}
    if len(agents) != 1 or not all(any(isinstance(test, Related) for test in way.tests) for way in ways):
        return None
    ours = f"relation e, unnest({_records(scope, 'e.patient')}) k (patient)"
    return (
        f"select distinct k.patient from {ours} where e.organisation = {_agents(scope, agents.pop())} limit {most + 1}"
    )


def in_record(scope: Scope, patient: str, of: int) -> str:
    """Return the condition that the patient in an SQL expression is a record of the person whose record `of` is."""
    return f"{patient} = any((select {_records(scope, scope.put(of, 'bigint'))})::bigint[])"


def _records(scope: Scope, patient: str) -> str:
    """Return the records of the person of a patient, as an array. Nearly always that one: who is not linked to another, of
    whom no more is asked.
    """
    link = scope.name("k")
    linked = f"exists (select from same_person {link} where {link}.patient = {patient})"
    return f"(case when {linked} then records_of({patient}) else array[{patient}] end)"


def _way(scope: Scope, way: Way, alias: str, resource_type: str, holds: Holds) -> str:
    parts = [_test(scope, test, f"{alias}.patient", resource_type) for test in way.tests]
    for term in way.terms:
        assert constrains(term), "a constraint of a scope that its row does not answer"
        parts.append(holds(scope, term, alias, resource_type))
    parts += [f"not {_unless(scope, one, alias, f'{alias}.patient', resource_type)}" for one in way.unless]
    if resource_type in standing.SHARED and _asks_owner(way):
        other = scope.name("s")
        each = [_test(scope, test, f"{other}.patient", resource_type) for test in way.tests]
        blocks = [one for one in way.unless if isinstance(one, Blocked)]
        each += [f"not {_unless(scope, one, alias, f'{other}.patient', resource_type)}" for one in blocks]
        sharers = f"select from sharer {other} where {other}.rid = {alias}.rid"
        parts.append(f"not exists ({sharers} and ({' and '.join(each)}) is not true offset 0)")
    return f"({' and '.join(parts)})" if parts else "true"


def _asks_owner(way: Way) -> bool:
    return any(isinstance(test, Owner | Related | Empowered) for test in way.tests)


def _agents(scope: Scope, keys: tuple[int, ...]) -> str:
    """Return what is named by these, looked up once for a statement."""
    return f"any((select goes_by({scope.put(list(keys), 'bigint[]')}))::bigint[])"


def _test(scope: Scope, test: Test, patient: str, resource_type: str) -> str:
    """Return the condition that one test holds of the patient in an SQL expression; null counts as no."""
    put = scope.put
    match test:
        case Owner():
            return f"({in_record(scope, patient, test.patient)})"
        case Ownerless():
            return f"({patient} is null)"
        case Related():
            name = scope.name("e")
            stands = f"{name}.starts <= {put(test.begins, 'timestamptz')}"
            if test.least is Category.C:
                stands += f" and {name}.ends > {put(test.ended, 'timestamptz')}"
            else:
                stands += f" and {name}.ends > {put(test.at, 'timestamptz')} and {name}.category <= {int(test.least)}"
            return (
                f"exists (select from relation {name} where {name}.patient = any({_records(scope, patient)})"
                f" and {name}.organisation = {_agents(scope, test.agents)} and {stands} offset 0)"
            )
        case Empowered():
            name, at = scope.name("m"), put(test.at, "timestamptz")
            empowered = (
                f"exists (select from mandate {name} where {name}.patient = any({_records(scope, patient)})"
                f" and {name}.actor = {_agents(scope, test.agents)} and {name}.power = '{test.power.value}'"
                f" and ({name}.type is null or {name}.type = {scope.type(resource_type)})"
                f" and {name}.starts <= {at} and {name}.ends > {at} offset 0)"
            )
            if test.after is None:
                return empowered
            born = scope.name("b")
            birthdays = (
                f"select min({born}.day) from born {born} where {born}.patient = any({_records(scope, patient)})"
            )
            return f"({empowered} and ({birthdays}) > {put(test.after, 'date')})"


def _unless(scope: Scope, one: Unless, alias: str, patient: str, resource_type: str) -> str:
    if isinstance(one, Labelled):
        tokens = ",".join(str(token) for token in one.tokens)
        return f"({alias}.tokens && array[{tokens}]::bigint[])"
    name, at = scope.name("x"), scope.put(one.at, "timestamptz")
    shut = f"{name}.actor = {_agents(scope, one.agents)}"
    if one.professional:
        shut = f"({name}.actor is null or {shut})"
    return (
        f"exists (select from block {name} where {name}.patient = any({_records(scope, patient)}) and {shut}"
        f" and {name}.starts <= {at} and {name}.ends > {at}"
        f" and ({name}.document is null or {name}.document = {alias}.own)"
        f" and ({name}.low is null or {alias}.low is null"
        f" or ({alias}.low < {name}.high and {alias}.high > {name}.low))"
        f" and ({name}.source is null or {_sourced(scope, name, alias, resource_type)}) offset 0)"
    )


def _sourced(scope: Scope, block: str, alias: str, resource_type: str) -> str:
    """Return the condition that a resource is from the source of a block: it names it, is evidence of it, or belongs to an
    encounter or episode of it.
    """
    sources = f"stands_for(array[{block}.source])"
    naming, places = naming_parameters(resource_type)
    parts = [
        f"exists (select from relation e where e.rid = {alias}.rid and e.organisation = any({sources}) offset 0)",
    ]
    if naming:
        keys = ",".join(str(reference_parameter(name)) for name in naming)
        parts.append(
            f"({alias}.tokens && array(select k # p from unnest({sources}) k, unnest(array[{keys}]::bigint[]) p)) is true"
        )
    if places:
        keys = ",".join(str(reference_parameter(name)) for name in places)
        current = "{row}.rid = e.rid and not {row}.deleted".format(row=(place := scope.name("p")))
        parts.append(
            f"({alias}.tokens && array(select {place}.own # p from relation e join resource {place} on {current},"
            f" unnest(array[{keys}]::bigint[]) p"
            f" where e.patient = any({_records(scope, f'{block}.patient')}) and e.organisation = any({sources}))) is true"
        )
    return f"({' or '.join(parts)})"


def naming_parameters(resource_type: str) -> tuple[list[str], list[str]]:
    """Return the parameters of a type by which it may name an organisation, and those by which it names an encounter or
    episode.
    """
    references = [one for one in parameters.of(resource_type).all() if one.kind is Kind.REFERENCE and one.supported]
    naming = [one.name for one in references if not one.targets or "Organization" in one.targets]
    places = [one.name for one in references if {"Encounter", "EpisodeOfCare"} & {*one.targets} and one.targets]
    return naming, places
