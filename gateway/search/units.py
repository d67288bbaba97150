"""Units of measure: a UCUM code as a factor and a dimension, and amounts from one unit to another. Exact.

Source: The Unified Code for Units of Measure (https://ucum.org), its grammar of case-sensitive codes; the units are a
table, mappings/fhir/ucum-units.csv, which says where it differs. Fractions inside; a decimal that does not end is
rounded to 60 digits on the way out. Not a converter of substances: mmol/L and mg/dL do not compare.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

UCUM: Final = "http://unitsofmeasure.org"
CODE_LENGTH_MAX: Final = 100
EXPONENT_MAX: Final = 40
_DEPTH_MAX: Final = 8
_FILE: Final = Path(__file__).resolve().parents[2] / "mappings" / "fhir" / "ucum-units.csv"
_DIGITS = Context(prec=60)

_PREFIXES: Final[Mapping[str, Fraction]] = {
    "Y": Fraction(10**24), "Z": Fraction(10**21), "E": Fraction(10**18), "P": Fraction(10**15), "T": Fraction(10**12),
    "G": Fraction(10**9), "M": Fraction(10**6), "k": Fraction(1000), "h": Fraction(100), "da": Fraction(10),
    "d": Fraction(1, 10), "c": Fraction(1, 100), "m": Fraction(1, 1000), "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9), "p": Fraction(1, 10**12), "f": Fraction(1, 10**15), "a": Fraction(1, 10**18),
    "z": Fraction(1, 10**21), "y": Fraction(1, 10**24),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40),
}  # fmt: skip

_TOKEN = re.compile(
    r"(?P<operator>[./()])|(?P<note>\{[^{}]*\})|(?P<ten>10[*^])(?P<power>[+-]?[0-9]{1,3})?|(?P<number>[0-9]{1,20})"
    r"|(?P<symbol>(?:[A-Za-z%'_]|\[[!-Z^-z|~]*\])+)(?P<exponent>[+-]?[0-9]{1,3})?"
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit in base units: `(value + offset) * factor` of them; `dimension` is their names with exponents, sorted."""

    factor: Fraction
    dimension: tuple[tuple[str, int], ...]
    offset: Fraction = Fraction(0)


_ONE: Final = Unit(Fraction(1), ())


class _NotUcumError(ValueError):
    """A code that UCUM does not have, or the table does not."""


def canonical(value: Decimal, system: str, code: str) -> tuple[Decimal, str] | None:
    """Return an amount in base units, and those as text (`g.m-3`; `1` is none); None for what is not UCUM."""
    unit = parse(code) if system == UCUM else None
    if unit is None:
        return None
    return _decimal((Fraction(value) + unit.offset) * unit.factor), _text(unit)


def convert(value: Decimal, code: str, to: str) -> Decimal | None:
    """Return an amount of one UCUM unit in another, None when they do not compare."""
    one, other = parse(code), parse(to)
    if one is None or other is None or one.dimension != other.dimension:
        return None
    return _decimal((Fraction(value) + one.offset) * one.factor / other.factor - other.offset)


def dimension(code: str) -> str | None:
    """Return the base units of a UCUM code as text, None for what is not UCUM. Units of one dimension compare."""
    unit = parse(code)
    return None if unit is None else _text(unit)


@functools.lru_cache(maxsize=4096)
def parse(code: str) -> Unit | None:
    """Return the unit that a UCUM code names, None when it names none."""
    if not 0 < len(code) <= CODE_LENGTH_MAX:
        return None
    try:
        return _whole(_tokens(code))
    except _NotUcumError:
        return None


def _whole(tokens: list[re.Match[str]]) -> Unit:
    over = tokens[0]["operator"] == "/"
    if over:
        tokens.pop(0)
    first = _component(tokens, 0)
    unit = _rest(_power(first, -1) if over else first, tokens, 0)
    if tokens:
        raise _NotUcumError
    return unit


