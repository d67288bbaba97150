"""Slices: which slice each value belongs to, and whether each slice has what it asks for (R4 profiling.html#slicing).

A value belongs to the first slice whose discriminators all fit. What a discriminator compares with is read from the slice's
own tree: the fixed value, pattern or required binding at the path (`value`, `pattern`), its types (`type`), its profiles
(`profile`), its cardinality (`exists`).
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Sequence

from gateway.conformance import against, patterns
from gateway.conformance.definitions import ABSENT, Node, Profile, Slicing
from gateway.conformance.issue import Issue, Severity
from gateway.conformance.items import Item, children
from gateway.conformance.places import Place
from gateway.conformance.terms import Member

if typing.TYPE_CHECKING:
    from gateway.conformance.run import Run

_STEP = re.compile(r"(?:[^.()']|\((?:[^()']|'[^']*')*\))+")
_EXTENSION = re.compile(r"extension\('([^']*)'\)")
_OF_TYPE = re.compile(r"ofType\(([A-Za-z]+)\)")
_CRITERIA_DEPTH_MAX = 6
Candidate = tuple[Node, Profile]
"""A node, and the profile whose package knows what the node names."""


def slices(
    run: Run, values: Sequence[Item], node: Node, rule: Slicing | None, profile: Profile, place: Place, at: str
) -> Iterator[Issue]:
    """Give what is wrong with the values of a sliced element, their slices' own demands included."""
    if rule is None or not rule.by:
        return  # slices without a way to tell them apart: nothing can be said of any value
    belonging = [_slice_of(run, value, node, rule, profile, place) for value in values]
    order = list(node.slices)
    reached = 0
    for number, (value, name) in enumerate(zip(values, belonging, strict=True)):
        if name is None:
            closed = rule.rules == "closed" or (
                rule.rules == "openAtEnd" and any(one is not None for one in belonging[number + 1 :])
            )
            if closed:
                text = "belongs to none of the slices, and no other value may stand " + (
                    "here" if rule.rules == "closed" else "before the end"
                )
                yield Issue(Severity.ERROR, "structure", value.at, text, "slicing", profile.url)
            continue
        if rule.ordered and order.index(name) < reached:
            yield Issue(Severity.ERROR, "structure", value.at, f"slice {name} is out of order", "slicing", profile.url)
        reached = max(reached, order.index(name))
    for name, part in node.slices.items():
        mine = [value for value, belongs in zip(values, belonging, strict=True) if belongs == name]
        if len(mine) < part.minimum and not _can_judge(run, part, rule, profile):
            text = f"slice {name} cannot be told from others here, and was not checked"
            yield Issue(Severity.INFORMATION, "not-supported", at.removesuffix("[x]"), text, "slicing", profile.url)
            continue
        yield from against.counted(len(mine), part, at.removesuffix("[x]"), profile)
        for value in mine:
            yield from against.element(run, value, part, profile, place)
        if part.slices:
            yield from slices(run, mine, part, part.slicing or rule, profile, place, at)


def _slice_of(run: Run, value: Item, node: Node, rule: Slicing, profile: Profile, place: Place) -> str | None:
    for name, part in node.slices.items():
        run.step()
        if all(_fits(run, value, (part, profile), kind, path, place) for kind, path in rule.by):
            return name
    return None


def _can_judge(run: Run, part: Node, rule: Slicing, profile: Profile) -> bool:
    """Say whether every discriminator finds in the slice something to compare with that is known here."""
    for kind, path in rule.by:
        reached = _follow(run, [(part, profile)], path)
        if kind in ("value", "pattern") and not any(_is_criterion(run, one, 0) for one in reached):
            return False
        if kind == "profile" and not any(_profiles_of(run, one) for one in reached):
            return False
    return True


def _fits(run: Run, value: Item, slice_: Candidate, kind: str, path: str, place: Place) -> bool:
    candidates = _follow(run, [slice_], path)
    reached = _values(value, path, place)
    match kind:
        case "exists":
            wanted = not any(node.maximum == 0 for node, _ in candidates)
            return bool(reached) == wanted
        case "type":
            types = {code for node, _ in candidates for code in _codes(node)}
            return bool(reached) and all(one.type in types or "Resource" in types for one in reached)
        case "profile":
            profiles = [found for candidate in candidates for found in _profiles_of(run, candidate)]
            return any(_conforms(run, one, profiles, place) for one in reached)
    return any(_satisfies(run, one, candidate, 0) for one in reached for candidate in candidates)


def _conforms(run: Run, item: Item, profiles: Sequence[Profile], place: Place) -> bool:
    here = Place(item, item, place.entries, place.full_url) if item.is_resource else place
    return any(
        profile.type == item.type
        and not any(issue.severity is Severity.ERROR for issue in run.profile(item, profile, here))
        for profile in profiles
    )


def _codes(node: Node) -> list[str]:
    """Return the type codes of a node; of a profile's root its own type."""
    return [one.code for one in node.types] or ([node.id] if "." not in node.id else [])


