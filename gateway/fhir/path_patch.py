"""FHIRPath Patch (FHIR R4 fhirpatch.html): a Parameters resource of operations on places that FHIRPath names.

What comes out is not validated here. Stricter than some: a path that must name one element and names none or several is
refused; only `delete` may find nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import Incorrect, TooLarge, Unprocessable
from gateway.fhir import places
from gateway.fhir.elements import Element
from gateway.fhir.patch import OPERATIONS_MAX
from gateway.fhir.places import Place
from gateway.model import Resource

_NEEDS: Final = {
    "add": ("name", "value"),
    "insert": ("value", "index"),
    "delete": (),
    "replace": ("value",),
    "move": ("source", "destination"),
}
_NUMBERS: Final = ("index", "source", "destination")


@dataclass(frozen=True, slots=True)
class Value:
    """What an operation brings: the value, the `id` and extensions of a primitive, and its type where that is known."""

    value: Any
    beside: Any = None
    type: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, checked for its form. `at` is where it stands in the Parameters."""

    type: str
    path: str
    at: str
    name: str = ""
    value: Value = Value(None)
    numbers: Mapping[str, int] | None = None

    def number(self, name: str) -> int:
        """Return index, source or destination."""
        return (self.numbers or {})[name]


@dataclass(frozen=True, slots=True)
class PathPatch:
    """The operations of a patch."""

    operations: tuple[Operation, ...]

    def apply(self, resource: Resource) -> Resource:
        """Return the patched resource; `resource` is not changed.

        Raises Unprocessable, naming the operation, when it cannot be done.
        """
        patched = copy.deepcopy(resource)
        for operation in self.operations:
            try:
                _DO[operation.type](patched, operation)
            except Unprocessable as error:
                raise Unprocessable(error.text, at=operation.at) from None
        return patched


def read(parameters: Resource) -> PathPatch:
    """Return the patch that a Parameters resource holds. Raises Incorrect when it holds none, TooLarge for too many."""
    if parameters.get("resourceType") != "Parameters":
        raise Incorrect("a FHIRPath Patch is a Parameters resource", at="resourceType")
    given = parameters.get("parameter", [])
    if not isinstance(given, list):
        raise Incorrect("parameter is an array", at="Parameters.parameter")
    if len(given) > OPERATIONS_MAX:
        raise TooLarge(f"a patch has at most {OPERATIONS_MAX} operations")
    return PathPatch(tuple(_operation(one, f"Parameters.parameter[{place}]") for place, one in enumerate(given)))


def _operation(parameter: Any, at: str) -> Operation:
    if not isinstance(parameter, dict) or parameter.get("name") != "operation":
        raise Incorrect("each parameter is an `operation`", at=at)
    parts: dict[str, dict[str, Any]] = {}
    for part in _list(parameter.get("part", []), at):
        if not isinstance(part.get("name"), str) or part["name"] in parts:
            raise Incorrect("each part has a name, and none stands twice", at=at)
        parts[part["name"]] = part
    kind, path = (_simple(parts.get(name, {})) for name in ("type", "path"))
    if not isinstance(kind, str) or kind not in _NEEDS:
        raise Incorrect(f"type is one of {', '.join(_NEEDS)}", at=at)
    if not isinstance(path, str):
        raise Incorrect("an operation has a path", at=at)
    if missing := [name for name in _NEEDS[kind] if name not in parts]:
        raise Incorrect(f"{kind} has a part `{missing[0]}`", at=at)
    name = _simple(parts.get("name", {}))
    numbers: dict[str, Any] = {each: _simple(parts[each]) for each in _NUMBERS if each in parts}
    if any(type(number) is not int or number < 0 for number in numbers.values()):
        raise Incorrect("index, source and destination are integers from 0", at=at)
    if "name" in _NEEDS[kind] and not isinstance(name, str):
        raise Incorrect("name is a string", at=at)
    value = _value(parts["value"], at) if "value" in parts else Value(None)
    return Operation(kind, path, at, name if isinstance(name, str) else "", value, numbers)


def _list(parts: Any, at: str) -> list[dict[str, Any]]:
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise Incorrect("parts are an array of objects", at=at)
    return parts


def _simple(part: dict[str, Any]) -> Any:
    return next((value for name, value in part.items() if name.startswith("value")), None)


def _value(part: dict[str, Any], at: str) -> Value:
    """Read `value[x]`, a resource, or, for what has no data type of its own, parts named as its elements are."""
    if "resource" in part:
        return Value(part["resource"], type="Resource")
    for name, value in part.items():
        if name.startswith("value"):
            return Value(value, part.get(f"_{name}"), name.removeprefix("value"))
        if name.startswith("_value") and name[1:] not in part:
            return Value(None, value, name.removeprefix("_value"))
    made: dict[str, Any] = {}
    for inner in _list(part.get("part", []), at):
        if not isinstance(inner.get("name"), str):
            raise Incorrect("each part has a name", at=at)
        made.setdefault(inner["name"], []).append(_value(inner, at))
    if not made:
        raise Incorrect("the part `value` has a value", at=at)
    return Value(made)


def _one(resource: Resource, path: str) -> Place:
    found = places.find(resource, path)
    if len(found) != 1:
        raise Unprocessable(f"the path names {'nothing' if not found else 'several elements'}, not one element")
    return found[0]


