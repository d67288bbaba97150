"""Fixed values, patterns and limits (ElementDefinition.fixed[x], pattern[x], minValue[x], maxValue[x]); runaway patterns.

Pure comparisons of JSON values. Source: R4 elementdefinition.html.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

_sre: Any = re._parser  # type: ignore[attr-defined]  # noqa: SLF001 - the only reader of patterns that Python has
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
_INNER = {"SUBPATTERN", "ASSERT", "ASSERT_NOT"}
_MANY = 20


def equals(value: Any, fixed: Any) -> bool:
    """Say whether a value is exactly the fixed one: same members, same order, 1.0 equal to 1.00 as R4 compares numbers."""
    if isinstance(fixed, dict):
        return isinstance(value, dict) and value.keys() == fixed.keys() and all(
            equals(value[name], fixed[name]) for name in fixed
        )  # fmt: skip
    if isinstance(fixed, list):
        return isinstance(value, list) and len(value) == len(fixed) and all(map(equals, value, fixed))
    return _scalar(value, fixed)


def matches(value: Any, pattern: Any) -> bool:
    """Say whether a value has at least what a pattern has; of a list each member in the pattern is somewhere in it."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and matches(value[name], part) for name, part in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(matches(one, part) for one in value) for part in pattern)
    return _scalar(value, pattern)


def _scalar(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(wanted, float):  # a definition's own number, read by a fast reader
        wanted = Decimal(str(wanted))
    return bool(value == wanted)


def below(value: Any, limit: Any) -> bool:
    """Say whether a value is surely less than a limit: numbers, quantities of one unit, dates and times."""
    if isinstance(value, dict) and isinstance(limit, dict):
        same = all(value.get(name) == limit.get(name) for name in ("system", "code"))
        return same and "value" in value and "value" in limit and below(value["value"], limit["value"])
    if isinstance(value, str) and isinstance(limit, str):
        return _ends(value, limit)
    if isinstance(value, int | Decimal) and isinstance(limit, int | float | Decimal):
        return not isinstance(value, bool) and Decimal(value) < Decimal(str(limit))
    return False


def _ends(value: str, limit: str) -> bool:
    """Say whether a date or time is before another, compared to the precision that both have."""
    if "T" in value and "T" in limit:
        try:
            first, second = dt.datetime.fromisoformat(value), dt.datetime.fromisoformat(limit)
        except ValueError:
            return False
        if (first.tzinfo is None) == (second.tzinfo is None):
            return first < second
    length = min(len(value.partition("T")[0]), len(limit.partition("T")[0])) if "-" in value + limit else None
    return value[:length] < limit[:length]


def runs_away(pattern: str) -> bool:
    """Say whether a pattern has a repetition within an unlimited repetition, which can take exponential time.

    `(a+)+` has; `(?:ab?c{2})+` has not. A repetition of a fixed, small number of times is no danger.
    """
    try:
        return _nested(_sre.parse(pattern), within=False)
    except (re.error, RecursionError, OverflowError):
        return False  # compiling it says what is wrong


def _nested(parsed: Any, *, within: bool) -> bool:
    for operator, argument in parsed:
        name = str(operator)
        if name in _REPEATS:
            least, most, inner = argument
            open_ended = most > _MANY and least != most
            if open_ended and within:
                return True
            if _nested(inner, within=within or open_ended):
                return True
        elif name == "BRANCH":
            if any(_nested(branch, within=within) for branch in argument[1]):
                return True
        elif name in _INNER and _nested(argument[-1], within=within):
            return True
    return False
