"""What to note at the end of a path: a coding, a reference, a date, a text, an amount, each by its data type.

The other half of `index`, which brings values here. A value of another shape than its data type is left out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from gateway.search import amounts, codes, references, times
from gateway.search.codes import Visit
from gateway.search.indexed import Index, Measure, fold, token
from gateway.search.parameters import Kind, Parameter, Place

NAME_PARTS: Final = ("text", "family", "given", "prefix", "suffix")
ADDRESS_PARTS: Final = ("text", "line", "city", "district", "state", "postalCode", "country")
_PARTS: Final = {"HumanName": NAME_PARTS, "Address": ADDRESS_PARTS}
_AMOUNTS: Final = frozenset({"integer", "decimal", "Quantity", "Age", "Duration", "Money", "Range"})


def emitter(parameter: Parameter, place: Place, *, main: bool) -> Visit | None:
    """Return what to do at the end of a path, None for a data type that this kind of parameter does not read."""
    name = parameter.name
    match parameter.kind:
        case Kind.TOKEN:
            return codes.emitter(parameter, place)
        case Kind.REFERENCE:
            return references.emitter(parameter, place)
        case Kind.DATE:
            return _date(name, place.type, main=main)
        case Kind.URI:
            return _uri(name)
        case Kind.STRING:
            if place.type in _PARTS:
                return _parts(name, _PARTS[place.type])
            return _string(name) if place.type in {"string", "markdown"} else None
        case Kind.NUMBER | Kind.QUANTITY:
            return _amount(name, place.type) if place.type in _AMOUNTS else None
        case _:
            return None


def _string(name: str) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is str:
            index.strings.append((name, fold(value), value))

    return visit


def _parts(name: str, parts: tuple[str, ...]) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is not dict:
            return
        for part in parts:
            found = value.get(part)
            if type(found) is str:
                index.strings.append((name, fold(found), found))
            elif type(found) is list:
                index.strings += [(name, fold(text), text) for text in found if type(text) is str]

    return visit


def _uri(name: str) -> Visit:
    """Note an address, also without its version: a canonical that names none means any."""

    def visit(value: Any, index: Index) -> None:
        if type(value) is str:
            index.tokens.append(token(name, None, value))
            if "|" in value:
                index.tokens.append(token(name, None, value.partition("|")[0]))
            index.strings.append((name, fold(value), value))

    return visit


def _amount(name: str, data_type: str) -> Visit:
    measure, most = amounts.measure, amounts.EXPONENT_MAX

    def visit(value: Any, index: Index) -> None:
        found = measure(name, value, data_type)
        if found is not None:
            index.measures.append(found)

    def quantity(value: Any, index: Index) -> None:
        # what `measure` finds in the common form, quickly
        if type(value) is dict and "comparator" not in value and type(number := value.get("value")) is Decimal:
            system, code, unit = value.get("system", ""), value.get("code", ""), value.get("unit", "")
            if type(system) is str and type(code) is str and type(unit) is str:
                if number.is_finite() and -most <= number.adjusted() <= most:
                    index.measures.append(Measure(name, number, number, system, code, unit))
                return
        visit(value, index)

    return quantity if data_type == "Quantity" else visit


def _date(name: str, data_type: str, *, main: bool) -> Visit | None:
    if data_type in {"date", "dateTime", "instant"}:

        def read(value: Any) -> times.Interval | None:
            return times.interval(value) if type(value) is str else None
    elif data_type in {"Period", "Timing"}:
        of_dict = times.period if data_type == "Period" else times.timing

        def read(value: Any) -> times.Interval | None:
            return of_dict(value) if type(value) is dict else None
    else:
        return None

    def visit(value: Any, index: Index) -> None:
        try:
            covered = read(value)
        except ValueError:
            return
        if covered is None:
            return
        if main:
            index.date_low, index.date_high = covered
        else:
            index.dates.append((name, *covered))

    return visit
