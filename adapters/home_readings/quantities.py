"""A reading's value → a FHIR Quantity or CodeableConcept: exact numbers, UCUM units, plausible ranges, urine strips.

No value is ever rounded and none is guessed: a unit that is missing or contradicts its value is a reason, not a
conversion. The one conversion that a word of the sender asks for is a move of the decimal point (metres to
centimetres, an oxygen saturation sent as a fraction to per cent).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, NamedTuple

from adapters.home_readings import measurements
from adapters.home_readings.measurements import Measurement, Measurements, Unit
from adapters.home_readings.refusals import ReadingRefusedError
from gateway.model import RejectionCode

_NUMBER = re.compile(r"(<=|>=|<|>|≤|≥)?\s*([+-]?(?:0|[1-9]\d{0,11})(?:[.,]\d{1,15})?)", re.ASCII)
_COMPARATORS = {"≤": "<=", "≥": ">="}
_ONE = Decimal(1)
_DIGITS_MAX = 28
"""Digits that decimal arithmetic keeps: a number with more is outside every plausible range."""


class Number(NamedTuple):
    """A number with the digits that the sender wrote, and the comparator before it (`<5`) or ''."""

    value: Decimal | int
    comparator: str


def number(value: Any, at: str, *, decimal_comma: bool = False) -> Number:
    """Read a JSON number, or a text that holds one. Raises ReadingRefusedError (required-missing, value-invalid)."""
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return Number(value, "")
    if value is None or value == "":
        raise ReadingRefusedError(RejectionCode.REQUIRED_MISSING, at, "the reading has no value")
    shape = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    if shape is None:
        raise ReadingRefusedError(RejectionCode.VALUE_INVALID, at, "not a number")
    comparator, digits = shape.groups()
    if "," in digits:
        if not decimal_comma:
            raise ReadingRefusedError(
                RejectionCode.VALUE_INVALID, at, "a decimal comma; this feed has not said that it uses one"
            )
        digits = digits.replace(",", ".")
    return Number(Decimal(digits.removeprefix("+")), _COMPARATORS.get(comparator, comparator or ""))


def unit(measurement: Measurement, word: Any, at: str) -> Unit:
    """Return the unit that the sender's word means for this measurement. Raises ReadingRefusedError (unit-unknown)."""
    if word is None:
        word = ""
    found = measurement.unit_of(word) if isinstance(word, str) else None
    if found is not None:
        return found
    text = "no unit was sent" if word == "" else "a unit that this measurement is not taken in"
    wanted = ", ".join(dict.fromkeys(each.display for each in measurement.units.values()))
    raise ReadingRefusedError(RejectionCode.UNIT_UNKNOWN, at, f"{text}; understood are: {wanted}")


def plausible(value: Decimal | int, of: Unit, at: str) -> Decimal | int:
    """Return the value in the unit's UCUM code, moved by its shift. Raises ReadingRefusedError (implausible)."""
    if of.shift:
        value = _shifted(value, of.shift)
    if not of.low <= value <= of.high:
        raise ReadingRefusedError(
            RejectionCode.IMPLAUSIBLE,
            at,
            f"outside what is possible, {of.low} to {of.high} {of.display}{_hint(value, of)}",
        )
    return value


def _shifted(value: Decimal | int, shift: int) -> Decimal:
    moved = Decimal(value).scaleb(shift)
    exponent = moved.as_tuple().exponent
    whole = isinstance(exponent, int) and exponent > 0 and moved.adjusted() < _DIGITS_MAX
    return moved.quantize(_ONE) if whole else moved


def _hint(value: Decimal | int, of: Unit) -> str:
    """Return what to do about it. A fraction sent with % may be 97 % or a failing sensor: it is not guessed."""
    if of.ucum == "%" and 0 < value <= 1:
        return "; a fraction is sent with the unit {fraction}, not with %"
    if of.ucum == "%" and of.shift:
        return "; a value without a unit of its own is read as a fraction, per cent needs the unit %"
    return ""


def quantity(sent: Number, value: Decimal | int, of: Unit) -> dict[str, Any]:
    """Return the FHIR Quantity."""
    made: dict[str, Any] = {"value": value}
    if sent.comparator:
        made["comparator"] = sent.comparator
    made["unit"] = of.display
    made["system"] = measurements.UCUM
    made["code"] = of.ucum
    return made


def ordinal(measurement: Measurement, known: Measurements, value: Any, at: str, own_system: str) -> dict[str, Any]:
    """Return the CodeableConcept of a urine strip's answer; the sender's own word stays, as coding and as text."""
    if value is None or value == "":
        raise ReadingRefusedError(RejectionCode.REQUIRED_MISSING, at, "the reading has no value")
    row = None
    if isinstance(value, str):
        row = known.ordinals.get(value.replace(" ", "").casefold().rstrip("."))
    if row is None or (measurement.name == "urine-nitrite" and not row["nitrite"]):
        raise ReadingRefusedError(
            RejectionCode.VALUE_INVALID, at, "not an answer of this strip (negative, +/-, +1 to +4, positive)"
        )
    return {
        "coding": [
            {"system": measurements.SNOMED, "code": row["code"], "display": row["display"]},
            {"system": own_system, "code": value.strip(), "userSelected": True},
        ],
        "text": value.strip(),
    }
