"""The three ways in which R4's terminology operations name a code: `code` and `system`, `coding`, `codeableConcept`."""

from __future__ import annotations

from gateway import errors
from gateway.model import Resource
from gateway.serve.operations.inputs import Inputs
from gateway.terminology.check import Asked

CODINGS_MAX = 50


def codings(given: Inputs, *, version: str = "version", system: str = "", needs_system: bool = True) -> list[Asked]:
    """Return the codes asked about, several of a CodeableConcept.

    `system` is the code system that the address names. Raises Incorrect unless exactly one way was taken.
    """
    ways = [name for name in ("code", "coding", "codeableConcept") if name in given.values]
    if len(ways) != 1:
        raise errors.Incorrect("one of code, coding and codeableConcept names what is asked about", at="code")
    match ways[0]:
        case "code":
            stated = given.text("system") or system or None
            if needs_system and stated is None:
                raise errors.Incorrect("a code needs its system", at="system")
            return [Asked(given.text("code"), stated, given.text(version), given.text("display"))]
        case "coding":
            return [_coding(given.part("coding") or {}, system, "coding")]
        case _:
            concept = given.part("codeableConcept") or {}
            found = [_coding(one, system, "codeableConcept") for one in concept.get("coding", ())]
            if not found or len(found) > CODINGS_MAX:
                raise errors.Incorrect(f"a codeableConcept here has 1 to {CODINGS_MAX} codings", at="codeableConcept")
            return found


def _coding(read: Resource, system: str, at: str) -> Asked:
    stated = read.get("system") or system
    if not read.get("code") or not stated:
        raise errors.Incorrect("a coding needs a system and a code here", at=at)
    if system and stated != system:
        raise errors.Incorrect("the coding is of another code system than the one asked", at=at)
    return Asked(read["code"], stated, read.get("version", ""), read.get("display", ""))
