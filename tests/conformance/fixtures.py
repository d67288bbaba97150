"""A checker over the shipped definitions, and small packages made in a test."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from gateway.conformance import compact, packages
from gateway.conformance.checker import Checker
from gateway.conformance.issue import Issue, Severity
from gateway.conformance.library import Library

FOLDER = Path(__file__).resolve().parents[2] / "mappings" / "profiles"
DK_PATIENT = "http://hl7.dk/fhir/core/StructureDefinition/dk-core-patient"
OWN = "https://sundbro.example/StructureDefinition/own"


@functools.cache
def loaded() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return packages.load(FOLDER)


@functools.cache
def shipped() -> Checker:
    return Checker(Library(*loaded()))


def with_definitions(*definitions: dict[str, Any], version: str = "1.0.0") -> Checker:
    """A checker that knows these definitions too."""
    base, known = loaded()
    kinds = {"StructureDefinition": "profiles", "ValueSet": "value_sets", "CodeSystem": "code_systems"}
    made: dict[str, Any] = {
        "package": {"name": "own", "version": version, "license": "", "origin": "", "dependencies": {}},
        "profiles": {}, "value_sets": {}, "code_systems": {},
    }  # fmt: skip
    for one in definitions:
        row = {
            "StructureDefinition": lambda it: compact.profile(it, compact.Base.of(base)),
            "ValueSet": compact.value_set,
            "CodeSystem": compact.code_system,
        }[one["resourceType"]](one)
        made[kinds[one["resourceType"]]][one["url"]] = row
    return Checker(Library(base, [made, *known]))


def profile(kind: str, *elements: dict[str, Any], url: str = OWN) -> dict[str, Any]:
    """A profile by its differential, as a guide's author writes it."""
    return {
        "resourceType": "StructureDefinition",
        "url": url,
        "version": "1.0.0",
        "type": kind,
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{kind}",
        "derivation": "constraint",
        "differential": {"element": list(elements)},
    }


def element(element_id: str, **said: Any) -> dict[str, Any]:
    path = ".".join(step.partition(":")[0] for step in element_id.split("."))
    made = {"id": element_id, "path": path, **{name.rstrip("_"): value for name, value in said.items()}}
    if ":" in element_id.rpartition(".")[2]:
        made["sliceName"] = element_id.rpartition(":")[2]
    return made


def sliced(element_id: str, *by: tuple[str, str], rules: str = "open", ordered: bool = False) -> dict[str, Any]:
    slicing = {"discriminator": [{"type": kind, "path": path} for kind, path in by], "rules": rules, "ordered": ordered}
    return element(element_id, slicing=slicing)


def bad(issues: list[Issue]) -> list[tuple[str, str]]:
    """Where and by which rule there are errors."""
    return [(issue.at, issue.key) for issue in issues if issue.severity is Severity.ERROR]
