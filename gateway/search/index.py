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
from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.model import Resource
from gateway.search import parameters, times
from gateway.search.parameters import Kind, Parameter, Place, Step
from gateway.search.query import Index, reference, token

Visit = Callable[[Any, Index], None]
LOINC: Final = "http://loinc.org"


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
                absent.append(_truth(parameter.name, place))
                continue
            node = tree
            for step in place.steps:
                node = node.setdefault(step, {})
            emit = _emitter(parameter, place, main=parameter.name == known.main_date)
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


def _emitter(parameter: Parameter, place: Place, *, main: bool) -> Visit | None:
    """Return what to do at the end of a path, None for a data type that this kind of parameter does not read."""
    name = parameter.name
    if parameter.kind is Kind.DATE:
        return _date(name, place.type, main=main)
    if parameter.kind is Kind.REFERENCE:
        if place.type == "Reference":
            return _reference(name, place.target, as_patient=parameter.as_patient)
        return (
            _inline(name)
            if place.type == "Resource"
            else _canonical(name)
            if place.type in {"canonical", "uri"}
            else None
        )
    if parameter.kind is Kind.URI:
        return _plain(name)
    match place.type:
        case "CodeableConcept":
            return _main_code if name == "code" else _concept(name)
        case "Coding":
            return _coding(name)
        case "Identifier" | "ContactPoint":
            return _system_value(name)
        case "boolean":
            return _boolean(name)
        case "code":
            return _code(name)
        case "string" | "id" | "uri":
            return _plain(name)
        case _:
            return None


@functools.lru_cache(maxsize=1 << 16)
def _coding_hashes(name: str, system: str, code: str) -> tuple[int, int]:
    return token(name, None, code), token(name, system, code)


def _codings(concept: Any) -> Iterator[tuple[str, str]]:
    """Yield (system, code) of each coding that has a code."""
    if type(concept) is dict:
        codings = concept.get("coding")
        if type(codings) is list:
            for coding in codings:
                if type(coding) is dict and type(code := coding.get("code")) is str:
                    yield coding.get("system") or "", code


def _concept(name: str) -> Visit:
    def visit(value: Any, index: Index) -> None:
        for system, code in _codings(value):
            index.tokens += _coding_hashes(name, system, code)

    return visit


def _main_code(value: Any, index: Index) -> None:
    """`code`: the preferred coding's code-only form goes to its column, everything else to the tokens."""
    found = [(system, *_coding_hashes("code", system, code)) for system, code in _codings(value)]
    if not found:
        return
    if index.code is None:
        index.code = next((bare for system, bare, _ in found if system == LOINC), found[0][1])
    for _, bare, full in found:
        index.tokens.append(full)
        if bare != index.code:
            index.tokens.append(bare)


def _coding(name: str) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is dict and type(code := value.get("code")) is str:
            index.tokens += _coding_hashes(name, value.get("system") or "", code)

    return visit


def _system_value(name: str) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is dict and type(text := value.get("value")) is str:
            index.tokens += (token(name, None, text), token(name, value.get("system") or "", text))

    return visit


def _code(name: str) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is str:
            index.tokens.append(_coding_hashes(name, "", value)[0])

    return visit


def _boolean(name: str) -> Visit:
    hashes = {True: token(name, None, "true"), False: token(name, None, "false")}

    def visit(value: Any, index: Index) -> None:
        if type(value) is bool:
            index.tokens.append(hashes[value])

    return visit


def _plain(name: str) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is str:
            index.tokens.append(token(name, None, value))

    return visit


def _truth(name: str, place: Place) -> Visit:
    """`deceased`: true when a date is given or the boolean is true, false otherwise, absence included."""
    stem = place.steps[0].name.removesuffix("[x]")
    yes, no = token(name, None, "true"), token(name, None, "false")

    def visit(resource: Any, index: Index) -> None:
        stated = resource.get(stem + "Boolean") is True or resource.get(stem + "DateTime") is not None
        index.tokens.append(yes if stated else no)

    return visit


def _reference(name: str, only: str, *, as_patient: bool) -> Visit:
    patient = name == "patient"

    def visit(value: Any, index: Index) -> None:
        if type(value) is not dict or type(text := value.get("reference")) is not str:
            return
        target = literal(text)
        if target is None or (only and type_of(target) != only) or (as_patient and type_of(target) == "Patient"):
            return
        found = reference(name, target)
        if patient and index.patient is None:
            index.patient = found
        else:
            index.tokens.append(found)

    return visit


def _inline(name: str) -> Visit:
    """Return the visit of a resource that stands where a reference would (Bundle.entry[0].resource)."""

    def visit(value: Any, index: Index) -> None:
        if type(value) is dict and value.get("id") and value.get("resourceType"):
            index.tokens.append(reference(name, f"{value['resourceType']}/{value['id']}"))

    return visit


def _canonical(name: str) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is str:
            index.tokens.append(reference(name, value))
            if "|" in value:
                index.tokens.append(reference(name, value.partition("|")[0]))

    return visit


def literal(text: str) -> str | None:
    """Return a literal reference without its version; None for one into the resource itself (`#…`)."""
    return None if text.startswith("#") else text.partition("/_history/")[0]


def type_of(target: str) -> str:
    """Return the resource type that a literal reference names, '' when it cannot be told (urn:uuid:…)."""
    way = target.rsplit("/", 2)
    return way[-2] if len(way) > 1 else ""


def _date(name: str, data_type: str, *, main: bool) -> Visit | None:
    if data_type in {"date", "dateTime", "instant"}:

        def read(value: Any) -> times.Interval | None:
            return times.interval(value) if type(value) is str else None
    elif data_type in {"Period", "Timing"}:
        of_dict = times.period if data_type == "Period" else times.timing

        def read(value: Any) -> times.Interval | None:
            return of_dict(value) if type(value) is dict else None
    else:
        return None

    def visit(value: Any, index: Index) -> None:
        try:
            covered = read(value)
        except ValueError:
            return
        if covered is None:
            return
        if main:
            index.date_low, index.date_high = covered
        else:
            index.dates.append((name, *covered))

    return visit
