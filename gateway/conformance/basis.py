"""The walk of R4's own types: invariants, extensible and weakly enumerated bindings, reference targets, extensions.

What `fhir.validate` decides on its own (shape, cardinality, forms of primitives, enumerated codes, plain invariants) is
not asked again; where it could not read the shape, the invariants are asked here.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator

from gateway.conformance import coding, extensions, references, rules
from gateway.conformance.issue import Issue, Severity
from gateway.conformance.items import Item, all_children, children
from gateway.conformance.places import Entries, Place

if typing.TYPE_CHECKING:
    from gateway.conformance.run import Run

NATIVE = frozenset(
    "age-1 ait-1 ait-2 app-1 app-2 app-3 app-4 apr-1 att-1 bdl-1 bdl-2 bdl-3 bdl-4 bdl-5 bdl-7 bdl-8 bdl-9 bdl-10 bdl-11 "  # noqa: SIM905 - words, to be read as words
    "bdl-12 cmp-1 cmp-2 cnt-3 con-1 con-2 con-4 con-5 cpl-3 cpt-2 dis-1 dom-2 dom-3 dom-4 dom-5 drt-1 exp-1 ext-1 fhs-1 "
    "fhs-2 gol-1 grp-1 imm-1 imr-1 inv-1 lnk-1 lst-1 lst-2 lst-3 mad-1 mdd-1 obs-3 obs-6 obs-7 org-1 org-2 org-3 pat-1 per-1 "
    "ppc-1 prr-1 qrs-1 qty-3 rat-1 ref-1 rng-2 rqg-1 sev-1 tim-1 tim-2 tim-4 tim-5 tim-6 tim-7 tim-8 tim-9 tim-10 "
    "txt-1".split()
)
"""The invariants of R4 that `fhir.validate` decides (docs/reference/validation.md; a test holds the two lists together)."""
_HERE = frozenset({"dom-6", "txt-1", "txt-2"})
"""Decided below and in `rules` in plain Python."""

VITAL_SIGNS = {
    "85353-1": "vitalspanel", "9279-1": "resprate", "8867-4": "heartrate", "2708-6": "oxygensat", "8310-5": "bodytemp",
    "8302-2": "bodyheight", "9843-4": "headcircum", "29463-7": "bodyweight", "39156-5": "bmi", "85354-9": "bp",
}  # fmt: skip
"""LOINC codes whose observations must conform to a profile of R4 itself (R4 observation-vitalsigns.html)."""


def resource(run: Run, item: Item, place: Place, skip: frozenset[str]) -> Iterator[Issue]:
    """Give what is wrong with a resource by R4, by the profiles that it claims, and with the resources inside it.

    `skip` are the invariants that were decided elsewhere.
    """
    if item.type in ("Resource", ""):
        return
    if item.type == "Bundle":
        place = Place(item, item, Entries.of(item), place.full_url)
    contained = item is not place.whole and item.path.endswith(".contained")
    if item.type not in ("Bundle", "Binary", "Parameters") and "text" not in item.value and not contained:
        text = "dom-6: A resource should have narrative for robust management"
        yield Issue(Severity.WARNING, "invariant", item.at, text, "dom-6")
    yield from rules.of_ids(item)
    if item.type == "Bundle":
        yield from rules.of_bundle(item, place)
    yield from element(run, item, place, skip)
    yield from _claimed(run, item, place)


def element(run: Run, item: Item, place: Place, skip: frozenset[str]) -> Iterator[Issue]:
    """Give what is wrong with a value and all below it by R4's own definitions."""
    run.step()
    for path in dict.fromkeys((item.path, item.type)):
        laws = [law for law in run.library.base_laws(path) if law.key not in skip and law.key not in _HERE]
        if laws:
            yield from run.laws(item, laws, place)
    if binding := run.library.base_binding(item.path):
        yield from coding.issues(run.terms, item, binding, "", "")
    if item.type == "Coding":
        yield from coding.defined(run.terms, item, run.home)
    if item.type == "Reference" and (types := run.library.base_targets(item.path)):
        yield from references.base_target(item, types, place)
    if item.type == "Extension":
        yield from extensions.known(run, item, place)
    if isinstance(item.value, dict):
        yield from rules.of_value(item, place)
    for child in all_children(item):
        if child.is_resource:
            yield from resource(run, child, _inside(item, child, place), skip)
        elif isinstance(child.value, dict) or child.extra is not None or run.library.base_laws(child.path):
            yield from element(run, child, place, skip)
        else:
            yield from rules.of_value(child, place)
            if binding := run.library.base_binding(child.path):
                yield from coding.issues(run.terms, child, binding, "", "")


def _inside(holder: Item, child: Item, place: Place) -> Place:
    """Return the place of a resource inside another: contained, in an entry, or a parameter."""
    if holder.path == "Bundle.entry":
        url = holder.fields.get("fullUrl")
        return Place(child, child, place.entries, url if isinstance(url, str) else "")
    if child.path.endswith(".contained"):
        return Place(child, place.whole, place.entries, place.full_url)
    return Place(child, child, None, "")


def _claimed(run: Run, item: Item, place: Place) -> Iterator[Issue]:
    claimed = [one for meta in children(item, "meta") for one in children(meta, "profile")]
    for one in claimed:
        if isinstance(one.value, str):
            yield from by_profile(run, item, one.value, place, one.at)
    if item.type == "Observation":
        for name in _vital_signs(item):
            found = run.library.profile(f"http://hl7.org/fhir/StructureDefinition/{name}")
            if found is not None:
                yield from run.profile(item, found, place)


def _vital_signs(item: Item) -> list[str]:
    codings = [
        coding.value
        for code in children(item, "code")
        for coding in children(code, "coding")
        if isinstance(coding.value, dict) and coding.value.get("system") == "http://loinc.org"
    ]
    return list(dict.fromkeys(VITAL_SIGNS[one["code"]] for one in codings if one.get("code") in VITAL_SIGNS))


def by_profile(run: Run, item: Item, canonical: str, place: Place, at: str) -> Iterator[Issue]:
    """Give what is wrong by a profile that a resource claims; one that is not known is a warning."""
    found = run.library.profile(canonical, run.home)
    if found is None:
        text = "this profile is not known here; the resource was not checked against it"
        yield Issue(Severity.WARNING, "not-found", at, text, "profile-unknown")
    elif found.type != item.type:
        text = f"this is a profile of {found.type}"
        yield Issue(Severity.ERROR, "structure", at, text, "profile-type", found.url)
    else:
        yield from run.profile(item, found, place)
