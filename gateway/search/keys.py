"""The name side of a parameter: `name:modifier`, chains (`subject:Patient.name`), `_has:Type:parameter:…`.

What stands at the end is left to the caller, so that a request's `name=value` and a filter's `path op value` are read
by one code. A chain to patients is asked by `patient`, as references to them are kept (`parameters`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.errors import Incorrect
from gateway.search import parameters, values
from gateway.search.parameters import Kind, Parameter, Parameters
from gateway.search.query import AnyTerm, ChainTerm, HasTerm, Term
from gateway.search.values import Context

CHAIN_DEPTH_MAX: Final = 5
"""How many resources a chain or `_has` goes through."""
CHAIN_TYPES_MAX: Final = 12
"""How many target types a link without one may mean."""
ENDS_MAX: Final = 100
"""How many conditions a request may have, each target type of each chain counted."""

_PERSONAL: Final = frozenset({"identifier", "of-type", "text"})
"""Modifiers whose values may name a person."""

Leaf = Callable[[Parameters, Parameter, str], Term]
Then = Callable[[Parameters], Term]


class Unknown(Incorrect):
    """A name that this type does not have, or that cannot be asked for: what `lenient` ignores."""


@dataclass(slots=True)
class Reading:
    """What one request is read with, and what it has used up."""

    context: Context
    ends: int = 0
    private: bool = False
    """Whether a value may name a person."""


def term(known: Parameters, key: str, leaf: Leaf, reading: Reading, depth: int = 0) -> Term:
    """Return what `leaf` makes of the parameter at the end of `key`, within the links that lead there.

    Raises Unknown for a name that is not there to be asked for, Incorrect for what else is wrong.
    """
    if key.startswith("_has:"):
        return _has(known, key, leaf, reading, depth)
    head, dot, rest = key.partition(".")
    if dot:
        return through(known, head, lambda target: term(target, rest, leaf, reading, depth + 1), rest, depth)
    name, _, modifier = head.partition(":")
    parameter = known.get(name)
    if parameter is None:
        raise Unknown(f"{values.shown(key)} is not a search parameter of {known.type}", at=values.shown(key))
    if not parameter.supported:
        raise Unknown(f"{name} has no place in R4's {known.type} to be searched in", at=name)
    reading.ends += 1
    if reading.ends > ENDS_MAX:
        raise Incorrect(f"a search has at most {ENDS_MAX} conditions, each target type of a chain counted", at=name)
    reading.private = reading.private or parameter.personal or modifier in _PERSONAL
    return leaf(known, parameter, modifier)


def through(known: Parameters, head: str, then: Then, rest: str, depth: int) -> Term:
    """Return what holds when `then` holds of a resource that `head` (a reference parameter, perhaps with `:Type`)
    refers to. `rest` is what is asked of it: without a type, targets that cannot have that are left out.
    """
    _deep(head, depth)
    name, _, stated = head.partition(":")
    parameter = _reference(known, name)
    aimed = values.aimed(parameter)
    if stated and stated not in aimed:
        raise Incorrect(f"{name} of {known.type} names no such type", at=values.shown(head))
    first = rest.partition(".")[0].partition(":")[0].partition("[")[0]
    can = [stated] if stated else [kind for kind in aimed if first == "_has" or parameters.of(kind).get(first)]
    if not can:
        raise Unknown(f"nothing that {name} of {known.type} names has {values.shown(first)}", at=values.shown(first))
    if len(can) > CHAIN_TYPES_MAX:
        raise Incorrect(f"{name} may name {len(can)} types: say which, as {name}:Type", at=name)
    found: list[Term] = []
    refused: Unknown | None = None
    for kind in can:
        try:
            found.append(ChainTerm(parameter.kept_as(kind), kind, then(parameters.of(kind))))
        except Unknown as error:  # another type may have it
            refused = refused or error
    if not found:
        assert refused is not None
        raise refused
    return found[0] if len(found) == 1 else AnyTerm(tuple(found))


def reach(known: Parameters, links: str, then: Then, rest: str, depth: int) -> Term:
    """Return what `through` does for several links, joined by dots."""
    head, dot, more = links.partition(".")
    if not dot:
        return through(known, head, then, rest, depth)
    return through(known, head, lambda target: reach(target, more, then, rest, depth + 1), more, depth)


def _has(known: Parameters, key: str, leaf: Leaf, reading: Reading, depth: int) -> Term:
    _deep("_has", depth)
    _, kind, name, rest = [*key.split(":", 3), "", "", ""][:4]
    if kind not in parameters.types() or not rest:
        raise Incorrect("_has takes _has:Type:parameter:parameter", at="_has")
    other = parameters.of(kind)
    parameter = _reference(other, name)
    if known.type not in values.aimed(parameter):
        raise Incorrect(f"{name} of {kind} names no {known.type}", at="_has")
    return HasTerm(kind, parameter.kept_as(known.type), term(other, rest, leaf, reading, depth + 1))


def _deep(head: str, depth: int) -> None:
    if depth >= CHAIN_DEPTH_MAX:
        raise Incorrect(f"a chain goes through at most {CHAIN_DEPTH_MAX} resources", at=values.shown(head))


def _reference(known: Parameters, name: str) -> Parameter:
    parameter = known.get(name)
    if parameter is None:
        raise Unknown(f"{values.shown(name)} is not a search parameter of {known.type}", at=values.shown(name))
    if parameter.kind is not Kind.REFERENCE or not any(place.type == "Reference" for place in parameter.paths):
        raise Incorrect(f"{name} of {known.type} is no reference to follow", at=name)
    return parameter
