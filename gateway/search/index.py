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
from typing import Any

from gateway.model import Resource
from gateway.search import parameters
from gateway.search.leaves import Visit, emitter, truth
from gateway.search.parameters import Step
from gateway.search.query import Index, reference


def extract(resource: Resource) -> Index:
    """Return what `resource` (valid FHIR R4) is found by.

    Raises KeyError for a resource type that R4 does not have. An element of another shape than R4's is not indexed:
    what is valid is not decided here.
    """
    index = Index()
    kind = resource["resourceType"]
    visits, absent = _plan(kind)
    for name, value in resource.items():
        visit = visits.get(name)
        if visit is not None:
            visit(value, index)
    for emit in absent:
        emit(resource, index)
    if kind == "Patient" and (own := resource.get("id")):
        index.patient = reference("patient", f"Patient/{own}")
    return index


@functools.cache
def _plan(resource_type: str) -> tuple[dict[str, Visit], list[Visit]]:
    """Return the visits of a type by top-level element, and those of parameters that need the whole resource."""
    known = parameters.of(resource_type)
    tree: dict[Step | None, Any] = {}
    absent: list[Visit] = []
    for parameter in known.stored():
        for place in parameter.paths:
            if place.type == "Truth":
                absent.append(truth(parameter.name, place))
                continue
            node = tree
            for step in place.steps:
                node = node.setdefault(step, {})
            emit = emitter(parameter, place, main=parameter.name == known.main_date)
            if emit is not None and parameter.name not in {"_id", "_lastUpdated"}:
                node.setdefault(None, []).append(emit)
    return _children(tree), absent


def _children(tree: dict[Step | None, Any]) -> dict[str, Visit]:
    by_name: dict[str, list[Visit]] = {}
    for step, below in tree.items():
        if step is None:
            continue
        visit = _node(below)
        by_name.setdefault(step.name, []).append(_kept(visit, *step.where) if step.where else visit)
    return {name: _each(visits) for name, visits in by_name.items()}


def _node(below: dict[Step | None, Any]) -> Visit:
    emits: list[Visit] = list(below.get(None, ()))
    inner = _children(below)
    if not inner:
        return emits[0] if len(emits) == 1 else _all(emits)

    def visit(value: Any, index: Index) -> None:
        for emit in emits:
            emit(value, index)
        if type(value) is dict:
            for name, go in inner.items():
                found = value.get(name)
                if found is not None:
                    go(found, index)

    return visit


def _all(emits: list[Visit]) -> Visit:
    def visit(value: Any, index: Index) -> None:
        for emit in emits:
            emit(value, index)

    return visit


def _each(visits: list[Visit]) -> Visit:
    once = visits[0] if len(visits) == 1 else _all(visits)

    def visit(value: Any, index: Index) -> None:
        if type(value) is list:
            for item in value:
                once(item, index)
        else:
            once(value, index)

    return visit


def _kept(inner: Visit, key: str, wanted: str) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is dict and value.get(key) == wanted:
            inner(value, index)

    return visit
