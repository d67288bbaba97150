"""Is a code in a value set? Yes, no, or cannot be known: its code system is not here. No terminology server.

Known are the code systems and value sets of R4, of the packages, and what value sets list themselves. Of a system that is
not here (SNOMED CT, LOINC, UCUM …) a value set that takes all of it takes every code; one that filters it cannot be judged.
"""

from __future__ import annotations

import enum
from typing import Any

from gateway.conformance.compact import Json
from gateway.conformance.library import Library

DEPTH_MAX = 20


class Member(enum.Enum):
    """The three answers; `UNSEEN` is a yes whose code nobody could look up."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    UNSEEN = "unseen"


class Terms:
    """Membership in the value sets of a library."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._known: dict[tuple[str, str, str | None, str], Member] = {}

    def member(self, value_set: str, within: str, system: str | None, code: str) -> Member:
        """Say whether a code is in a value set; with `system` None (a `code` element) in any of its systems."""
        key = (value_set, within, system, code)
        if key not in self._known:
            if len(self._known) > 50_000:  # noqa: PLR2004 - codes come from callers
                self._known.clear()
            self._known[key] = self._in_set(value_set, within, system, code, 0)
        return self._known[key]

    def knows(self, value_set: str, within: str) -> bool:
        """Say whether there is such a value set."""
        return self._library.definition("value_sets", value_set, within) is not None

    def system_has(self, system: str, within: str, code: str) -> Member:
        """Say whether a code system has a code."""
        found = self._library.definition("code_systems", system, within)
        if found is None or found[1]["content"] not in ("complete", "fragment", "example"):
            return Member.UNSEEN
        if _in_system(found[1], code):
            return Member.YES
        return Member.NO if found[1]["content"] == "complete" else Member.UNSEEN

    def _in_set(self, value_set: str, within: str, system: str | None, code: str, depth: int) -> Member:
        found = self._library.definition("value_sets", value_set, within)
        if found is None or depth > DEPTH_MAX:
            return Member.UNKNOWN
        package, row = found
        answer = _any(self._included(one, package, system, code, depth) for one in row["include"])
        if answer is Member.NO or "exclude" not in row:
            return answer
        excluded = _any(self._included(one, package, system, code, depth) for one in row["exclude"])
        if excluded is Member.YES:
            return Member.NO
        return answer if excluded is Member.NO else Member.UNKNOWN

    def _included(self, one: Json, package: str, system: str | None, code: str, depth: int) -> Member:
        answers = [self._in_set(inner, package, system, code, depth + 1) for inner in one.get("sets", ())]
        if "system" in one:
            if system is not None and one["system"] != system:
                return Member.NO
            answers.append(self._of_system(one, package, code))
        return _all(answers)

    def _of_system(self, one: Json, package: str, code: str) -> Member:
        if "codes" in one:
            return Member.YES if code in one["codes"] else Member.NO
        answer = self.system_has(one["system"], package, code)
        if "filters" not in one or answer is Member.NO:
            return answer
        found = self._library.definition("code_systems", one["system"], package)
        if found is None or answer is Member.UNSEEN:
            return Member.UNKNOWN
        return _all([_filtered(found[1], each, code) for each in one["filters"]])


def _in_system(row: Json, code: str) -> bool:
    if row.get("folded"):
        return code.casefold() in {each.casefold() for each in row["codes"]}
    return code in row["codes"]


def _filtered(row: Json, asked: list[Any], code: str) -> Member:
    name, operator, value = asked
    if name != "concept" or operator not in ("is-a", "descendent-of", "is-not-a"):
        return Member.UNKNOWN
    seen, below = {code}, row["codes"].get(code, "")
    while below and below not in seen:
        seen.add(below)
        below = row["codes"].get(below, "")
    descends = value in seen and value != code
    if operator == "is-not-a":
        return Member.NO if value in seen else Member.YES
    return Member.YES if descends or (operator == "is-a" and code == value) else Member.NO


def _any(answers: Any) -> Member:
    best = Member.NO
    for answer in answers:
        if answer is Member.YES:
            return answer
        if answer is Member.UNSEEN or (answer is Member.UNKNOWN and best is Member.NO):
            best = answer
    return best


def _all(answers: list[Member]) -> Member:
    for worst in (Member.NO, Member.UNKNOWN, Member.UNSEEN):
        if worst in answers:
            return worst
    return Member.YES if answers else Member.NO
