"""What a caller may see of a resource type, as a condition on one resource. Part of `search_sql`: `search_terms.current`
puts it to every resource that a statement reads, so that what is hidden is not there for any part of it.

A Reach in memory is judged by `search.within`; that both agree is a law (tests/leaks).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.search import parameters, standing
from gateway.search.indexed import reference_parameter
from gateway.search.parameters import Kind
from gateway.search.query import Term
from gateway.search.reach import (
    Blocked,
    Empowered,
    Follows,
    Labelled,
    Owner,
    Ownerless,
    Reach,
    Related,
    Test,
    Unless,
    Way,
    answered,
)
from gateway.search.standing import Category
from gateway.store.postgres.search_scope import Scope

Holds = Callable[[Scope, Term, str, str], str]
NOTHING: Final = "false"


@dataclass(frozen=True, slots=True)
class Row:
    """A resource of a statement that is asked whether it exists for somebody: its alias, and the types that it may be of."""

    alias: str
    types: tuple[str, ...]
    about: str = ""
    """The SQL expression of what it is about, where that does not stand in the table `about`."""

    @property
    def patient(self) -> str:
        """The SQL expression of its patient."""
        return f"{self.alias}.patient"


def seen(scope: Scope, reach: Reach, row: Row, holds: Holds) -> str:
    """Return the condition that a resource is within a reach. A constraint of a scope is of one type alone."""
    ways = [_way(scope, way, row, holds) for way in reach.ways]
    return f"({' or '.join(ways)})" if ways else NOTHING


def related(scope: Scope, reach: Reach | None, most: int) -> str | None:
    """Return a select of the patients, in whose records everything within a reach is: those that one organisation treats or
    has treated, one more than `most` where there are more; None where a reach is not so.
    """
    ways = reach.ways if reach is not None else ()
    agents = {test.agents for way in ways for test in way.tests if isinstance(test, Related)}
    if len(agents) != 1 or not all(any(isinstance(test, Related) for test in way.tests) for way in ways):
        return None
    ours = f"relation e where e.organisation = {_agents(scope, agents.pop())}"
    return f"select distinct e.patient from {ours} limit {most + 1}"


def records_of_each(scope: Scope, patients: str) -> str:
    """Return a select of the patients of a set, with the other records of their persons."""
    return f"select distinct k.patient from {patients} e, unnest({_records(scope, 'e.patient')}) k (patient)"


def in_record(scope: Scope, patient: str, of: int) -> str:
    """Return the condition that the patient in an SQL expression is a record of the person whose record `of` is."""
    return f"{patient} = any((select {_records(scope, scope.put(of, 'bigint'))})::bigint[])"


def _records(scope: Scope, patient: str) -> str:
    """Return the records of the person of a patient, as an array. Nearly always that one: of who is not linked to another
    no more is asked.
    """
    return f"(case when {_linked(scope, patient)} then records_of({patient}) else array[{patient}] end)"


def _linked(scope: Scope, patient: str) -> str:
    link = scope.name("k")
    return f"exists (select from same_person {link} where {link}.patient = {patient} offset 0)"


def _of_person(scope: Scope, patient: str, states: Callable[[str], str]) -> str:
    """Return the condition that one of the records of a person states a fact: `states` makes it for what its column is to
    be. Asked of every row: first of the one record, as if there were no others, which costs less than an array of one.
    """
    others = states(f"= any(records_of({patient}))")
    return f"({states(f'= {patient}')} or ({_linked(scope, patient)} and {others}))"


def _way(scope: Scope, way: Way, row: Row, holds: Holds) -> str:
    parts = [_test(scope, test, row, row.patient, holds) for test in way.tests]
    for term in way.terms:
        assert answered(term), "a constraint of a scope that no index answers"
        (resource_type,) = row.types
        parts.append(holds(scope, term, row.alias, resource_type))
    parts += [f"not {_unless(scope, one, row, row.patient)}" for one in way.unless]
    if not standing.SHARED.isdisjoint(row.types):
        parts += _of_sharers(scope, way, row, holds)
    return f"({' and '.join(parts)})" if parts else "true"


def _of_sharers(scope: Scope, way: Way, row: Row, holds: Holds) -> list[str]:
    """Return what is asked of the further patients in whose record a resource is."""
    other = scope.name("s")
    sharers = f"select from sharer {other} where {other}.rid = {row.alias}.rid"
    if any(isinstance(test, Ownerless) for test in way.tests):
        return [f"not exists ({sharers} offset 0)"]
    if not _asks_owner(way):
        return []
    each = [_test(scope, test, row, f"{other}.patient", holds) for test in way.tests]
    blocks = [one for one in way.unless if isinstance(one, Blocked)]
    each += [f"not {_unless(scope, one, row, f'{other}.patient')}" for one in blocks]
    return [f"not exists ({sharers} and ({' and '.join(each)}) is not true offset 0)"]


def _asks_owner(way: Way) -> bool:
    return any(isinstance(test, Owner | Related | Empowered) for test in way.tests)


def _agents(scope: Scope, keys: tuple[int, ...]) -> str:
    """Return what is named by these, looked up once for a statement."""
    return f"any((select goes_by({scope.put(list(keys), 'bigint[]')}))::bigint[])"


def _test(scope: Scope, test: Test, row: Row, patient: str, holds: Holds) -> str:
    """Return the condition that one test holds of a row for the patient in an SQL expression; null counts as no."""
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
            treats = f"{name}.organisation = {_agents(scope, test.agents)} and {stands} offset 0"
            return _of_person(
                scope,
                patient,
                lambda it: f"exists (select from relation {name} where {name}.patient {it} and {treats})",
            )
        case Empowered():
            name, at = scope.name("m"), put(test.at, "timestamptz")
            holds_it = (
                f"{name}.actor = {_agents(scope, test.agents)} and {name}.power = '{test.power.value}'"
                f" and ({name}.type is null or {name}.type = {row.alias}.type)"
                f" and {name}.starts <= {at} and {name}.ends > {at} offset 0"
            )
            empowered = _of_person(
                scope,
                patient,
                lambda it: f"exists (select from mandate {name} where {name}.patient {it} and {holds_it})",
            )
            if test.after is None:
                return empowered
            born = scope.name("b")
            birthdays = (
                f"select min({born}.day) from born {born} where {born}.patient = any({_records(scope, patient)})"
            )
            return f"({empowered} and ({birthdays}) > {put(test.after, 'date')})"
        case Follows():
            return _follows(scope, test, row, holds)


def _follows(scope: Scope, test: Follows, row: Row, holds: Holds) -> str:
    """Return the condition that all that a row is about is there and within reach; null, where that is nothing, is no."""
    target, name = scope.name("t"), scope.name("n")
    ways = [
        f"({target}.type = any('{{{','.join(str(scope.type(one)) for one in types)}}}'::smallint[])"
        f" and {seen(scope, reach, Row(target, types), holds)})"
        for reach, types in test.reaches
    ]
    patient = f"{target}.patient"
    in_record = [_test(scope, one, row, patient, holds) for one in test.tests]
    in_record += [f"not {_unless(scope, one, row, patient)}" for one in test.shut]
    also = f" and ({patient} is null or ({' and '.join(in_record)}))" if in_record else ""
    there = (
        f"exists (select from resource {target} where {target}.own = {name}.own and not {target}.deleted"
        f" and ({' or '.join(ways) or NOTHING}){also} offset 0)"
    )
    if row.about:
        return f"((select bool_and({there}) from unnest({row.about}) {name} (own)) is true)"
    about = scope.name("a")
    named = f"about {about}, unnest({about}.named) {name} (own) where {about}.rid = {row.alias}.rid"
    return f"((select bool_and({there}) from {named}) is true)"


def _unless(scope: Scope, one: Unless, row: Row, patient: str) -> str:
    alias = row.alias
    if isinstance(one, Labelled):
        tokens = ",".join(str(token) for token in one.tokens)
        return f"({alias}.tokens && array[{tokens}]::bigint[])"
    name, at = scope.name("x"), scope.put(one.at, "timestamptz")
    shut = f"{name}.actor = {_agents(scope, one.agents)}"
    if one.professional:
        shut = f"({name}.actor is null or {shut})"
    stands = (
        f"{shut} and {name}.starts <= {at} and {name}.ends > {at}"
        f" and ({name}.document is null or {name}.document = {alias}.own)"
        f" and ({name}.low is null or {alias}.low is null"
        f" or ({alias}.low < {name}.high and {alias}.high > {name}.low))"
        f" and ({name}.source is null or {_sourced(scope, name, row)}) offset 0"
    )
    return _of_person(
        scope, patient, lambda it: f"exists (select from block {name} where {name}.patient {it} and {stands})"
    )


def _sourced(scope: Scope, block: str, row: Row) -> str:
    """Return the condition that a resource is from the source of a block: it names it, is evidence of it, or belongs to an
    encounter or episode of it.
    """
    sources = f"stands_for(array[{block}.source])"
    alias = row.alias
    naming, places = naming_parameters(row.types)
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


def naming_parameters(types: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the parameters of some types by which they may name an organisation, and those by which they name an encounter
    or episode.
    """
    every = [one for name in types for one in parameters.of(name).all() if one.kind is Kind.REFERENCE and one.supported]
    naming = [one.name for one in every if not one.targets or "Organization" in one.targets]
    places = [one.name for one in every if {"Encounter", "EpisodeOfCare"} & {*one.targets} and one.targets]
    return list(dict.fromkeys(naming)), list(dict.fromkeys(places))
