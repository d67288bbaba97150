"""One check of one resource: what the walks share (definitions, terms, FHIRPath, what was already judged), and its limits.

The walks are `basis` (R4's own types) and `against` (a profile); `slicing` and `references` belong to the latter. All are
generators of `Issue`; each judges one thing and none keeps state but this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from gateway.conformance import against, coding, fhirpath
from gateway.conformance.definitions import Law, Profile
from gateway.conformance.issue import Issue, Severity
from gateway.conformance.items import Item
from gateway.conformance.library import Library
from gateway.conformance.pathfunctions import Unevaluable
from gateway.conformance.places import Place
from gateway.conformance.terms import Member, Terms

STEPS_MAX: Final = 100_000
"""How many elements and invariants one check looks at, some ten seconds' worth, a Bundle of about 3,000 entries: what is
beyond is said not to be checked."""
NESTED_MAX: Final = 24
"""How many profiles may be asked for within one another (a profile whose reference targets ask for itself …)."""


class TooMuch(Exception):
    """The check has reached its limit."""


class Run:
    """The shared part of one check."""

    def __init__(self, library: Library, terms: Terms, home: str = "") -> None:
        self.library = library
        self.terms = terms
        self.home = home
        """The package of the profile that the whole claims: what resources inside it claim is meant in its versions."""
        self._steps = 0
        self._depth = 0
        self._judged: dict[tuple[int, str, str, str], list[Issue]] = {}
        self._kept: list[Any] = []
        self._places: list[Place] = []
        self._within: list[str] = []
        around = fhirpath.Surroundings(self._resolve, self._conforms, self._member)
        self._evaluator = fhirpath.Evaluator(around)

    def step(self) -> None:
        """Count one look. Raises TooMuch at the limit."""
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise TooMuch

    def profile(self, item: Item, profile: Profile, place: Place) -> list[Issue]:
        """Return what is wrong with an item by a profile; judged once for each value and profile."""
        key = (id(item.value), item.at, profile.url, f"{profile.package}|{profile.version}")
        if key not in self._judged:
            if self._depth > NESTED_MAX:
                return []
            self._judged[key] = []  # a profile that asks for itself, by way of a reference, has no objection there
            self._kept.append(item.value)  # so that its id stays its own
            self._depth += 1
            try:
                self._judged[key] = list(against.profile(self, item, profile, place))
            finally:
                self._depth -= 1
        return self._judged[key]

    def conforms(self, item: Item, canonical: str, within: str, place: Place) -> bool | None:
        """Say whether an item has no error by a profile; None when the profile is not known."""
        found = self.library.profile(canonical, within)
        if found is None:
            return None
        if found.type not in (item.type, "Resource", "DomainResource", "Element", ""):
            return False
        return not any(issue.severity is Severity.ERROR for issue in self.profile(item, found, place))

    def laws(
        self, item: Item, laws: Iterable[Law], place: Place, *, source: str = "", within: str = ""
    ) -> Iterator[Issue]:
        """Give the invariants that do not hold of an item; one that cannot be evaluated is information, never silence."""
        for law in laws:
            self.step()
            self._places.append(place)
            self._within.append(within)
            try:
                if self._evaluator.holds(law.expression, item, place.resource.value, place.whole.value):
                    continue
            except Unevaluable as error:
                text = f"{law.key} was not checked: {error}"
                yield Issue(Severity.INFORMATION, "not-supported", item.at, text, law.key, source)
                continue
            finally:
                self._places.pop()
                self._within.pop()
            severity = Severity.WARNING if law.severity == "warning" else Severity.ERROR
            yield Issue(severity, "invariant", item.at, f"{law.key}: {law.human}", law.key, source)

    def _resolve(self, value: Any) -> Any | None:
        found = self._places[-1].resolve(value)
        return None if found is None else found.value

    def _conforms(self, value: Any, canonical: str) -> bool:
        place = self._places[-1]
        item = Item(value, str(value.get("resourceType", "")) if isinstance(value, dict) else "", place.resource.at)
        answer = self.conforms(item, canonical, self._within[-1], Place(item, item, place.entries, place.full_url))
        if answer is None:
            raise Unevaluable("it asks for a profile that is not known here")
        return answer

    def _member(self, value: Any, value_set: str) -> bool:
        answer = coding.member(self.terms, value, value_set, self._within[-1])
        if answer is Member.UNKNOWN:
            raise Unevaluable("it asks for a value set that is not known here")
        return answer is not Member.NO
