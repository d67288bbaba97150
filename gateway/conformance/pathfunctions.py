"""Functions of FHIRPath over plain values: patterns with a guard, text, no clock. No library here (`fhirpath` has it)."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.conformance.patterns import runs_away

SUBJECT_CHARACTERS_MAX: Final = 2_000


class Unevaluable(Exception):
    """An expression that the library cannot evaluate here; the text names the cause and no value."""


def no_clock(_: list[Any]) -> list[Any]:
    """Refuse to tell the time: the pure floor has no clock."""
    raise Unevaluable("it asks for the time of day")


def to_string(values: list[Any]) -> list[str]:
    """Return a value as text, the digits of a Decimal as they are."""
    if len(values) != 1 or isinstance(values[0], Mapping):
        return []
    value = values[0]
    return [str(value).lower() if isinstance(value, bool) else str(value)]


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    if runs_away(pattern):
        raise Unevaluable("its pattern could take for ever")
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error:
        raise Unevaluable("its pattern is not a regular expression") from None


def _subject(values: list[Any]) -> str | None:
    if len(values) != 1:
        raise Unevaluable("a pattern is asked of more than one value")
    if not isinstance(values[0], str):
        return None
    if len(values[0]) > SUBJECT_CHARACTERS_MAX:
        raise Unevaluable("the text is too long for a pattern")
    return values[0]


def matches(values: list[Any], pattern: Any) -> list[bool]:
    """Say whether a pattern fits somewhere in the text."""
    subject = _subject(values)
    return [] if subject is None or not isinstance(pattern, str) else [bool(_compiled(pattern).search(subject))]


def matches_full(values: list[Any], pattern: Any) -> list[bool]:
    """Say whether a pattern fits the whole text."""
    subject = _subject(values)
    return [] if subject is None or not isinstance(pattern, str) else [bool(_compiled(pattern).fullmatch(subject))]


def replace_matches(values: list[Any], pattern: Any, by: Any) -> list[str]:
    """Return the text with what matches replaced; an empty pattern matches nothing."""
    subject = _subject(values)
    if subject is None or not isinstance(pattern, str) or not isinstance(by, str):
        return []
    return [subject if not pattern else _compiled(pattern).sub(by.replace("$", "\\"), subject)]