def _profiles_of(run: Run, candidate: Candidate) -> list[Profile]:
    node, profile = candidate
    if "." not in node.id:
        return [profile]
    named = [canonical for one in node.types for canonical in one.profiles]
    return [found for canonical in named if (found := run.library.profile(canonical, profile.package)) is not None]


def _values(value: Item, path: str, place: Place) -> list[Item]:
    """Return what stands at a discriminator's path from a value."""
    reached = [value]
    for step in _STEP.findall(path):
        if step == "$this":
            continue
        if step == "resolve()":
            reached = [found for one in reached if (found := place.resolve(one.value)) is not None]
        elif named := _EXTENSION.fullmatch(step):
            reached = [
                each for one in reached for each in children(one, "extension") if each.fields.get("url") == named[1]
            ]
        elif typed := _OF_TYPE.fullmatch(step):
            reached = [one for one in reached if one.type == typed[1]]
        else:
            reached = [each for one in reached for each in (children(one, step) or children(one, f"{step}[x]"))]
    return reached


def _follow(run: Run, candidates: list[Candidate], path: str) -> list[Candidate]:
    """Return the nodes at a discriminator's path from a slice, in the profiles of its types where it says no more itself."""
    for step in _STEP.findall(path):
        if step == "$this":
            continue
        if step == "resolve()":
            candidates = [
                (found.root, found)
                for node, profile in candidates
                for one in node.types
                for target in one.targets
                if (found := run.library.profile(target, profile.package)) is not None
            ]
        elif typed := _OF_TYPE.fullmatch(step):
            candidates = [one for one in candidates if typed[1] in _codes(one[0]) or not one[0].types]
        else:
            candidates = [found for one in candidates for found in _below(run, one, step, 0)]
    return candidates


def _below(run: Run, candidate: Candidate, step: str, depth: int) -> list[Candidate]:
    node, profile = candidate
    if named := _EXTENSION.fullmatch(step):
        holder = node.children.get("extension")
        parts = holder.slices.values() if holder else ()
        return [
            (part, profile)
            for part in parts
            if any(named[1] == canonical.partition("|")[0] for one in part.types for canonical in one.profiles)
            or _says(part.children.get("url"), named[1])
        ]
    found: list[Candidate] = []
    for name in (step, f"{step}[x]"):
        if (child := node.children.get(name)) is not None:
            found += [(child, profile), *((part, profile) for part in child.slices.values())]
    if depth < _CRITERIA_DEPTH_MAX and "." in node.id:
        for inner in _profiles_of(run, candidate):
            found += _below(run, (inner.root, inner), step, depth + 1)
    if not found and step == "url":
        # The definition of the extension is not here; its canonical is the url that it must have.
        found = [
            (Node(f"{node.id}.url", fixed=canonical.partition("|")[0]), profile)
            for one in node.types
            if one.code == "Extension"
            for canonical in one.profiles
        ]
    return found


def _says(node: Node | None, fixed: str) -> bool:
    return node is not None and node.fixed == fixed


def _is_criterion(run: Run, candidate: Candidate, depth: int) -> bool:
    node, profile = candidate
    if node.fixed is not ABSENT or node.pattern is not ABSENT:
        return True
    if node.binding is not None:
        return run.terms.knows(node.binding.value_set, profile.package)
    if depth > _CRITERIA_DEPTH_MAX:
        return False
    inner = [(child, profile) for child in node.children.values()]
    if "." in node.id:
        inner += [(found.root, found) for found in _profiles_of(run, candidate)]
    return any(_is_criterion(run, one, depth + 1) for one in inner)


def _satisfies(run: Run, item: Item, candidate: Candidate, depth: int) -> bool:
    """Say whether a value has what tells a slice from others; a slice without anything of the kind fits nothing."""
    node, profile = candidate
    told = False
    if node.fixed is not ABSENT:
        told = True
        if not patterns.equals(item.value, node.fixed):
            return False
    if node.pattern is not ABSENT:
        told = True
        if not patterns.matches(item.value, node.pattern):
            return False
    if not told and node.binding is not None:
        return _bound(run, item, node.binding.value_set, profile)
    if told or depth > _CRITERIA_DEPTH_MAX:
        return told
    for name, child in node.children.items():
        if _is_criterion(run, (child, profile), depth):
            told = True
            if not any(_satisfies(run, one, (child, profile), depth + 1) for one in children(item, name)):
                return False
    inner = _profiles_of(run, candidate) if "." in node.id else []
    for found in inner:
        if _is_criterion(run, (found.root, found), depth):
            return _satisfies(run, item, (found.root, found), depth + 1)
    return told


def _bound(run: Run, item: Item, value_set: str, profile: Profile) -> bool:
    value = item.value
    if isinstance(value, str):
        codings = [{"code": value}]
    elif isinstance(value, dict):
        codings = value.get("coding", []) if item.type == "CodeableConcept" else [value]
    else:
        codings = []
    return any(
        run.terms.member(
            value_set, profile.package, one.get("system", "") if isinstance(value, dict) else None, one["code"]
        )
        in (Member.YES, Member.UNSEEN)
        for one in codings
        if isinstance(one, dict) and isinstance(one.get("code"), str)
    )
