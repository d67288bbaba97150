"""What to note at the end of a path: a coding, an identifier, a reference, a date, each by its data type.

The other half of `index`, which brings values here. A value of another shape than its data type is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.search import times
from gateway.search.parameters import Kind, Parameter, Place
from gateway.search.query import Index, reference, token

Visit = Callable[[Any, Index], None]
LOINC: Final = "http://loinc.org"


def emitter(parameter: Parameter, place: Place, *, main: bool) -> Visit | None:
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


def truth(name: str, place: Place) -> Visit:
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
        found = _reference_hash(name, only, text, as_patient)
        if found is None:
            return
        if patient and index.patient is None:
            index.patient = found
        else:
            index.tokens.append(found)

    return visit


@functools.lru_cache(maxsize=1 << 13)
def _reference_hash(name: str, only: str, text: str, as_patient: bool) -> int | None:
    """Return the hash of a reference, None when the parameter does not look at it. The resources of a message all name
    the same patient, request and performer.
    """
    target = literal(text)
    if target is None or (only and type_of(target) != only) or (as_patient and type_of(target) == "Patient"):
        return None
    return reference(name, target)


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
