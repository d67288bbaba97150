"""Does a resource answer a query? Slow and obvious, for one resource at a time, without a store.

It reads the same table of parameters as `index`, in the plainest way (`stated`). That the store's search finds exactly
what `match` says is a law with a test of its own; what no index answers (texts, places, composites) the store asks here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.model import Resource
from gateway.search import amounts, parameters, stated, times
from gateway.search.indexed import fold
from gateway.search.parameters import Parameter
from gateway.search.query import (
    AllTerm,
    AnyTerm,
    ChainTerm,
    CompositeTerm,
    DateTerm,
    HasTerm,
    How,
    IdTerm,
    MissingTerm,
    NearTerm,
    NotTerm,
    NumberTerm,
    QuantityTerm,
    Query,
    ReferenceTerm,
    StringTerm,
    Term,
    TextTerm,
    TokenTerm,
)
from gateway.search.stated import Found, references, sort_key

__all__ = ["Find", "holds", "match", "references", "sort_key"]

Find = Callable[[str], Iterable[Resource]]
"""Gives the current resources of a type, for chains and `_has`."""
_EARTH_KILOMETRES = 6371.0088


def match(query: Query, resource: Resource, find: Find | None = None) -> bool:
    """Say whether `resource`, with its `id` and `meta.lastUpdated`, is among what `query` asks for.

    Order, count and page do not matter here. Raises KeyError for a resource type that R4 does not have, ValueError for
    a chain or `_has` without `find`.
    """
    if resource["resourceType"] != query.type or (query.ids and resource.get("id") not in query.ids):
        return False
    return all(holds(term, resource, find) for term in (*query.updated, *query.terms))


def holds(term: Term, resource: Resource, find: Find | None = None) -> bool:
    """Say whether one term finds a resource."""
    return _Judge(resource, find).holds(term)


@dataclass(slots=True)
class _Judge:
    """Judges one resource; within `element`, the values are those of a composite's component."""

    resource: Resource
    find: Find | None
    element: list[Found] | None = None

    def holds(self, term: Term) -> bool:
        match term:
            case IdTerm():
                return self.resource.get("id") in term.values
            case NotTerm():
                return not self.holds(term.term)
            case AllTerm():
                return all(map(self.holds, term.terms))
            case AnyTerm():
                return any(map(self.holds, term.terms))
            case ChainTerm():
                told = references(self.resource, term.parameter)
                return any(
                    f"{term.type}/{one['id']}" in told and self._of(one, term.term) for one in self._all(term.type)
                )
            case HasTerm():
                own = f"{self.resource['resourceType']}/{self.resource.get('id')}"
                return any(
                    own in references(one, term.parameter) and self._of(one, term.term) for one in self._all(term.type)
                )
            case _:
                return self._states(term)

    def _of(self, other: Resource, term: Term) -> bool:
        return _Judge(other, self.find).holds(term)

    def _all(self, kind: str) -> Iterable[Resource]:
        if self.find is None:
            raise ValueError("a chain or _has is judged with other resources at hand")
        return self.find(kind)

    def _states(self, term: _Stated) -> bool:
        parameter = parameters.of(self.resource["resourceType"]).get(term.parameter)
        if parameter is None:
            return False
        match term:
            case TextTerm():
                return self._told(parameter, term)
            case MissingTerm():
                there = stated.stands(parameter, self.resource) if self.element is None else bool(self.element)
                return there is not term.missing
            case CompositeTerm():
                return any(self._joined(parameter, row) for row in term.values)
            case TokenTerm() if parameter.name == "deceased":
                return self._deceased(parameter, term)
        values = list(stated.found(parameter, self.resource)) if self.element is None else self.element
        match term:
            case TokenTerm() | ReferenceTerm():
                return not set(term.values).isdisjoint(stated.hashes(parameter, values))
            case DateTerm():
                covered = [interval for place, value in values if (interval := stated.interval(value, place.type))]
                return any(
                    times.compare(prefix, one, (low, high)) for one in covered for prefix, low, high in term.values
                )
            case StringTerm():
                texts = [text for place, value in values for text in stated.strings(value, place.type)]
                return any(_compare(term.how, text, asked) for text in texts for asked in term.values)
            case NumberTerm() | QuantityTerm():
                found = list(stated.measures(parameter, values))
                return any(amounts.answers(asked, measure) for measure in found for asked in term.values)
            case NearTerm():
                return any(_kilometres(term, value) <= float(term.kilometres) for _, value in values)

    def _told(self, parameter: Parameter, term: TextTerm) -> bool:
        if parameter.name == "_text":
            texts = [stated.narrative(self.resource)]
        elif parameter.name == "_content":
            texts = [stated.content(self.resource)]
        else:
            texts = [
                text
                for place, value in stated.found(parameter, self.resource)
                for text in stated.texts(value, place.type)
            ]
        return any(f" {asked}" in f" {text}" for text in texts for asked in term.values)

    def _deceased(self, parameter: Parameter, term: TokenTerm) -> bool:
        """`deceased` is true with a date or a true, false otherwise, absence included."""
        dead = self.resource.get("deceasedBoolean") is True or "deceasedDateTime" in self.resource
        return not set(term.values).isdisjoint(stated.truth(parameter, dead=dead))

    def _joined(self, parameter: Parameter, row: tuple[Term, ...]) -> bool:
        """Say whether one element of a composite answers all components of a row."""
        for place in parameter.paths:
            for element in stated.walk(self.resource, place.steps):
                inside = [
                    [(at, value) for at in part.paths for value in stated.walk(element, at.steps)]
                    + [(at, value) for at in part.apart for value in stated.walk(self.resource, at.steps)]
                    for part in parameter.components
                ]
                judges = (_Judge(self.resource, self.find, values) for values in inside)
                if all(judge.holds(term) for judge, term in zip(judges, row, strict=True)):
                    return True
        return False


_Stated = (
    TokenTerm
    | ReferenceTerm
    | DateTerm
    | StringTerm
    | NumberTerm
    | QuantityTerm
    | MissingTerm
    | TextTerm
    | NearTerm
    | CompositeTerm
)


def _compare(how: How, text: str, asked: str) -> bool:
    match how:
        case How.EXACT:
            return text == asked
        case How.BELOW:
            return text == asked or text.startswith(asked if asked.endswith("/") else asked + "/")
        case How.STARTS:
            return fold(text).startswith(asked)
        case How.CONTAINS:
            return asked in fold(text)
        case How.EQUALS:
            return fold(text) == asked
        case How.ENDS:
            return fold(text).endswith(asked)


def _kilometres(term: NearTerm, position: object) -> float:
    """Return the distance to a Location.position along the sphere, infinite when it is none."""
    if not isinstance(position, dict):
        return math.inf
    try:
        latitude, longitude = (math.radians(position[name]) for name in ("latitude", "longitude"))
    except (KeyError, TypeError):
        return math.inf
    from_, over = math.radians(term.latitude), math.radians(term.longitude)
    part = math.sin((latitude - from_) / 2) ** 2
    part += math.cos(latitude) * math.cos(from_) * math.sin((longitude - over) / 2) ** 2
    return 2 * _EARTH_KILOMETRES * math.asin(math.sqrt(min(part, 1.0)))
