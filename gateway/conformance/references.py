"""What a Reference points at: the type that it names, and, where it was sent too, the profile that is asked of it."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence

from gateway.conformance.compact import CORE, unversioned
from gateway.conformance.definitions import Profile
from gateway.conformance.issue import Issue, Severity
from gateway.conformance.items import Item
from gateway.conformance.places import Place, type_of

if typing.TYPE_CHECKING:
    from gateway.conformance.run import Run


def target(run: Run, item: Item, targets: Sequence[str], profile: Profile, place: Place) -> Iterator[Issue]:
    """Give an issue when a Reference points at none of the profiles that may stand there."""
    found = place.resolve(item.value)
    if found is not None:
        inside = Place(found, place.whole if _is_contained(item) else found, place.entries, place.full_url)
        answers = [run.conforms(found, canonical, profile.package, inside) for canonical in targets]
        if True in answers:
            return
        if None not in answers:
            yield _issue(item, "points at a resource of none of the profiles that are allowed here", profile)
        return
    named = type_of(item.value)
    if not named:
        return
    types = {_type(run, canonical, profile.package) for canonical in targets}
    if named not in types and not types & {"", "Resource"}:
        yield _issue(item, f"points at {named}, where {' or '.join(sorted(types))} is allowed", profile)


def brought(item: Item, profile: Profile, place: Place) -> Iterator[Issue]:
    """Give an issue when what a Reference points at had to come with it, and did not."""
    if isinstance(item.fields.get("reference"), str) and place.resolve(item.value) is None:
        text = "what this points at must be sent with it, and is not"
        yield Issue(Severity.ERROR, "not-found", item.at, text, "aggregation", profile.url)


def _type(run: Run, canonical: str, within: str) -> str:
    found = run.library.profile(canonical, within)
    if found is not None:
        return found.type
    return unversioned(canonical).removeprefix(CORE) if canonical.startswith(CORE) else ""


def _is_contained(item: Item) -> bool:
    address = item.fields.get("reference")
    return isinstance(address, str) and address.startswith("#")


def _issue(item: Item, text: str, profile: Profile) -> Issue:
    return Issue(Severity.ERROR, "structure", item.at, text, "target", profile.url)


def base_target(item: Item, types: Sequence[str], place: Place) -> Iterator[Issue]:
    """Give an issue when a Reference points at a type that R4 does not allow there."""
    found = place.resolve(item.value)
    named = found.type if found is not None else type_of(item.value)
    if named and named not in types:
        text = f"points at {named}, where {' or '.join(types)} is allowed"
        yield Issue(Severity.ERROR, "structure", item.at, text, "target")
