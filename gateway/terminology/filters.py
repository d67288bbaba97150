"""The filters of a value set (R4 ValueSet.compose.include.filter) as tests of one concept.

`concept` and `code` are the concept itself, `display` its display, `parent` and `child` its neighbours; any other
property is one that the code system declares. Regular expressions are matched against the whole value and must be of
a simple kind: one that can take exponential time is refused, not tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from gateway.model import Resource
from gateway.terminology.codesystem import CodeSystem, Concept
from gateway.terminology.failures import NoContent, TooCostly, Unsupported

Test = Callable[[Concept], bool]

REGEX_CHARACTERS_MAX: Final = 200
REGEX_SUBJECT_CHARACTERS_MAX: Final = 200
REGEX_STEPS_MAX: Final = 200_000
"""So many ways a failing match may try at most, by a rough upper bound (`_steps`)."""
_ITSELF: Final = frozenset({"concept", "code"})
_FLAGS: Final = frozenset({"inactive", "notSelectable", "abstract"})
_ALWAYS: Final = _ITSELF | _FLAGS | {"display", "definition", "parent", "child", "status"}
_HIERARCHY: Final = frozenset({"is-a", "descendent-of", "is-not-a", "generalizes"})
_GROUP_REPEATED: Final = re.compile(r"\)(?:[*+]|\{)")
_BACK_REFERENCE: Final = re.compile(r"\\[1-9]|\(\?(?!:)")
_REPEATS: Final = re.compile(r"(?<!\\)[*+]|\{\d*,\d*\}")
_CHOICES: Final = re.compile(r"(?<!\\)(?<!\()[?|]")


def test_of(system: CodeSystem, asked: Resource) -> Test:
    """Return the test that a filter is. Raises NoContent (a concept the system does not have), TooCostly, Unsupported."""
    name, operator, value = asked.get("property", ""), asked.get("op", ""), asked.get("value", "")
    if operator in _HIERARCHY and name in _ITSELF:
        return _by_hierarchy(system, operator, value)
    if not system.whole and name not in _ALWAYS and not _used(system, name):
        raise NoContent("only a part of the code system is here, without the property that a filter names")
    if name == "parent" and not system.whole and not any(one.parents for one in system.concepts.values()):
        raise NoContent("only a part of the code system is here, without its hierarchy")
    if name not in _ALWAYS and name not in system.described and not _used(system, name):
        raise Unsupported("a filter names a property that its code system does not have")
    match operator:
        case "=":
            return lambda concept: value in _values(concept, name)
        case "in" | "not-in":
            wanted = {one.strip() for one in value.split(",")}
            expected = operator == "in"
            return lambda concept: any(one in wanted for one in _values(concept, name)) is expected
        case "exists":
            expected = value == "true"
            return lambda concept: any(True for _ in _values(concept, name)) is expected
        case "regex":
            pattern = _pattern(value)
            return lambda concept: any(_matches(pattern, one) for one in _values(concept, name))
        case _:
            raise Unsupported("this filter operator is not supported for this property")


def _by_hierarchy(system: CodeSystem, operator: str, code: str) -> Test:
    start = system.find(code)
    if start is None:
        raise NoContent("a filter starts at a code that the code system here does not have")
    found = {one.code for one in (system.above(code) if operator == "generalizes" else system.below(code))}
    if operator == "descendent-of":
        found.discard(start.code)
    if operator == "is-not-a":
        return lambda concept: concept.code not in found
    return lambda concept: concept.code in found


def _values(concept: Concept, name: str) -> Iterator[str]:
    """Yield the values of a property as text."""
    if name in _ITSELF:
        yield concept.code
    elif name == "display":
        yield from (concept.display,) if concept.display else ()
    elif name == "definition":
        yield from (concept.definition,) if concept.definition else ()
    elif name == "parent":
        yield from concept.parents
    elif name == "child":
        yield from concept.children
    elif name == "inactive":
        yield "true" if concept.inactive else "false"
    elif name in _FLAGS:
        yield "true" if concept.abstract else "false"
    else:
        found = [_text(value) for code, _, value in concept.properties if code == name]
        yield from found or (("active",) if name == "status" else ())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return str(value.get("code", ""))
    return str(value) if isinstance(value, int | Decimal | str) else ""


def _used(system: CodeSystem, name: str) -> bool:
    return any(code == name for concept in system.concepts.values() for code, _, _ in concept.properties)


def _matches(pattern: re.Pattern[str], value: str) -> bool:
    if len(value) > REGEX_SUBJECT_CHARACTERS_MAX:
        raise TooCostly(f"a regex filter meets a value of more than {REGEX_SUBJECT_CHARACTERS_MAX} characters")
    return pattern.fullmatch(value) is not None


def _pattern(text: str) -> re.Pattern[str]:
    """Return a compiled expression without repeated groups and references back, and with few repeats and choices."""
    too_hard = (
        len(text) > REGEX_CHARACTERS_MAX
        or _GROUP_REPEATED.search(text)
        or _BACK_REFERENCE.search(text)
        or _steps(text) > REGEX_STEPS_MAX
    )
    if too_hard:
        raise TooCostly("a regex filter is of a kind that can take too long; repeat single characters or classes only")
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError):
        raise Unsupported("a regex filter is not a regular expression") from None


def _steps(text: str) -> int:
    """Return an upper bound of the ways to try: each open repeat multiplies by the length, each choice by two.

    Alternatives outside of groups are tried one after the other: they add, and are not counted.
    """
    choices = [one for one in _CHOICES.findall(text) if one == "?" or "(" in text]
    return int(REGEX_SUBJECT_CHARACTERS_MAX ** len(_REPEATS.findall(text))) << len(choices)