def _tokens(code: str) -> list[re.Match[str]]:
    found, place = [], 0
    while place < len(code):
        token = _TOKEN.match(code, place)
        if token is None:
            raise _NotUcumError
        found.append(token)
        place = token.end()
    return found


def _rest(unit: Unit, tokens: list[re.Match[str]], depth: int) -> Unit:
    """Multiply and divide from left to right."""
    while tokens and tokens[0]["operator"] in {".", "/"}:
        over = tokens.pop(0)["operator"] == "/"
        right = _component(tokens, depth)
        unit = _times(unit, _power(right, -1) if over else right)
    return unit


def _component(tokens: list[re.Match[str]], depth: int) -> Unit:
    if not tokens:
        raise _NotUcumError
    token = tokens.pop(0)
    if token["note"]:
        return _ONE
    if token["operator"] == "(":
        if depth == _DEPTH_MAX:
            raise _NotUcumError
        unit = _rest(_component(tokens, depth + 1), tokens, depth + 1)
        if not tokens or tokens.pop(0)["operator"] != ")":
            raise _NotUcumError
    elif token["ten"]:
        unit = Unit(Fraction(10) ** _exponent(token["power"]), ())
    elif token["number"]:
        unit = Unit(Fraction(int(token["number"])), ())
        if not unit.factor:
            raise _NotUcumError
    elif token["symbol"]:
        unit = _symbol(token["symbol"])
        if token["exponent"]:
            unit = _power(unit, _exponent(token["exponent"]))
    else:
        raise _NotUcumError
    if tokens and tokens[0]["note"]:
        tokens.pop(0)
    return unit


def _exponent(text: str | None) -> int:
    exponent = int(text or 1)
    if abs(exponent) > EXPONENT_MAX:
        raise _NotUcumError
    return exponent


@functools.cache
def _table() -> Mapping[str, dict[str, str]]:
    lines = _FILE.read_text("utf-8").splitlines()
    return {row["symbol"]: row for row in csv.DictReader(line for line in lines if not line.startswith("#"))}


def _symbol(symbol: str) -> Unit:
    if symbol in _table():
        return _atom(symbol)
    for length in (2, 1):
        prefix, rest = _PREFIXES.get(symbol[:length]), symbol[length:]
        if prefix is not None and rest in _table() and _table()[rest]["metric"] == "yes":
            atom = _atom(rest)
            return Unit(atom.factor * prefix, atom.dimension)
    raise _NotUcumError


@functools.cache
def _atom(symbol: str) -> Unit:
    row = _table()[symbol]
    value = Fraction(row["value"])
    if not row["unit"]:
        return Unit(value, ((symbol, 1),))
    unit = parse(row["unit"])
    if unit is None:
        raise ValueError(f"{symbol}: its unit is not in the table")
    return Unit(unit.factor * value, unit.dimension, Fraction(row["offset"] or 0))


def _times(one: Unit, other: Unit) -> Unit:
    if one.offset or other.offset:  # a scale is no factor: Cel/h means nothing
        raise _NotUcumError
    exponents = dict(one.dimension)
    for name, exponent in other.dimension:
        exponents[name] = exponents.get(name, 0) + exponent
    if any(abs(exponent) > EXPONENT_MAX for exponent in exponents.values()):
        raise _NotUcumError
    return Unit(
        one.factor * other.factor, tuple(sorted((name, exponent) for name, exponent in exponents.items() if exponent))
    )


def _power(unit: Unit, exponent: int) -> Unit:
    if unit.offset and exponent != 1:
        raise _NotUcumError
    dimension = tuple((name, of * exponent) for name, of in unit.dimension if exponent)
    if any(abs(of) > EXPONENT_MAX for _, of in dimension):
        raise _NotUcumError
    return Unit(unit.factor**exponent, dimension, unit.offset)


def _text(unit: Unit) -> str:
    return ".".join(f"{name}{'' if exponent == 1 else exponent}" for name, exponent in unit.dimension) or "1"


def _decimal(value: Fraction) -> Decimal:
    return _DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))
