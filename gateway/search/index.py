"""What a resource is found by: `extract` walks it once and gives the hashes and intervals that are kept beside it.

The hot path of every write. Per type, the paths of all parameters are merged into one tree of closures, so that each
element is visited once; hashes of codes, of which there are few, are remembered. `match` is the slow and obvious
reading of the same table, and a law says that both agree.

The store's columns are not repeated in `tokens`: the patient (the first, where there are several) is in `patient`,
the code-only form of the preferred coding in `code`; all else, the preferred coding's form with a system included, is
in `tokens`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from gateway.model import Resource
from gateway.search import owning, parameters, stating, telling
from gateway.search.codes import Visit, truth
from gateway.search.indexed import Index, reference
from gateway.search.leaves import emitter
from gateway.search.parameters import Kind, Step


def extract(resource: Resource) -> Index:
    """Return what `resource` (valid FHIR R4) is found by.

    Raises KeyError for a resource type that R4 does not have. An element of another shape than R4's is not indexed:
    what is valid is not decided here.
    """
    index = Index()
    kind = resource["resourceType"]
    visits, whole = _plan(kind)
    for name, value in resource.items():
        visit = visits.get(name)
        if visit is not None:
            visit(value, index)
    for emit in whole:
        emit(resource, index)
    if kind == "Patient" and (own := resource.get("id")):
        index.patient = reference("patient", f"Patient/{own}")
    elif kind in owning.OWNED:
        index.patient = owning.owner(resource)
    telling.note(resource, index)
    if kind in stating.STATING:
        index.standing = stating.read(resource)
    return index


@dataclass(slots=True)
class _Place:
    """A place in resources of a type: whose values stand there, what to note of them, what is below it."""

    present: int = 0
    emits: list[Visit] = field(default_factory=list)
    below: dict[Step, _Place] = field(default_factory=dict)


@functools.cache
def _plan(resource_type: str) -> tuple[dict[str, Visit], list[Visit]]:
    """Return the visits of a type by top-level element, and those of parameters that need the whole resource."""
    known = parameters.of(resource_type)
    root, whole = _Place(), []
    stored = {parameter.name for parameter in known.stored()}
    for parameter in known.all():
        if parameter.kind is Kind.COMPOSITE or parameter.name in {"_id", "_lastUpdated"}:
            continue
        for place in parameter.paths:
            if place.type == "Truth":
                whole.append(truth(parameter, place))
                continue
            emit = emitter(parameter, place, main=parameter.name == known.main_date)
            if emit is None and parameter.kind is not Kind.SPECIAL:
                continue
            at = root
            for step in place.steps:
                at = at.below.setdefault(step, _Place())
            if not place.target:  # a reference to one type says itself whether it is there
                at.present |= 1 << parameter.bit
            if emit is not None and parameter.name in stored:
                at.emits.append(emit)
    return _children(root), whole


def _children(place: _Place) -> dict[str, Visit]:
    """Return what to do with each element below a place: one closure an element, however many parameters look at it."""
    present: dict[str, int] = {}
    visits: dict[str, list[Visit]] = {}
    for step, below in place.below.items():
        inner = _children(below)
        found = [*below.emits, _inside(inner)] if inner else below.emits
        if step.where:
            found, mask = [_kept(step.where, below.present, found)], 0
        else:
            mask = below.present
        present[step.name] = present.get(step.name, 0) | mask
        visits.setdefault(step.name, []).extend(found)
    return {name: _each(present[name], found) for name, found in visits.items()}


def _inside(inner: dict[str, Visit]) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is dict:
            for name, go in inner.items():
                found = value.get(name)
                if found is not None:
                    go(found, index)

    return visit


def _each(present: int, visits: list[Visit]) -> Visit:
    """Return the visit of an element, which may repeat: each of its values is there, and is brought to each visit."""
    if len(visits) == 1:
        (only,) = visits

        def once(value: Any, index: Index) -> None:
            if type(value) is list:
                for item in value:
                    if item is not None:
                        index.present |= present
                        only(item, index)
            elif value is not None:
                index.present |= present
                only(value, index)

        return once

    def visit(value: Any, index: Index) -> None:
        for item in value if type(value) is list else (value,):
            if item is not None:
                index.present |= present
                for go in visits:
                    go(item, index)

    return visit


def _kept(where: tuple[str, str], present: int, visits: list[Visit]) -> Visit:
    key, wanted = where

    def visit(value: Any, index: Index) -> None:
        if type(value) is dict and value.get(key) == wanted:
            index.present |= present
            for go in visits:
                go(value, index)

    return visit
