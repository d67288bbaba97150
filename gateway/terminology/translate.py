"""$translate: what a code is called in another code system, by concept maps (R4 conceptmap.html).

Forward and reverse. Reversed, an equivalence that has a direction turns round: what is wider one way is narrower the
other. Not here: maps that depend on other elements (`dependsOn` is told as it stands, it does not choose).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.model import Resource
from gateway.terminology.library import Library, split

NO_MATCH: Final = frozenset({"unmatched", "disjoint"})
_TURNED: Final = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}
_HOPS_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Code:
    """A code to translate; system '' is any."""

    code: str
    system: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """One target. `code` is '' where a map says that there is none. `source` is the map's address."""

    equivalence: str
    system: str
    code: str
    display: str = ""
    version: str = ""
    comment: str = ""
    source: str = ""
    products: tuple[Resource, ...] = ()

    @property
    def good(self) -> bool:
        """Whether this is a translation."""
        return self.equivalence not in NO_MATCH and bool(self.code)


@dataclass(frozen=True, slots=True)
class Sought:
    """Where a translation is sought: value sets that a map goes from or to, a system, and which way."""

    source: str = ""
    target: str = ""
    system: str = ""
    reverse: bool = False


def translate(code: Code, maps: Sequence[Resource], sought: Sought, library: Library) -> list[Match]:
    """Return every match, each once, good ones first; [] when no map speaks of the code."""
    found: dict[Match, None] = {}
    for one in maps:
        if _fits(one, sought):
            found.update(dict.fromkeys(_matches(one, code, sought, library, hops=0)))
    return sorted(found, key=lambda match: not match.good)


def _fits(concept_map: Resource, sought: Sought) -> bool:
    """Say whether a map goes from and to the value sets that are asked for (asked by address, version or not)."""
    sides = [_side(concept_map, "source"), _side(concept_map, "target")]
    asked = [sought.target, sought.source] if sought.reverse else [sought.source, sought.target]
    return all(not want or want in {side, split(side)[0]} for want, side in zip(asked, sides, strict=True))


def _side(concept_map: Resource, name: str) -> str:
    stated: str = concept_map.get(f"{name}Uri") or concept_map.get(f"{name}Canonical") or ""
    return stated


def _matches(concept_map: Resource, code: Code, sought: Sought, library: Library, *, hops: int) -> Iterator[Match]:
    url = concept_map.get("url", "")
    for group in concept_map.get("group", ()):
        source, target = group.get("source", ""), group.get("target", "")
        near, far = (target, source) if sought.reverse else (source, target)
        version = group.get("targetVersion" if sought.reverse else "sourceVersion", "")
        if code.system and near != code.system:
            continue
        if code.version and version and version != code.version:
            continue
        if sought.system and far != sought.system:
            continue
        if sought.reverse:
            yield from _backwards(group, code, url)
        else:
            yield from _forwards(group, code, url, sought, library, hops)


def _forwards(group: Resource, code: Code, url: str, sought: Sought, library: Library, hops: int) -> Iterator[Match]:
    system, version = group.get("target", ""), group.get("targetVersion", "")
    elements = [one for one in group.get("element", ()) if one.get("code") == code.code]
    for element in elements:
        for target in element.get("target", ()):
            yield Match(
                target.get("equivalence", "relatedto"),
                system,
                target.get("code", ""),
                target.get("display", ""),
                version,
                target.get("comment", ""),
                url,
                _products(target.get("product", ())),
            )
        if not element.get("target"):
            yield Match("unmatched", system, "", source=url)
    if not elements:
        yield from _unmapped(group, code, url, sought, library, hops)


def _unmapped(group: Resource, code: Code, url: str, sought: Sought, library: Library, hops: int) -> Iterator[Match]:
    """Yield what a group says of codes that it does not name (R4 ConceptMap.group.unmapped)."""
    unmapped = group.get("unmapped", {})
    system = group.get("target", "")
    match unmapped.get("mode"):
        case "provided":
            yield Match("equal", system, code.code, source=url)
        case "fixed":
            yield Match("inexact", system, unmapped.get("code", ""), unmapped.get("display", ""), source=url)
        case "other-map" if hops < _HOPS_MAX:
            other = library.concept_map(*split(unmapped.get("url", "")))
            if other is not None:
                yield from _matches(other, code, sought, library, hops=hops + 1)


def _backwards(group: Resource, code: Code, url: str) -> Iterator[Match]:
    system, version = group.get("source", ""), group.get("sourceVersion", "")
    for element in group.get("element", ()):
        for target in element.get("target", ()):
            if target.get("code") == code.code:
                equivalence = target.get("equivalence", "relatedto")
                yield Match(
                    _TURNED.get(equivalence, equivalence),
                    system,
                    element.get("code", ""),
                    element.get("display", ""),
                    version,
                    target.get("comment", ""),
                    url,
                )


def _products(read: Iterable[Resource]) -> tuple[Resource, ...]:
    return tuple(_Product(one) for one in read)


class _Product(dict[str, object]):
    """A product of a map as it stands, to be told; two are the same when they say the same."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted((name, str(value)) for name, value in self.items())))
