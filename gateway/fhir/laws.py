"""Forms of law from which the invariants of R4 are made: needs, excludes, any_of, one_of, when. No law itself.

A law looks at one object that already has the right shape and answers None, or what is wrong. It takes a fraction of a
microsecond: which names an element can have is worked out when the law is made, once per type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.fhir.elements import elements

Value = dict[str, Any]


class Broken(NamedTuple):
    """An invariant that does not hold: its key, the element inside the object (may be empty), words."""

    rule: str
    element: str
    text: str


Law = Callable[[Value], Broken | None]
Maker = Callable[[str], Law]
"""Makes a law for one type path: `needs("cpt-2", "value", "system")("ContactPoint")`."""


def names(type_path: str, element: str) -> frozenset[str]:
    """Return every JSON name under which an element may stand: `value[x]` under each type, with and without `_`."""
    if not element.endswith("[x]"):
        return frozenset((element, f"_{element}"))
    known = [name for name, row in elements(type_path).items() if row.choice == element[:-3]]
    return frozenset([*known, *(f"_{name}" for name in known if elements(type_path)[name].extensible)])


def _spoken(*listed: str) -> str:
    return " or ".join(name.removesuffix("[x]") for name in listed)


def needs(rule: str, element: str, other: str) -> Maker:
    """Where `element` is, `other` is."""

    def make(path: str) -> Law:
        these, those = names(path, element), names(path, other)
        broken = Broken(rule, other, f"{_spoken(element)} needs {_spoken(other)}")
        return lambda value: broken if not these.isdisjoint(value) and those.isdisjoint(value) else None

    return make


def excludes(rule: str, element: str, other: str) -> Maker:
    """Never both."""

    def make(path: str) -> Law:
        these, those = names(path, element), names(path, other)
        broken = Broken(rule, "", f"not both {element.removesuffix('[x]')} and {other.removesuffix('[x]')}")
        return lambda value: broken if not these.isdisjoint(value) and not those.isdisjoint(value) else None

    return make


def any_of(rule: str, *listed: str) -> Maker:
    """At least one."""

    def make(path: str) -> Law:
        all_names = frozenset().union(*(names(path, element) for element in listed))
        broken = Broken(rule, "", f"needs {_spoken(*listed)}")
        return lambda value: broken if all_names.isdisjoint(value) else None

    return make


def one_of(rule: str, *listed: str) -> Maker:
    """Exactly one."""

    def make(path: str) -> Law:
        groups = [names(path, element) for element in listed]
        broken = Broken(rule, "", f"needs exactly one of {_spoken(*listed)}")
        return lambda value: broken if sum(not group.isdisjoint(value) for group in groups) != 1 else None

    return make


def when(rule: str, condition: Callable[[Value], Any], element: str, text: str) -> Maker:
    """Where the condition is true, it is broken, at `element`."""
    broken = Broken(rule, element, text)
    return lambda _path: lambda value: broken if condition(value) else None
