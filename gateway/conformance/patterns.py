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
_BEYOND = 128
"""Stands for every character beyond ASCII."""
_CLASSES = {"CATEGORY_SPACE": r"\s", "CATEGORY_DIGIT": r"\d", "CATEGORY_WORD": r"\w"}


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
    """Say whether a pattern has an open-ended repetition within another, which can take exponential time.

    `(a+)+` has. `([.][a-z]+)*` is no danger: each round begins with a character that cannot be inside one.
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
            if _nested(inner, within=within or (open_ended and not _separated(inner))):
                return True
        elif name == "BRANCH":
            # `(a|ab)*`: alternatives within a repetition can be as bad; plain ones of one character are a set by now
            if within or any(_nested(branch, within=within) for branch in argument[1]):
                return True
        elif name in _INNER and _nested(argument[-1], within=within):
            return True
    return False


def _separated(body: Any) -> bool:
    """Say whether what is repeated begins with a character that occurs nowhere else in it."""
    items = list(body)
    while len(items) == 1 and str(items[0][0]) == "SUBPATTERN":
        items = list(items[0][1][-1])
    if len(items) < 2:  # noqa: PLR2004
        return False
    first = _characters(items[0])
    rest = [_characters(one) for one in items[1:]]
    return first is not None and all(one is not None and first.isdisjoint(one) for one in rest)


def _characters(item: Any) -> set[int] | None:
    """Return the characters that a piece of a pattern is made of, None where that is not plain to see."""
    name, argument = str(item[0]), item[1]
    if name == "LITERAL":
        return {min(argument, _BEYOND)}
    if name in _REPEATS or name == "SUBPATTERN":
        found = [_characters(one) for one in argument[-1]]
        return None if None in found else set().union(*(one for one in found if one is not None))
    if name != "IN":
        return None
    made: set[int] = set()
    for kind, what in argument:
        match str(kind):
            case "LITERAL":
                made.add(min(what, _BEYOND))
            case "RANGE":
                made.update(min(code, _BEYOND) for code in range(what[0], min(what[1], _BEYOND) + 1))
            case "CATEGORY" if str(what) in _CLASSES:
                written = re.compile(_CLASSES[str(what)])
                made.update(code for code in range(_BEYOND) if written.match(chr(code)))
                made.add(_BEYOND)
            case "NEGATE":
                pass
            case _:
                return None
    if str(argument[0][0]) == "NEGATE":
        return (set(range(_BEYOND)) - made) | {_BEYOND}
    return made
