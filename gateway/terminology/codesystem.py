"""A code system as a look-up value: its concepts by code, what stands above and below them, what they are called.

Made from a CodeSystem resource (R4 codesystem.html), whoever had it: R4's own, ours, or one stored through the API.
Not here: where resources come from (`shelf`, `library`), value sets (`compose`), post-coordination.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.model import Resource

_PROPERTIES: Final = "http://hl7.org/fhir/concept-properties#"
_PARENTS: Final = frozenset({"parent", "subsumedBy"})
_INACTIVE: Final = frozenset({"retired", "inactive"})
_NO_SUBSUMPTION: Final = frozenset({"part-of", "grouped-by", "classified-with"})


class Content(enum.StrEnum):
    """How much of a code system is at hand (R4 codesystem-content-mode; a supplement is merged into what it adds to)."""

    COMPLETE = "complete"
    FRAGMENT = "fragment"
    EXAMPLE = "example"
    NOT_PRESENT = "not-present"
    SUPPLEMENT = "supplement"


class Subsumption(enum.StrEnum):
    """How code A stands to code B (R4 concept-subsumption-outcome)."""

    EQUIVALENT = "equivalent"
    SUBSUMES = "subsumes"
    SUBSUMED_BY = "subsumed-by"
    NOT_SUBSUMED = "not-subsumed"


@dataclass(frozen=True, slots=True)
class Designation:
    """Another name of a concept. `use` is a Coding, or None."""

    value: str
    language: str = ""
    use: Resource | None = None


@dataclass(slots=True)
class Concept:
    """One concept. `properties` are (code, name of value[x], value) as the resource has them."""

    code: str
    display: str = ""
    definition: str = ""
    designations: tuple[Designation, ...] = ()
    properties: tuple[tuple[str, str, Any], ...] = ()
    parents: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    abstract: bool = False
    inactive: bool = False

    def called(self, language: str) -> str:
        """Return its name in a language (BCP 47, or a list of them as in Accept-Language), its display where it has none.

        `da` finds `da-DK`, and the other way round.
        """
        for wanted in languages(language):
            for one in self.designations:
                if one.language and one.language.partition("-")[0].lower() == wanted:
                    return one.value
        return self.display

    def names(self) -> Iterator[str]:
        """Yield its display and every designation."""
        if self.display:
            yield self.display
        for one in self.designations:
            yield one.value


def languages(text: str) -> list[str]:
    """Return the primary languages of `da`, `da-DK` or `da, en;q=0.8`, in the order of preference."""
    ranked = []
    for place, part in enumerate(text.split(",")):
        tag, _, weight = part.partition(";")
        weight = weight.strip().removeprefix("q=")
        if primary := tag.strip().partition("-")[0].lower():
            ranked.append((-_weight(weight), place, primary))
    return [primary for _, _, primary in sorted(ranked)]


def _weight(text: str) -> int:
    whole, _, part = text.partition(".")
    return 1000 if not text or whole == "1" else int(part[:3].ljust(3, "0")) if part.isdigit() else 0


class CodeSystem:
    """A code system. Codes are found as its `caseSensitive` says; without it, exactly."""

    def __init__(self, resource: Resource, supplements: Sequence[Resource] = ()) -> None:
        """Compile a valid CodeSystem, with the supplements that add to it."""
        self.url: str = resource.get("url", "")
        self.version: str = resource.get("version", "")
        self.name: str = resource.get("title") or resource.get("name") or self.url
        self.content = Content(resource.get("content", "not-present"))
        self.value_set: str = resource.get("valueSet", "")
        self.case_sensitive: bool = resource.get("caseSensitive", True)
        self.is_a: bool = resource.get("hierarchyMeaning", "is-a") not in _NO_SUBSUMPTION
        self.described: Mapping[str, Resource] = {one.get("code", ""): one for one in resource.get("property", ())}
        self._roles = {code: _role(code, one) for code, one in self.described.items()}
        self.concepts: dict[str, Concept] = {}
        self._add(resource.get("concept", ()), None)
        for supplement in supplements:
            self._supplement(supplement.get("concept", ()))
        self._link()
        self._folded: dict[str, str] | None = None

    @property
    def whole(self) -> bool:
        """Whether a code that is not here is no code of the system."""
        return self.content is Content.COMPLETE

    def find(self, code: str) -> Concept | None:
        """Return a concept, or None."""
        found = self.concepts.get(code)
        if found is not None or self.case_sensitive:
            return found
        if self._folded is None:
            self._folded = {one.casefold(): one for one in self.concepts}
        return self.concepts.get(self._folded.get(code.casefold(), ""))

    def below(self, code: str) -> list[Concept]:
        """Return a concept and all that it subsumes, in the order of the resource; [] for an unknown code."""
        found = self._closure(code, down=True)
        return (
            [concept for name, concept in self.concepts.items() if name in found] if len(found) > 1 else self._one(code)
        )

    def above(self, code: str) -> list[Concept]:
        """Return a concept and all that subsume it; [] for an unknown code."""
        found = self._closure(code, down=False)
        return (
            [concept for name, concept in self.concepts.items() if name in found] if len(found) > 1 else self._one(code)
        )

    def subsumes(self, code_a: str, code_b: str) -> Subsumption:
        """Say how A stands to B. Raises KeyError for an unknown code."""
        a, b = self.find(code_a), self.find(code_b)
        if a is None or b is None:
            raise KeyError
        if a.code == b.code:
            return Subsumption.EQUIVALENT
        if self.is_a and a.code in self._closure(b.code, down=False):
            return Subsumption.SUBSUMES
        if self.is_a and b.code in self._closure(a.code, down=False):
            return Subsumption.SUBSUMED_BY
        return Subsumption.NOT_SUBSUMED

    def _one(self, code: str) -> list[Concept]:
        found = self.find(code)
        return [found] if found else []

    def _closure(self, code: str, *, down: bool) -> set[str]:
        start = self.find(code)
        waiting = [start.code] if start else []
        found: set[str] = set()
        while waiting:
            here = waiting.pop()
            if here not in found and here in self.concepts:
                found.add(here)
                waiting += self.concepts[here].children if down else self.concepts[here].parents
        return found

    def _add(self, concepts: Sequence[Resource], parent: str | None) -> None:
        waiting = [(one, parent) for one in reversed(concepts)]
        while waiting:
            read, above = waiting.pop()
            if not read.get("code"):
                continue  # stated absent by an extension
            concept = self._concept(read)
            if above is not None:
                concept.parents.append(above)
            known = self.concepts.setdefault(concept.code, concept)
            if known is not concept:  # named a second time: under another parent, or by another fragment
                known.parents += [one for one in concept.parents if one not in known.parents]
                known.display = known.display or concept.display
                known.designations += tuple(one for one in concept.designations if one not in known.designations)
            waiting += [(one, concept.code) for one in reversed(read.get("concept", ()))]

    def _concept(self, read: Resource) -> Concept:
        properties = tuple(
            (one.get("code", ""), name, value)
            for one in read.get("property", ())
            for name, value in one.items()
            if name.startswith("value")
        )
        concept = Concept(
            read["code"], read.get("display", ""), read.get("definition", ""), _designations(read), properties
        )
        for code, _, value in properties:
            role = self._roles.get(code, code)
            if role in _PARENTS and isinstance(value, str):
                concept.parents.append(value)
            elif role == "child" and isinstance(value, str):
                concept.children.append(value)
            elif role in {"notSelectable", "abstract"}:
                concept.abstract = concept.abstract or value is True
            elif role == "inactive":
                concept.inactive = concept.inactive or value is True
            elif role == "status":
                concept.inactive = concept.inactive or value in _INACTIVE
        return concept

    def _link(self) -> None:
        """Make parents and children each other's mirror, whichever of them the resource states."""
        for concept in list(self.concepts.values()):
            for parent in concept.parents:
                if (above := self.concepts.get(parent)) and concept.code not in above.children:
                    above.children.append(concept.code)
            for child in concept.children:
                if (below := self.concepts.get(child)) and concept.code not in below.parents:
                    below.parents.append(concept.code)

    def _supplement(self, concepts: Sequence[Resource]) -> None:
        for read in concepts:
            if known := self.concepts.get(read.get("code", "")):
                known.designations += tuple(one for one in _designations(read) if one not in known.designations)
            self._supplement(read.get("concept", ()))


def _role(code: str, described: Resource) -> str:
    """Return what a property means: HL7's own name for it where its uri says so (concept-properties)."""
    uri: str = described.get("uri", "")
    return uri.removeprefix(_PROPERTIES) if uri.startswith(_PROPERTIES) else code


def _designations(read: Resource) -> tuple[Designation, ...]:
    return tuple(
        Designation(one["value"], one.get("language", ""), one.get("use"))
        for one in read.get("designation", ())
        if one.get("value")
    )
