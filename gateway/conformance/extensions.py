"""Extensions: what is defined for their url, and where they may stand (R4 defining-extensions.html#context)."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator

from gateway.conformance.definitions import Profile
from gateway.conformance.issue import Issue, Severity
from gateway.conformance.items import Item, children, shape
from gateway.conformance.places import Place

if typing.TYPE_CHECKING:
    from gateway.conformance.run import Run

_INDEX = re.compile(r"\[(?:[0-9]+|x)\]")
_LAST = re.compile(r"\.(?:modifierE|e)xtension\[[0-9]+\]$")


def known(run: Run, item: Item, place: Place) -> Iterator[Issue]:
    """Give what is wrong with an extension by its definition; one that is not known is said to be so."""
    url = item.value.get("url") if isinstance(item.value, dict) else None
    if not isinstance(url, str):
        return
    if ":" not in url:
        if _is_inside_extension(item):
            return  # part of a complex extension: its definition is the outer one's
        yield Issue(Severity.ERROR, "value", item.at, "the url of an extension is absolute", "ext-url")
        return
    found = run.library.profile(url, run.home)
    modifies = item.at.rpartition(".")[2].startswith("modifierExtension")
    if found is None or found.type != "Extension":
        severity = Severity.WARNING if modifies else Severity.INFORMATION
        text = "this extension is not known here, and was not checked"
        yield Issue(severity, "not-found", item.at, text, "extension-unknown")
        return
    yield from run.profile(item, found, place)
    yield from _parts(item, found)
    if modifies != found.modifies:
        text = "this extension is a modifierExtension" if found.modifies else "this extension is no modifierExtension"
        yield Issue(Severity.ERROR, "structure", item.at, text, "ext-modifier", found.url)
    if found.context and not _may_stand(item, found, place):
        allowed = ", ".join(sorted({expression for _, expression in found.context})[:5])
        text = f"this extension stands on {allowed}"
        yield Issue(Severity.ERROR, "structure", item.at, text, "ext-context", found.url)


def _parts(item: Item, profile: Profile) -> Iterator[Issue]:
    """Give the parts of a complex extension that its definition does not have."""
    holder = profile.root.children.get("extension")
    if holder is None or not holder.slices:
        return
    defined = {part.children["url"].fixed for part in holder.slices.values() if "url" in part.children}
    for part in children(item, "extension"):
        url = part.value.get("url") if isinstance(part.value, dict) else None
        if isinstance(url, str) and ":" not in url and url not in defined:
            text = "this extension has no such part"
            yield Issue(Severity.ERROR, "structure", part.at, text, "ext-part", profile.url)


def _is_inside_extension(item: Item) -> bool:
    return bool(re.search(r"xtension\[[0-9]+\]\.extension\[[0-9]+\]$", item.at))


def _may_stand(item: Item, profile: Profile, place: Place) -> bool:
    holder = _LAST.sub("", item.at)
    full = _INDEX.sub("", _within_resource(holder, place))
    paths = {full, *_typed(full)}
    for kind, expression in profile.context:
        if kind != "element":
            return True  # fhirpath, and an extension in an extension: not judged
        if expression in ("Element", "Resource", "DomainResource", "BackboneElement") or "(" in expression:
            return True
        if _INDEX.sub("", expression) in paths:
            return True
    return False


def _within_resource(at: str, place: Place) -> str:
    """Return a place as a path from its own resource: `Bundle.entry[2].resource.name` is `Patient.name`."""
    outer = place.resource.at
    return place.resource.type + at[len(outer) :] if at.startswith(outer) else at


def _typed(path: str) -> set[str]:
    """Return the names under which a definition may know a path: `Address` and `Patient.address`, `HumanName.family`."""
    parts = path.split(".")
    found: set[str] = set()
    current, names = parts[0], {parts[0]}
    for part in parts[1:]:
        known = shape(current)
        element = known.get(part) or next((one for one in known.values() if one.choice == part), None)
        if element is None:
            return found
        kinds = {one.type_path for one in known.values() if one.choice == part} or {element.type_path}
        names = {f"{name}.{part}" for name in names} | kinds
        current = element.type_path
        found = names
    return found or {parts[0]}
