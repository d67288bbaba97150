"""The door of this room: check a resource against R4 and profiles, and say all that is wrong. Slow on purpose; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from gateway.conformance import basis
from gateway.conformance.issue import Issue, Severity
from gateway.conformance.items import Item, root, shape
from gateway.conformance.library import Library
from gateway.conformance.places import Entries, Place
from gateway.conformance.run import Run, TooMuch
from gateway.conformance.terms import Terms
from gateway.fhir.issue import Issue as Plain
from gateway.fhir.validate import validate
from gateway.model import Resource

ISSUES_MAX: Final = 500
_SHAPE: Final = frozenset(
    {"unknown-element", "required", "type", "null", "choice", "empty", "format", "characters", "code", "resource-type"}
)


class Checker:
    """Checks resources against the definitions of a library. Keeps what it compiled; not for two threads at once."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._terms = Terms(library)

    def check(self, resource: Resource, profiles: Sequence[str] = ()) -> list[Issue]:
        """Return what is wrong with a resource: by R4, by what its meta.profile claims, and by `profiles`.

        At most `ISSUES_MAX` issues, errors first. A profile of `profiles` that is not known, or is of another type, is an
        error. Never raises for bad input; the resource is not changed.
        """
        plain = validate(resource)
        found = [_plain(one, resource) for one in plain]
        if any(one.rule == "resource-type" for one in plain):
            return found
        run = Run(self.library, self._terms, self._home(resource, profiles))
        try:
            # one by one: what was found before the limit is kept
            found.extend(self._walk(run, root(resource), profiles, shapeless=any(one.rule in _SHAPE for one in plain)))
        except (TooMuch, RecursionError):
            text = "the resource is too large to be checked as a whole; what is said holds, the rest was not checked"
            found.append(Issue(Severity.WARNING, "too-costly", root(resource).at, text, "limit"))
        return _told(found)

    def _home(self, resource: Resource, profiles: Sequence[str]) -> str:
        """Return the package of the first profile that is known of those asked for and those claimed."""
        meta = resource.get("meta")
        claimed = meta.get("profile") if isinstance(meta, dict) else None
        for canonical in (*profiles, *(claimed if isinstance(claimed, list) else ())):
            if isinstance(canonical, str) and (found := self.library.profile(canonical)) is not None and found.package:
                return found.package
        return ""

    def _walk(self, run: Run, item: Item, profiles: Sequence[str], *, shapeless: bool) -> Iterator[Issue]:
        entries = Entries.of(item) if item.type == "Bundle" else None
        place = Place(item, item, entries)
        yield from basis.resource(run, item, place, frozenset() if shapeless else basis.NATIVE)
        for canonical in profiles:
            if self.library.profile(canonical) is None:
                text = "the profile that was asked for is not known here"
                yield Issue(Severity.ERROR, "not-found", item.at, text, "profile-unknown")
            else:
                yield from basis.by_profile(run, item, canonical, place, item.at)


def _plain(one: Plain, resource: Resource) -> Issue:
    return Issue(Severity.ERROR, one.code, _spoken(one.path, resource), one.text, one.rule)


def _spoken(path: str, resource: Any) -> str:
    """Return a path of JSON names as FHIRPath: `Observation.valueQuantity.code` is `Observation.value.code`."""
    first, *steps = path.split(".")
    made, kind, value = [first], first, resource
    for step in steps:
        name, bracket, index = step.partition("[")
        element = shape(kind).get(name.removeprefix("_"))
        made.append((element.choice or name.removeprefix("_") if element else name) + bracket + index)
        value = value.get(name) if isinstance(value, dict) else None
        if bracket and isinstance(value, list) and index[:-1].isdigit() and int(index[:-1]) < len(value):
            value = value[int(index[:-1])]
        kind = element.type_path if element else ""
        if kind == "Resource" and isinstance(value, dict):
            kind = str(value.get("resourceType", ""))
    return ".".join(made)


_ORDER: Final = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFORMATION: 2}


def _told(found: Sequence[Issue]) -> list[Issue]:
    """Return each issue once, the worst first, no more than may be told."""
    once: dict[tuple[str, str, str], Issue] = {}
    for issue in found:
        name = (
            "required" if issue.key in ("min", "required") else f"{issue.key}{issue.text if issue.key in _MANY else ''}"
        )
        once.setdefault((issue.at, name, issue.severity.value), issue)
    told = sorted(once.values(), key=lambda issue: _ORDER[issue.severity])
    if len(told) > ISSUES_MAX:
        rest = len(told) - ISSUES_MAX + 1
        more = Issue(Severity.WARNING, "too-long", told[0].at.partition(".")[0], f"{rest} more issues", "limit")
        return [*told[: ISSUES_MAX - 1], more]
    return told


_MANY: Final = frozenset({"max", "slicing", "profile", "target", "binding", "fixed", "pattern"})
"""Rules that can be broken several times at one place."""
