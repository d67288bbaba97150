"""SMART v2 scopes as values: `system/Observation.rs`, `ingest/home`. Grammar only; what they open is for `decide`.

SMART App Launch 2.2, §scopes-for-requesting-fhir-resources: context `/` type or `*` `.` letters, the letters a
non-empty part of `cruds` in that order. `ingest/<feed>` is this gateway's own: to post messages to one feed. Query
constraints (`?category=…`) and v1 scopes (`.read`) are refused whole until they can be honoured: half a constraint is
a leak.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_RESOURCE = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]{0,63})\.(c?r?u?d?s?)")
_INGEST = re.compile(r"ingest/([a-z][a-z0-9_-]{0,63})")
SCOPES_MAX: Final = 200


class Letter(enum.StrEnum):
    """What a scope opens (SMART v2): each interaction of the API needs one of these."""

    CREATE = "c"
    READ = "r"  # read, vread, instance history
    UPDATE = "u"
    DELETE = "d"
    SEARCH = "s"  # type search, type and system history


class ScopeError(ValueError):
    """A scope that is none of ours; the text does not repeat it."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a token opens. Only `system/` scopes open anything yet: nobody has a patient or a user context."""

    system: frozenset[tuple[str, str]] = frozenset()
    """(resource type or `*`, letter)"""
    feeds: frozenset[str] = frozenset()
    text: str = ""
    """As granted, by blanks."""

    def allow(self, resource_type: str, letter: Letter) -> bool:
        """Say whether a system-wide scope opens this letter of this type."""
        return (resource_type, letter.value) in self.system or ("*", letter.value) in self.system


def parse(scopes: Iterable[str]) -> Scopes:
    """Read the scopes of a token. Raises ScopeError when one of them is not understood: nothing is guessed."""
    system: set[tuple[str, str]] = set()
    feeds: set[str] = set()
    names = list(dict.fromkeys(scopes))
    if len(names) > SCOPES_MAX:
        raise ScopeError(f"more than {SCOPES_MAX} scopes")
    for number, scope in enumerate(names, 1):
        if found := _INGEST.fullmatch(scope):
            feeds.add(found[1])
        elif (found := _RESOURCE.fullmatch(scope)) and found[3]:
            if found[1] == "system":
                system |= {(found[2], letter) for letter in found[3]}
        else:
            raise ScopeError(f"scope {number} is not understood")
    return Scopes(frozenset(system), frozenset(feeds), " ".join(names))