def _key(place: Place, name: str, value: Value) -> tuple[str, Element]:
    """Return the JSON name, and what it is, of an element below a place; of a choice the one of the value's type."""
    known = places.shape(place)
    if name in known and not known[name].choice:
        return name, known[name]
    plain = name.removesuffix("[x]")
    for key, element in known.items():
        if element.choice and (key == plain or (element.choice == plain and key == plain + value.type)):
            return key, element
    raise Unprocessable("the element has no such name, or not with a value of this type")


def _plain(value: Value, kind: str) -> tuple[Any, Any]:
    """Return a value as JSON, and what stands beside it under `_name`."""
    if not isinstance(value.value, dict) or not all(_is_parts(inner) for inner in value.value.values()):
        return value.value, value.beside
    made: dict[str, Any] = {}
    place = Place({}, kind)
    for name, inner in value.value.items():
        for each in inner:
            key, element = _key(place, name, each)
            put(made, key, element, *_plain(each, element.type_path))
    return made, None


def _is_parts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, Value) for one in value)


def put(owner: dict[str, Any], key: str, element: Element, value: Any, beside: Any, index: int | None = None) -> None:
    """Put a value under a name: of what repeats at `index`, else at the end. Raises Unprocessable when it is taken."""
    if not element.many:
        if key in owner or f"_{key}" in owner:
            raise Unprocessable("the element is there already, and there can be one")
        if value is not None:
            owner[key] = value
        if beside is not None:
            owner[f"_{key}"] = beside
        return
    items = owner.setdefault(key, [])
    index = len(items) if index is None else index
    if index > len(items):
        raise Unprocessable("the index lies beyond the end")
    besides = owner.get(f"_{key}")
    if beside is not None and besides is None:
        besides = owner[f"_{key}"] = [None] * len(items)
    if besides is not None:
        besides.insert(index, beside)
    items.insert(index, value)


def _add(resource: Resource, operation: Operation) -> None:
    place = _one(resource, operation.path)
    if not isinstance(place.value, dict):
        raise Unprocessable("nothing can be added to a primitive value")
    key, element = _key(place, operation.name, operation.value)
    if not element.choice or not any(
        known.choice == element.choice and name in place.value for name, known in places.shape(place).items()
    ):
        put(place.value, key, element, *_plain(operation.value, element.type_path))
    else:
        raise Unprocessable("the element is there already, and there can be one")


def _insert(resource: Resource, operation: Operation) -> None:
    found = places.find(resource, operation.path)
    owner, name, element = _collection(resource, operation.path, found)
    value, beside = _plain(operation.value, element.type_path)
    put(owner, name, element, value, beside, operation.number("index"))


def _collection(resource: Resource, path: str, found: list[Place]) -> tuple[dict[str, Any], str, Element]:
    """Return the one list that a path names: whose it is, its name, and what its items are."""
    if not found:  # an empty list does not stand in the resource: its name does not say more than the path's end
        above, _, name = path.rpartition(".")
        owner = _one(resource, above or resource["resourceType"])
        element = places.shape(owner).get(name)
        if element is not None and element.many and isinstance(owner.value, dict):
            return owner.value, name, element
        raise Unprocessable("the path names no list")
    first = found[0]
    if first.owner is None or first.index is None or any(each.owner is not first.owner for each in found):
        raise Unprocessable("the path names no list, or several")
    return first.owner, first.name, places.shape(Place(first.owner, first.owner_type))[first.name]


def _delete(resource: Resource, operation: Operation) -> None:
    found = places.find(resource, operation.path)
    if len(found) > 1:
        raise Unprocessable("the path names several elements, not one element")
    if found:
        _take(found[0])
        _prune(resource)


def _prune(value: Any) -> bool:
    """Take away what a deletion has left empty, as FHIR has no empty elements; return whether nothing is left."""
    if isinstance(value, dict):
        for name in [name for name, inner in value.items() if _prune(inner)]:
            del value[name]
    elif isinstance(value, list) and not any(item is None for item in value):
        value[:] = [item for item in value if not _prune(item)]
    return isinstance(value, dict | list) and not value


def _take(place: Place) -> None:
    owner, name = place.owner, place.name
    if owner is None:
        raise Unprocessable("a resource does not delete itself")
    if place.index is None:
        del owner[name]
        owner.pop(f"_{name}", None)
        return
    for key in (name, f"_{name}"):
        if key in owner:
            del owner[key][place.index]
            if not owner[key]:
                del owner[key]


def _replace(resource: Resource, operation: Operation) -> None:
    place = _one(resource, operation.path)
    if place.owner is None:
        raise Unprocessable("a resource is not replaced by a patch")
    value, beside = _plain(operation.value, place.type)
    if place.index is not None:
        place.owner[place.name][place.index] = value
        if f"_{place.name}" in place.owner:
            place.owner[f"_{place.name}"][place.index] = beside
        return
    above = Place(place.owner, place.owner_type)
    element = places.shape(above)[place.name]
    key, element = _key(above, element.choice, operation.value) if element.choice else (place.name, element)
    _take(place)
    put(place.owner, key, element, value, beside)


def _move(resource: Resource, operation: Operation) -> None:
    owner, name, _ = _collection(resource, operation.path, places.find(resource, operation.path))
    source, destination = operation.number("source"), operation.number("destination")
    if max(source, destination) >= len(owner.get(name, ())):
        raise Unprocessable("source or destination lies beyond the end")
    for key in (name, f"_{name}"):
        if key in owner:
            owner[key].insert(destination, owner[key].pop(source))


_DO: Final[dict[str, Callable[[Resource, Operation], None]]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}
