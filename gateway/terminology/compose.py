"""The content of a value set (R4 ValueSet.compose): which codes are in it, all of them or one that is asked about.

Criteria of one include are joined by AND, includes by OR, excludes are taken away. What cannot be said is not guessed:
a code system that is not here raises `NoContent`; of a fragment, what is here is given and `unclosed` says that there
may be more. Not here: paging, text filter, languages (`expand`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.model import Resource
from gateway.terminology import filters
from gateway.terminology.codesystem import CodeSystem, Concept, Designation
from gateway.terminology.failures import NoContent, TooCostly, Unsupported
from gateway.terminology.library import Library, split

MEMBERS_MAX: Final = 100_000
IMPORTS_DEEP_MAX: Final = 20

Key = tuple[str, str]
"""(system, code)."""


@dataclass(frozen=True, slots=True)
class Member:
    """One code of a value set. `concept` is None where a list names a code of a system that is not here."""

    system: str
    version: str
    code: str
    display: str
    concept: Concept | None = None
    designations: tuple[Designation, ...] = ()
    """Those that the value set itself adds."""

    @property
    def inactive(self) -> bool:
        """Whether its code system says so."""
        return self.concept is not None and self.concept.inactive

    @property
    def abstract(self) -> bool:
        """Whether it is no code to be chosen."""
        return self.concept is not None and self.concept.abstract

    def called(self, language: str) -> str:
        """Return what it is called: in the language where anyone says, else as the value set says, else its display."""
        own = Concept(self.code, designations=self.designations).called(language) if language else ""
        translated = self.concept.called(language) if language and self.concept else ""
        shown = self.concept.display if self.concept else ""
        return own or (translated if translated != shown else "") or self.display or shown


@dataclass(frozen=True, slots=True)
class Versions:
    """Which versions of code systems count (R4 $expand system-version, check-system-version, force-system-version)."""

    default: Mapping[str, str] = field(default_factory=dict)
    check: Mapping[str, str] = field(default_factory=dict)
    force: Mapping[str, str] = field(default_factory=dict)

    def of(self, system: str, stated: str) -> str:
        """Return the version to use, '' for any. Raises NoContent when a stated one is not the one to check for."""
        expected = self.check.get(system, "")
        if expected and stated and stated != expected:
            raise NoContent(
                "the value set names another version of a code system than check-system-version", at="version"
            )
        return self.force.get(system) or stated or expected or self.default.get(system, "")


class Contents:
    """Answers for one question over one library; collects which code systems were used."""

    def __init__(
        self, library: Library, versions: Versions | None = None, excluded: frozenset[str] = frozenset()
    ) -> None:
        self._library = library
        self._versions = versions or Versions()
        self._excluded = excluded
        self.used: dict[str, str] = {}
        """Code systems that counted, with their versions."""
        self.unclosed = False
        """Whether a fragment was used as if it were all."""

    def members(self, value_set: Resource, trail: tuple[str, ...] = ()) -> dict[Key, Member]:
        """Return every code, in the order of the value set. Raises NoContent, TooCostly, Unsupported.

        Where its content cannot be worked out here, an expansion that it brings whole is taken.
        """
        compose = value_set.get("compose")
        if compose is None:
            return {(one.system, one.code): one for one in _expanded(value_set)}
        try:
            return self._composed(compose, self._deeper(value_set, trail))
        except NoContent:
            if not _brings_all(value_set):
                raise
            return {(one.system, one.code): one for one in _expanded(value_set)}

    def _composed(self, compose: Resource, trail: tuple[str, ...]) -> dict[Key, Member]:
        found: dict[Key, Member] = {}
        for part in compose.get("include", ()):
            for key, member in self._all(part, trail).items():
                found.setdefault(key, member)
            if len(found) > MEMBERS_MAX:
                raise TooCostly(f"the value set has more than {MEMBERS_MAX} codes")
        for part in compose.get("exclude", ()):
            for key in self._all(part, trail):
                found.pop(key, None)
        if compose.get("inactive") is False:
            found = {key: member for key, member in found.items() if not member.inactive}
        return {key: member for key, member in found.items() if member.system not in self._excluded}

    def holds(self, value_set: Resource, system: str | None, code: str, trail: tuple[str, ...] = ()) -> Member | None:
        """Return the member with this code, None when it is none; system None is any system that has it.

        Raises NoContent when that depends on what is not here: where one include says yes the others need not be known.
        """
        compose = value_set.get("compose")
        try:
            if compose is not None:
                return self._held(compose, system, code, self._deeper(value_set, trail))
        except NoContent:
            if not _brings_all(value_set):
                raise
        expanded = _expanded(value_set)
        return next((one for one in expanded if one.code == code and system in {None, one.system}), None)

    def _held(self, compose: Resource, system: str | None, code: str, trail: tuple[str, ...]) -> Member | None:
        found = self._first(compose.get("include", ()), system, code, trail)
        if found is None or (compose.get("inactive") is False and found.inactive):
            return None
        return None if self._first(compose.get("exclude", ()), found.system, found.code, trail) else found

    def _first(
        self, parts: list[Resource] | tuple[()], system: str | None, code: str, trail: tuple[str, ...]
    ) -> Member | None:
        unknown: NoContent | None = None
        for part in parts:
            try:
                if found := self._one(part, system, code, trail):
                    return found
            except NoContent as error:
                unknown = unknown or error
        if unknown is not None:
            raise unknown
        return None

    def _deeper(self, value_set: Resource, trail: tuple[str, ...]) -> tuple[str, ...]:
        url = value_set.get("url", "")
        if url and url in trail:
            raise Unsupported("value sets include each other in a circle")
        if len(trail) >= IMPORTS_DEEP_MAX:
            raise TooCostly(f"value sets include each other more than {IMPORTS_DEEP_MAX} deep")
        return (*trail, url)

    def _all(self, part: Resource, trail: tuple[str, ...]) -> dict[Key, Member]:
        found = {(one.system, one.code): one for one in self._of_system(part)} if part.get("system") else None
        for canonical in part.get("valueSet", ()):
            imported = self.members(self._imported(canonical), trail)
            found = imported if found is None else {key: one for key, one in found.items() if key in imported}
        return found or {}

    def _of_system(self, part: Resource) -> Iterator[Member]:
        url = part["system"]
        if part.get("concept"):
            system = self._system(part, listed=True)
            for one in part["concept"]:
                if member := _listed(url, system, one):
                    yield member
            return
        system = self._system(part, listed=False)
        if system is None:
            raise NoContent("a code system that the value set is made from is not here, or not in that version")
        tests = [filters.test_of(system, one) for one in part.get("filter", ())]
        self.unclosed = self.unclosed or not system.whole
        for concept in system.concepts.values():
            if all(test(concept) for test in tests):
                yield _member(system, concept)

    def _one(self, part: Resource, asked: str | None, code: str, trail: tuple[str, ...]) -> Member | None:
        url = part.get("system")
        if url and asked not in {None, url}:
            return None
        found: Member | None = None
        if url:
            found = self._of_code(part, code)
            if found is None:
                return None
        for canonical in part.get("valueSet", ()):
            member = self.holds(self._imported(canonical), found.system if found else asked, code, trail)
            if member is None:
                return None
            found = found or member
        return found

    def _of_code(self, part: Resource, code: str) -> Member | None:
        if part.get("concept"):
            system = self._system(part, listed=True)
            canonical = system.find(code) if system else None
            same = {code, canonical.code} if canonical else {code}
            return next(
                (_listed(part["system"], system, one) for one in part["concept"] if one.get("code") in same), None
            )
        system = self._system(part, listed=False)
        if system is None:
            raise NoContent("a code system that the value set is made from is not here, or not in that version")
        concept = system.find(code)
        if concept is None:
            if not system.whole:
                raise NoContent("only a part of the code system is here, and the code is not in it")
            return None
        tests = [filters.test_of(system, one) for one in part.get("filter", ())]
        return _member(system, concept) if all(test(concept) for test in tests) else None

    def _system(self, part: Resource, *, listed: bool) -> CodeSystem | None:
        url = part["system"]
        version = self._versions.of(url, part.get("version", ""))
        system = self._library.code_system(url, version)
        if system is None and listed:
            self.used.setdefault(url, version)
        elif system is not None:
            self.used.setdefault(url, system.version)
        return system

    def _imported(self, canonical: str) -> Resource:
        found = self._library.value_set(*split(canonical))
        if found is None:
            raise NoContent("a value set that this one imports is not here")
        return found


def _member(system: CodeSystem, concept: Concept) -> Member:
    return Member(system.url, system.version, concept.code, concept.display, concept)


def _listed(url: str, system: CodeSystem | None, read: Resource) -> Member | None:
    """Return a member that a list names, None for what is no code of a system that is here whole."""
    code = read.get("code", "")
    concept = system.find(code) if system else None
    if not code or (concept is None and system is not None and system.whole):
        return None
    designations = tuple(
        Designation(one["value"], one.get("language", ""), one.get("use"))
        for one in read.get("designation", ())
        if one.get("value")
    )
    display = read.get("display") or (concept.display if concept else "")
    return Member(url, system.version if system else "", code, display, concept, designations)


def _brings_all(value_set: Resource) -> bool:
    """Say whether a value set has an expansion that is more than a page of it, and is not called open."""
    expansion = value_set.get("expansion", {})
    listed = list(_expanded(value_set))
    extensions = {one.get("url", "").rpartition("/")[2] for one in expansion.get("extension", ())}
    whole = not expansion.get("offset") and len(listed) >= expansion.get("total", 0)
    return bool(listed) and whole and "valueset-unclosed" not in extensions


def _expanded(value_set: Resource) -> Iterator[Member]:
    """Yield the members of a value set that has nothing but an expansion."""
    waiting = list(reversed(value_set.get("expansion", {}).get("contains", ())))
    while waiting:
        one = waiting.pop()
        waiting += reversed(one.get("contains", ()))
        if one.get("code") and not one.get("abstract"):
            yield Member(one.get("system", ""), one.get("version", ""), one["code"], one.get("display", ""))
