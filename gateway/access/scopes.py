"""SMART v2 scopes as values: `patient/Observation.rs?category=…`, `ingest/home`. Grammar only; what they open is for `decide`.

SMART App Launch 2.2, §scopes-for-requesting-fhir-resources: context `/` type or `*` `.` letters, the letters a non-empty
part of `cruds` in that order; `?param=value`, several by `&`, all of which must hold. SMART v1 (`.read`, `.write`, `.*`)
is read as the letters that it stands for. `ingest/<feed>` is this gateway's own: to post messages to one feed.

A constraint that cannot be read whole is refused whole: half a constraint is a leak. So are modifiers, chains and
`_filter` in one (experimental in SMART), and percent-encoding: in a token everything stands for itself.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_RESOURCE = re.compile(
    r"(?P<context>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]{0,63})"
    r"\.(?:(?P<letters>c?r?u?d?s?)|(?P<old>read|write|\*))(?:\?(?P<query>[!#-$&-\[\]-~]+))?"
)
_PAIR = re.compile(r"(?P<name>_?[a-z][A-Za-z0-9-]{0,63})=(?P<value>.+)")
_INGEST = re.compile(r"ingest/([a-z][a-z0-9_-]{0,63})")
_OLD: Final = {"read": "rs", "write": "cud", "*": "cruds"}
OTHERS: Final = frozenset(
    {"openid", "fhirUser", "profile", "launch", "launch/patient", "launch/encounter", "offline_access", "online_access"}
)
"""Scopes of SMART and OpenID Connect that open no resource."""
SCOPES_MAX: Final = 200
PAIRS_MAX: Final = 10


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
class Grant:
    """One resource scope, read."""

    context: str
    """`patient`, `user` or `system`"""
    type: str
    """A resource type, or `*`."""
    letters: str
    """Of `cruds`, in that order."""
    constraint: tuple[tuple[str, str], ...] = ()
    """(search parameter, value as in a search): all of them must hold."""

    @property
    def text(self) -> str:
        """The scope as SMART v2 writes it."""
        query = "&".join(f"{name}={value}" for name, value in self.constraint)
        return f"{self.context}/{self.type}.{self.letters}" + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a token opens."""

    system: frozenset[tuple[str, str]] = frozenset()
    """(resource type or `*`, letter) of system scopes without a constraint."""
    feeds: frozenset[str] = frozenset()
    text: str = ""
    """As granted, by blanks."""
    grants: tuple[Grant, ...] = ()
    """Every resource scope, whatever its context."""
    others: frozenset[str] = frozenset()
    """Of OTHERS."""

    def allow(self, resource_type: str, letter: Letter) -> bool:
        """Say whether a system-wide scope opens this letter of this type, all of them: one with a constraint does not."""
        return (resource_type, letter.value) in self.system or ("*", letter.value) in self.system


def read(scope: str) -> Grant | None:
    """Return a resource scope as a value, None when it is none."""
    found = _RESOURCE.fullmatch(scope)
    letters = (found["letters"] or _OLD.get(found["old"] or "", "")) if found else ""
    if found is None or not letters:
        return None
    pairs = found["query"].split("&") if found["query"] else []
    read_ = [_PAIR.fullmatch(pair) for pair in pairs]
    constraint = tuple((pair["name"], pair["value"]) for pair in read_ if pair and pair["name"] != "_filter")
    if len(constraint) != len(pairs) or len(pairs) > PAIRS_MAX:
        return None
    return Grant(found["context"], found["type"], letters, constraint)


def parse(scopes: Iterable[str]) -> Scopes:
    """Read the scopes of a token. Raises ScopeError when one of them is not understood: nothing is guessed."""
    system: set[tuple[str, str]] = set()
    feeds: set[str] = set()
    grants: list[Grant] = []
    names = list(dict.fromkeys(scopes))
    if len(names) > SCOPES_MAX:
        raise ScopeError(f"more than {SCOPES_MAX} scopes")
    for number, scope in enumerate(names, 1):
        if found := _INGEST.fullmatch(scope):
            feeds.add(found[1])
        elif grant := read(scope):
            grants.append(grant)
            if grant.context == "system" and not grant.constraint:
                system |= {(grant.type, letter) for letter in grant.letters}
        elif scope not in OTHERS:
            raise ScopeError(f"scope {number} is not understood")
    others = frozenset(name for name in names if name in OTHERS)
    return Scopes(frozenset(system), frozenset(feeds), " ".join(names), tuple(dict.fromkeys(grants)), others)
