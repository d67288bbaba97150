"""Simple FHIRPath → the places in a resource that it names: where something can be put, replaced or taken away.

A FHIRPath library answers with values, not with places; so the way is walked here: `Patient.name[0].given`,
`.first()`, `.last()`, `.ofType(Quantity)`, `.extension('url')` and `.where(…)`. What stands inside `where` is FHIRPath
for the library, of the functions in `CRITERIA`: none that reads an expression of its own (`matches`) or asks anybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import Unprocessable
from gateway.fhir.elements import Element, elements
from gateway.model import Resource

PATH_CHARACTERS_MAX: Final = 1000
CRITERIA: Final = frozenset({
    "all", "contains", "count", "empty", "endsWith", "exists", "extension", "first", "hasValue", "last", "length", "lower",
    "not", "ofType", "startsWith", "substring", "toString", "upper", "where",
})  # fmt: skip
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CALL: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*\(")
_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'")
_INDEX: Final = re.compile(r"\[\s*([0-9]{1,9})\s*\]")


@dataclass(frozen=True, slots=True)
class Place:
    """One element of a resource: under `name` in `owner`, the `index`th of several. The resource itself has no owner."""

    value: Any
    type: str
    owner: dict[str, Any] | None = None
    name: str = ""
    index: int | None = None
    owner_type: str = ""


def find(resource: Resource, path: str) -> list[Place]:
    """Return the places that a path names, in document order.

    Raises Unprocessable for a path that is not understood, with the code of what is wrong in words.
    """
    if len(path) > PATH_CHARACTERS_MAX:
        raise Unprocessable(f"a path has at most {PATH_CHARACTERS_MAX} characters")
    kind = resource["resourceType"]
    places = [Place(resource, kind)]
    for number, step in enumerate(_steps(path)):
        if number == 0 and step.name in {kind, "Resource", "DomainResource"} and step.argument is None:
            continue
        places = _walk(places, step)
    return places


@dataclass(frozen=True, slots=True)
class _Step:
    """A name, a call (with what is between its brackets), or an index (`[`)."""

    name: str
    argument: str | None = None


def _steps(path: str) -> Iterator[_Step]:
    at, begin = 0, True
    text = path.strip()
    while at < len(text):
        if found := _INDEX.match(text, at):
            yield _Step("[", found[1])
            at, begin = found.end(), False
            continue
        if not begin:
            if text[at] != ".":
                raise _not_understood()
            at += 1
        name = _NAME.match(text, at)
        if name is None:
            raise _not_understood()
        at, begin = name.end(), False
        if text[at : at + 1] == "(":
            end = _closing(text, at)
            yield _Step(name[0], text[at + 1 : end].strip())
            at = end + 1
        else:
            yield _Step(name[0])
    if begin:
        raise _not_understood()


def _closing(text: str, at: int) -> int:
    depth, place = 0, at
    while place < len(text):
        if quoted := _QUOTED.match(text, place):
            place = quoted.end()
            continue
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
        place += 1
    raise _not_understood()


def _not_understood() -> Unprocessable:
    return Unprocessable("the path is not understood: names, [n], first(), last(), ofType(), extension(), where()")


def _walk(places: list[Place], step: _Step) -> list[Place]:
    if step.argument is None:
        return [below for place in places for below in children(place, step.name)]
    if step.name == "[":
        return places[int(step.argument) :][:1]
    walk = _CALLS.get(step.name)
    if walk is None:
        raise _not_understood()
    return walk(places, step.argument)


def children(place: Place, name: str) -> list[Place]:
    """Return the places of an element below this one; a choice is found by its name without the type."""
    if not isinstance(place.value, dict):
        return []
    known = shape(place)
    found: list[Place] = []
    for key, value in place.value.items():
        element = known.get(key)
        if element is None or name not in {key, element.choice}:
            continue
        if isinstance(value, list):
            found += [
                Place(item, element.type_path, place.value, key, index, place.type) for index, item in enumerate(value)
            ]
        else:
            found.append(Place(value, element.type_path, place.value, key, None, place.type))
    return found


def shape(place: Place) -> dict[str, Element]:
    """Return the elements that a place may have."""
    kind = place.type
    if kind == "Resource" and isinstance(place.value, dict):
        kind = str(place.value.get("resourceType"))
    try:
        return elements(kind)
    except KeyError:
        return {}


def _where(places: list[Place], criteria: str) -> list[Place]:
    plain = _QUOTED.sub("''", criteria)
    unknown = set(_CALL.findall(plain)) - CRITERIA
    if unknown or "%" in plain or not criteria:
        raise Unprocessable(f"inside where() there are these functions: {', '.join(sorted(CRITERIA))}")
    return [place for place in places if _holds(place, criteria)]


def _holds(place: Place, criteria: str) -> bool:
    import fhirpathpy  # noqa: PLC0415  a parser of 20 MB, for patches that ask

    try:
        answer: Sequence[Any] = fhirpathpy.evaluate(place.value, criteria)
    except Exception:  # noqa: BLE001 - the library raises whatever it stumbles upon
        raise Unprocessable("the criteria of where() cannot be evaluated") from None
    return list(answer) == [True]


def _of_type(places: list[Place], kind: str) -> list[Place]:
    wanted = kind.removeprefix("FHIR.").strip("'` ")
    return [place for place in places if place.type == wanted]


def _extension(places: list[Place], url: str) -> list[Place]:
    if not _QUOTED.fullmatch(url):
        raise _not_understood()
    below = [each for place in places for each in children(place, "extension")]
    return [each for each in below if isinstance(each.value, dict) and each.value.get("url") == url[1:-1]]


_CALLS: Final[dict[str, Callable[[list[Place], str], list[Place]]]] = {
    "first": lambda places, _: places[:1],
    "last": lambda places, _: places[-1:],
    "ofType": _of_type,
    "as": _of_type,
    "extension": _extension,
    "where": _where,
}
