"""The walk of a profile: cardinality, types, fixed values and patterns, limits, bindings, invariants, slices.

Only what the profile says beyond R4's own types (`definitions`); those are `basis`'s.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator

from gateway.conformance import coding, patterns, references, slicing
from gateway.conformance.definitions import ABSENT, Binding, Node, Profile, Type
from gateway.conformance.issue import Issue, Severity
from gateway.conformance.items import Item, children, shape
from gateway.conformance.places import Place

if typing.TYPE_CHECKING:
    from gateway.conformance.run import Run


def profile(run: Run, item: Item, profile: Profile, place: Place) -> Iterator[Issue]:
    """Give what is wrong with an item by a profile of its type."""
    root = profile.root
    yield from run.laws(item, root.laws, place, source=profile.url, within=profile.package)
    yield from _children(run, item, root, profile, place)


def element(run: Run, item: Item, node: Node, profile: Profile, place: Place) -> Iterator[Issue]:
    """Give what is wrong with one value by what a profile says of its element or slice."""
    run.step()
    yield from _value(item, node, profile)
    yield from _types(run, item, node, profile, place)
    if node.binding is not None:
        binding = node.binding
        if _of_units_and_codes(item, node):
            binding = Binding("extensible", binding.value_set)
        yield from coding.issues(run.terms, item, binding, profile.package, profile.url)
    if node.laws:
        here = Place(item, place.whole, place.entries, place.full_url) if item.is_resource else place
        yield from run.laws(item, node.laws, here, source=profile.url, within=profile.package)
    yield from _children(run, item, node, profile, place)


def _of_units_and_codes(item: Item, node: Node) -> bool:
    """Say whether a binding is of a choice between measures and codes, and so cannot mean both.

    HL7's validator does not ask such a one; R4's own vital signs (component.value[x], bound to units) would refuse every
    coded component, and the flow of oxygen, if it did.
    """
    if not item.path.endswith("[x]"):
        return False
    owner, _, name = item.path.rpartition(".")
    codes = {one.code for one in node.types} or {
        one.type_path for one in shape(owner).values() if one.choice == name[:-3]
    }
    return {"Quantity", "CodeableConcept"} <= codes


def _children(run: Run, item: Item, node: Node, profile: Profile, place: Place) -> Iterator[Issue]:
    for name, child in node.children.items():
        values = children(item, name)
        yield from counted(len(values), child, f"{item.at}.{name.removesuffix('[x]')}", profile)
        for value in values:
            yield from element(run, value, child, profile, place)
        if child.slices:
            yield from slicing.slices(run, values, child, child.slicing, profile, place, f"{item.at}.{name}")


def counted(count: int, node: Node, at: str, profile: Profile) -> Iterator[Issue]:
    """Give an issue when there are too few or too many values of an element or slice."""
    slice_name = node.id.rpartition(".")[2].partition(":")[2]
    of = f"slice {slice_name}: " if slice_name else ""
    if count < node.minimum:
        text = f"{of}at least {node.minimum} needed, {count} there"
        yield Issue(Severity.ERROR, "required", at, text, "min", profile.url)
    if node.maximum is not None and count > node.maximum:
        text = f"{of}at most {node.maximum} allowed, {count} there"
        yield Issue(Severity.ERROR, "structure", at, text, "max", profile.url)


def _value(item: Item, node: Node, profile: Profile) -> Iterator[Issue]:
    if node.fixed is not ABSENT and not patterns.equals(item.value, node.fixed):
        yield _wrong(item, "not the value that is fixed here", "fixed", profile)
    if node.pattern is not ABSENT and not patterns.matches(item.value, node.pattern):
        yield _wrong(item, "not the pattern that is asked for here", "pattern", profile)
    if node.least is not ABSENT and patterns.below(item.value, node.least):
        yield _wrong(item, "less than is allowed here", "min-value", profile)
    if node.most is not ABSENT and patterns.below(node.most, item.value):
        yield _wrong(item, "more than is allowed here", "max-value", profile)
    if node.length_max is not None and isinstance(item.value, str) and len(item.value) > node.length_max:
        yield _wrong(item, f"longer than {node.length_max} characters", "max-length", profile)


def _wrong(item: Item, text: str, key: str, profile: Profile) -> Issue:
    return Issue(Severity.ERROR, "value", item.at, text, key, profile.url)


def _types(run: Run, item: Item, node: Node, profile: Profile, place: Place) -> Iterator[Issue]:
    if not node.types or item.value is None:
        return
    fitting = [one for one in node.types if fits(item, one)]
    if not fitting:
        allowed = " or ".join(dict.fromkeys(one.code for one in node.types))
        yield Issue(Severity.ERROR, "structure", item.at, f"not of the type {allowed}", "type", profile.url)
        return
    asked = [canonical for one in fitting for canonical in one.profiles]
    if asked and all(one.profiles for one in fitting):
        yield from _profiles(run, item, asked, profile, place)
    if item.type == "Reference":
        targets = [target for one in fitting for target in one.targets]
        if targets and all(one.targets for one in fitting):
            yield from references.target(run, item, targets, profile, place)
        if all(one.brought for one in fitting):
            yield from references.brought(item, profile, place)


def fits(item: Item, declared: Type) -> bool:
    """Say whether a value has a type that an element may have."""
    code = declared.code
    if code in (item.type, "Resource", "BackboneElement", "Element") or "." in code:
        return True  # `.`: a content reference, and R4's own names of system types
    if item.is_resource:
        return code == "DomainResource"
    return not item.path.endswith("[x]")  # only a choice can be of another type than R4 says


def _profiles(run: Run, item: Item, asked: list[str], profile: Profile, place: Place) -> Iterator[Issue]:
    """One of several profiles is enough; of a single one, say what is wrong by it."""
    here = place
    if item.is_resource:
        here = Place(item, item, place.entries, place.full_url)
    known = [found for canonical in asked if (found := run.library.profile(canonical, profile.package)) is not None]
    if len(known) < len(asked):
        text = "a profile that is asked for here is not known, and was not checked"
        yield Issue(Severity.WARNING, "not-found", item.at, text, "profile-unknown", profile.url)
        if len(asked) > 1:
            return
    if len(known) == 1:
        yield from run.profile(item, known[0], here)
    elif known and not any(
        all(issue.severity is not Severity.ERROR for issue in run.profile(item, one, here)) for one in known
    ):
        text = "conforms to none of the profiles that are allowed here"
        yield Issue(Severity.ERROR, "structure", item.at, text, "profile", profile.url)
