"""The parameters about the answer: order, page, total, what goes along, and the shape of what is shown.

R4 search, search result parameters. Order, count, total and includes are part of the `Query`; the rest is a `Shape`,
which whoever answers applies. Raises `errors.Incorrect`, and `keys.Unknown` for what `lenient` ignores.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from gateway.errors import Incorrect
from gateway.search import parameters, values
from gateway.search.keys import Unknown
from gateway.search.parameters import Kind, Parameters
from gateway.search.query import Include, Sort, SortBy

COUNT_DEFAULT: Final = 20
COUNT_MAX: Final = 500
SORT_MAX: Final = 5
"""How many keys an order may have."""
INCLUDES_MAX: Final = 20
ELEMENTS_MAX: Final = 100
ONCE: Final = frozenset(
    ["_count", "_sort", "_total", "_summary", "_elements", "_contained", "_containedType", "_format", "_pretty"]
)
"""Those that a request can have once."""
INCLUDES: Final = frozenset(["_include", "_revinclude"])

_COUNT: Final = str(COUNT_DEFAULT)
_COUNT_DIGITS: Final = 9
_SHAPE: Final = ONCE - {"_count", "_sort", "_total"}
_ELEMENT = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


class Summary(enum.StrEnum):
    """`_summary`: which part of a resource is shown."""

    TRUE = "true"  # the elements that R4 marks as summary
    TEXT = "text"  # text, id, meta and what is mandatory
    DATA = "data"  # everything but the text
    COUNT = "count"  # no resource
    FALSE = "false"


@dataclass(frozen=True, slots=True)
class Shape:
    """How results are shown. `elements` are names at the root of a resource, () all."""

    summary: Summary = Summary.FALSE
    elements: tuple[str, ...] = ()
    format: str = ""
    """As asked (`json`, `application/fhir+xml` …), '' not at all."""
    pretty: bool = False


def shape(given: dict[str, str]) -> Shape:
    """Return the shape that the result parameters of a request ask for."""
    if _SHAPE.isdisjoint(given):
        return Shape()
    summary = given.get("_summary", "false")
    if summary not in {*Summary}:
        raise Incorrect("_summary is true, text, data, count or false", at="_summary")
    elements = tuple(dict.fromkeys(given["_elements"].split(","))) if "_elements" in given else ()
    if len(elements) > ELEMENTS_MAX or not all(map(_ELEMENT.fullmatch, elements)):
        raise Incorrect("_elements takes names of elements at the root, joined by commas", at="_elements")
    if given.get("_contained", "false") != "false":
        raise Incorrect(
            "resources contained in others are not searched for themselves: _contained is false", at="_contained"
        )
    if given.get("_containedType", "container") != "container":
        raise Incorrect(
            "resources contained in others are not searched for themselves: _containedType is container",
            at="_containedType",
        )
    pretty = given.get("_pretty", "false")
    if pretty not in {"true", "false"}:
        raise Incorrect("_pretty is true or false", at="_pretty")
    return Shape(Summary(summary), elements, given.get("_format", ""), pretty == "true")


def count(given: dict[str, str]) -> int:
    """Return the size of a page; 0 is `_summary=count`."""
    text = given.get("_count", _COUNT)
    if not text.isascii() or not text.isdigit() or len(text) > _COUNT_DIGITS:
        raise Incorrect("_count is a number from 0", at="_count")
    return 0 if given.get("_summary") == "count" else min(int(text), COUNT_MAX)


def total(given: dict[str, str]) -> bool:
    """Return whether all matches are counted: an estimate is as dear as the count."""
    text = given.get("_total", "none")
    if text not in {"none", "estimate", "accurate"}:
        raise Incorrect("_total is none, estimate or accurate", at="_total")
    return text != "none"


def order(known: Parameters, text: str) -> tuple[Sort, tuple[SortBy, ...]]:
    """Return the order asked for: one that an index is kept in, or another one, key by key."""
    fast = {"_lastUpdated": Sort.OLDEST, "-_lastUpdated": Sort.NEWEST}
    if known.main_date:
        fast |= {known.main_date: Sort.DATE_OLDEST, "-" + known.main_date: Sort.DATE_NEWEST}
    if text in fast:
        return fast[text], ()
    keys = [_key(known, one) for one in text.split(",")]
    if len(keys) > SORT_MAX:
        raise Incorrect(f"_sort has at most {SORT_MAX} keys", at="_sort")
    if len({key.parameter for key in keys}) < len(keys):
        raise Incorrect("_sort names a parameter twice", at="_sort")
    return Sort.NEWEST, tuple(keys)


def _key(known: Parameters, text: str) -> SortBy:
    name = text.removeprefix("-")
    parameter = known.get(name)
    if parameter is not None and parameter.kind is parameters.Kind.COMPOSITE:
        raise Unknown(f"{known.type} cannot be sorted by a composite: sort by its components", at="_sort")
    if parameter is None or not parameter.sortable:
        kinds = ", ".join(sorted(parameters.SORTABLE))
        raise Unknown(
            f"{known.type} cannot be sorted so: it can be by _id, _lastUpdated and its parameters of the types {kinds}",
            at="_sort",
        )
    alone = len(parameter.stored_as) == 1
    return SortBy(parameter.stored_as[0] if alone else name, descending=text != name)


def include(name: str, modifier: str, value: str) -> Include:
    """Return what `_include` or `_revinclude`, perhaps with `:iterate`, asks for."""
    if modifier not in {"", "iterate"}:
        raise Incorrect(f"the modifier {values.shown(':' + modifier)} of {name} is not supported", at=name)
    reverse, iterate = name == "_revinclude", modifier == "iterate"
    kind, _, rest = value.partition(":")
    parameter, _, target = rest.partition(":")
    if value == "*":  # every reference parameter of every type
        return Include("*", "*", reverse=reverse, iterate=iterate)
    if kind not in parameters.types() or not parameter:
        raise Unknown(f"{name} takes Type:parameter or Type:parameter:Type", at=name)
    if target and target not in parameters.types():
        raise Unknown(f"{name} names a type that R4 does not have", at=name)
    if parameter != "*":
        found = parameters.of(kind).get(parameter)
        if found is None or found.kind is not Kind.REFERENCE:
            raise Unknown(f"{name} names what is no reference parameter of {kind}", at=name)
        if target and target not in values.aimed(found):
            raise Unknown(f"{parameter} of {kind} names no {target}", at=name)
    return Include(kind, parameter, target, reverse=reverse, iterate=iterate)
