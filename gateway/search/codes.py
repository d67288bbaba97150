"""Codes, identifiers and truth values as the index keeps them: hashes of `system|code` in every form of `token`.

Part of `leaves`. A value of another shape than its data type is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.search.indexed import Index, token
from gateway.search.parameters import Parameter, Place

Visit = Callable[[Any, Index], None]
LOINC: Final = "http://loinc.org"


def emitter(parameter: Parameter, place: Place) -> Visit | None:
    """Return what to do with a value of a token parameter, None for a data type that it does not read."""
    name = parameter.name
    match place.type:
        case "CodeableConcept":
            return _main_code if name == "code" else _concept(name)
        case "Coding":
            return _coding(name)
        case "Identifier":
            return _identifier(name)
        case "ContactPoint":
            return _contact(name)
        case "boolean":
            return _boolean(name)
        case "code":
            return _code(name)
        case "string" | "id" | "uri":
            return _plain(name)
        case _:
            return None


@functools.lru_cache(maxsize=1 << 16)
def _coding_hashes(name: str, system: str, code: str) -> tuple[int, ...]:
    """Return the hash of the code alone, of system and code, and of any code of the system."""
    return identifier_hashes(name, system, code)


def identifier_hashes(name: str, system: str, value: str) -> tuple[int, ...]:
    """Return what `_coding_hashes` does, without remembering it: there are as many identifiers as people."""
    if not system:
        return token(name, None, value), token(name, "", value)
    return token(name, None, value), token(name, system, value), _any_of(name, system)


@functools.lru_cache(maxsize=1 << 12)
def _any_of(name: str, system: str) -> int:
    return token(name, system, "")


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
    found = [(system, _coding_hashes("code", system, code)) for system, code in _codings(value)]
    if not found:
        return
    if index.code is None:
        index.code = next((hashes[0] for system, hashes in found if system == LOINC), found[0][1][0])
    for _, hashes in found:
        index.tokens += hashes[1:] if hashes[0] == index.code else hashes


def _coding(name: str) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is dict and type(code := value.get("code")) is str:
            index.tokens += _coding_hashes(name, value.get("system") or "", code)

    return visit


def _identifier(name: str) -> Visit:
    typed = f"{name}:of-type"

    def visit(value: Any, index: Index) -> None:
        if type(value) is not dict or type(text := value.get("value")) is not str:
            return
        index.tokens += identifier_hashes(name, value.get("system") or "", text)
        kind = value.get("type")
        if kind is not None:
            index.tokens += [token(typed, f"{system}|{code}", text) for system, code in _codings(kind)]

    return visit


def _contact(name: str) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is dict and type(text := value.get("value")) is str:
            index.tokens += identifier_hashes(name, value.get("system") or "", text)

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


def truth(parameter: Parameter, place: Place) -> Visit:
    """`deceased`: true when a date is given or the boolean is true, false otherwise, absence included."""
    stem = place.steps[0].name.removesuffix("[x]")
    name, mask = parameter.name, 1 << parameter.bit
    yes, no = token(name, None, "true"), token(name, None, "false")

    def visit(resource: Any, index: Index) -> None:
        said, when = resource.get(stem + "Boolean"), resource.get(stem + "DateTime")
        index.tokens.append(yes if said is True or when is not None else no)
        if said is not None or when is not None:
            index.present |= mask

    return visit
