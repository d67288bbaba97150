"""Numbers and quantities: what a question's text means, what a resource states, and how the two compare.

Exact throughout (decimal.Decimal). A number in a question covers what its precision says (R4 search, number: 100 is
[99.5, 100.5), 1e2 is [50, 150)); one in a resource is the point it states, or what its comparator or Range leaves open.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Context, Decimal
from typing import Any, Final

from gateway.errors import Incorrect
from gateway.search import units
from gateway.search.query import Amount, Measure, Prefix

EXPONENT_MAX: Final = 300
"""A number beyond 1E±300 is in no resource (formats/json.py) and in no question."""
DIGITS_MAX: Final = 50
CURRENCY: Final = "urn:iso:std:iso:4217"
"""The system of a Money's currency."""

_NUMBER = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?([+-]?(?:[0-9]+(?:\.[0-9]+)?)(?:[eE][+-]?[0-9]{1,4})?)")
_EXACTLY = Context(prec=800)  # no sum of two numbers within the limits above is rounded
_PLAIN = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_BELOW: Final = frozenset({"<", "<="})


def amount(text: str, parameter: str) -> Amount:
    """Return the amount that `[prefix]number` asks for, without a unit. Raises Incorrect."""
    # a plus sign that nobody encoded arrives as a blank
    found = _NUMBER.fullmatch(text.replace(" ", "+"))
    if found is None:
        raise Incorrect(f"{parameter} is not a number, or its prefix is none of R4's", at=parameter)
    if sum(map(str.isdigit, found[2])) > DIGITS_MAX:
        raise Incorrect(f"{parameter} is a number of more than {DIGITS_MAX} digits", at=parameter)
    value, prefix = Decimal(found[2]), Prefix(found[1] or "eq")
    if (value and abs(value.adjusted()) > EXPONENT_MAX) or abs(exponent := _exponent(value)) > EXPONENT_MAX:
        raise Incorrect(f"{parameter} is a number beyond 1E+{EXPONENT_MAX} or 1E-{EXPONENT_MAX}", at=parameter)
    half = _EXACTLY.divide(abs(value), 10) if prefix is Prefix.AP else Decimal((0, (5,), exponent - 1))
    return Amount(prefix, value, _EXACTLY.subtract(value, half), _EXACTLY.add(value, half))


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


def compare(asked: Amount, low: Decimal | None, high: Decimal | None) -> bool:
    """Say whether the closed interval of a `Measure` (None is open) stands to the amount as its prefix wants, both in
    one unit (R4 search, prefixes): `eq`, `ne` and `ap` compare the amount's interval, other prefixes its value.
    """
    value = asked.value
    match asked.prefix:
        case Prefix.EQ:
            return _within(asked, low, high)
        case Prefix.NE:
            return not _within(asked, low, high)
        case Prefix.GT:
            return high is None or high > value
        case Prefix.LT:
            return low is None or low < value
        case Prefix.GE:
            return high is None or high >= value
        case Prefix.LE:
            return low is None or low <= value
        case Prefix.SA:
            return low is not None and low > value
        case Prefix.EB:
            return high is not None and high < value
        case Prefix.AP:
            return (low is None or low <= asked.high) and (high is None or high >= asked.low)


def _within(asked: Amount, low: Decimal | None, high: Decimal | None) -> bool:
    return low is not None and high is not None and low >= asked.low and high < asked.high


def in_unit(asked: Amount, system: str, code: str, unit: str) -> Amount | None:
    """Return the amount in the unit of a measure (its system, code and displayed unit), None when the two do not
    compare: another unit, or none of UCUM of the same dimension. What decides about units everywhere.
    """
    if asked.system is None:
        return asked
    if asked.system == "":
        return asked if asked.code in {code, unit} else None
    if asked.system != system:
        return None
    if asked.code == code:
        return asked
    if system != units.UCUM:
        return None
    bounds = [units.convert(bound, asked.code, code) for bound in (asked.value, asked.low, asked.high)]
    value, low, high = bounds
    if value is None or low is None or high is None:
        return None
    return replace(asked, value=value, low=low, high=high, code=code)


def answers(asked: Amount, measure: Measure) -> bool:
    """Say whether a measure is one that an amount asks for, in whatever unit."""
    here = in_unit(asked, measure.system, measure.code, measure.unit)
    return here is not None and compare(here, measure.low, measure.high)


def measure(parameter: str, value: Any, data_type: str) -> Measure | None:
    """Return what a number, Quantity (Age, Duration, Count, Distance), Money or Range states, None when that is
    nothing; a value of another shape states nothing.
    """
    if data_type in _PLAIN:
        number = _decimal(value)
        return None if number is None else Measure(parameter, number, number)
    if type(value) is not dict:
        return None
    if data_type == "Range":
        low, high = _part(value.get("low")), _part(value.get("high"))
        return _measure(parameter, _decimal(low.get("value")), _decimal(high.get("value")), low or high)
    number = _decimal(value.get("value"))
    if number is None:
        return None
    if data_type == "Money":
        return Measure(parameter, number, number, CURRENCY, _text(value.get("currency")))
    comparator = value.get("comparator")
    if comparator is None:
        return _measure(parameter, number, number, value)
    below = comparator in _BELOW
    return _measure(parameter, None if below else number, number if below else None, value)


def _measure(parameter: str, low: Decimal | None, high: Decimal | None, unit: dict[str, Any]) -> Measure | None:
    if low is None and high is None:
        return None
    system, code, shown = unit.get("system", ""), unit.get("code", ""), unit.get("unit", "")
    if type(system) is str and type(code) is str and type(shown) is str:
        return Measure(parameter, low, high, system, code, shown)
    return Measure(parameter, low, high, _text(system), _text(code), _text(shown))


def _part(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _decimal(value: Any) -> Decimal | None:
    """Return a JSON number, None for anything else and for what no database column holds."""
    if type(value) is int:
        value = Decimal(value)
    elif type(value) is not Decimal:
        return None
    return value if value.is_finite() and -EXPONENT_MAX <= value.adjusted() <= EXPONENT_MAX else None
