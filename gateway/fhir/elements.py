"""The R4 element table as look-up values: which elements a type has, of what type, how many. No validation here.

`r4.json` beside this file is made by tools/r4_tables.py from the R4B models of fhir.resources, with every element that
R4 defines differently corrected (mappings/fhir/r4-differences.csv) and the required code bindings of R4 added. It is
read once, at the first question: 2 ms, where the models take half a second.
"""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from gateway.fhir.primitives import SCHEMAS

_ADDRESSES = frozenset({"uri", "url", "canonical", "oid", "uuid"})
_TEXTS = frozenset({"string", "markdown"})


class Element(NamedTuple):
    """One element of a type, under the name that JSON gives it (`valueQuantity`, not `value[x]`)."""

    type_path: str
    """A primitive (`code`), a data type (`Quantity`), a backbone element (`Observation.component`) or `Resource`."""
    many: bool
    required: bool
    """Of a choice: one of its names must be there."""
    value_set: str
    """The value set that it must be coded from; empty without a required binding that the definitions enumerate."""
    choice: str
    """`value` for `value[x]`; empty otherwise."""

    extensible: bool
    """Whether `_name` may stand beside `name` (R4 json.html#primitive): a primitive, but no id and not Extension.url,
    which are attributes in XML."""


@functools.cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = orjson.loads((Path(__file__).parent / "r4.json").read_bytes())
    return table


@functools.cache
def is_resource(name: str) -> bool:
    """Say whether R4 has a resource type of this name."""
    return "." not in name and "implicitRules" in _table()["types"].get(name, {})


def is_r4b_only(type_path: str, name: str = "*") -> bool:
    """Say whether a type, or an element of a type by its JSON name, exists in R4B and not in R4."""
    later = _table()["r4b_only"].get(type_path, [])
    return any(name == known or (known.endswith("[x]") and name.startswith(known[:-3])) for known in later)


@functools.cache
def elements(type_path: str) -> dict[str, Element]:
    """Return JSON name → element, a choice under each of its names. Raises KeyError for what is not a type of R4."""
    made: dict[str, Element] = {}
    for name, row in _table()["types"][type_path].items():
        cardinality, types, *bound = row.split(" ")
        choice = name.removesuffix("[x]") if name.endswith("[x]") else ""
        for type_name in types.split("|"):
            json_name = choice + type_name[0].upper() + type_name[1:] if choice else name
            made[json_name] = Element(
                type_path=type_name,
                many=cardinality.endswith("*"),
                required=cardinality[0] != "0",
                value_set=bound[0] if bound else "",
                choice=choice,
                extensible=type_name in SCHEMAS and name != "id" and (type_path, name) != ("Extension", "url"),
            )
    return made


@functools.cache
def uri_names() -> frozenset[str]:
    """Return the JSON names under which R4 has an address (uri, url, canonical, oid, uuid) more often than a text."""
    kinds = Counter(
        (name, element.type_path in _ADDRESSES)
        for type_path in _table()["types"]
        for name, element in elements(type_path).items()
        if element.type_path in _ADDRESSES | _TEXTS
    )
    return frozenset(name for name, is_address in kinds if is_address and kinds[name, True] > kinds[name, False])


def codes(value_set: str) -> dict[str, list[str]]:
    """Return system → codes of a value set that an `Element` names."""
    made: dict[str, list[str]] = _table()["codes"][value_set]
    return made
