"""The validator cases of FHIR/fhir-test-cases (R4, JSON) through the checker: one line a case, beside HL7's own verdict."""

from __future__ import annotations

import json as plain
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import errors
from gateway.conformance import compact
from gateway.conformance.checker import Checker
from gateway.conformance.issue import Issue, Severity
from gateway.conformance.library import Library
from gateway.fhir import xml as fhirxml
from gateway.formats import json

KINDS = {"StructureDefinition": "profiles", "ValueSet": "value_sets", "CodeSystem": "code_systems"}
ELSEWHERE = {"tx", "tx-advanced"}
"""Modules whose cases ask a terminology server."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case: a resource by R4 and what it claims, or by one profile; `expected` is whether HL7's validator has errors."""

    name: str
    module: str
    ours: bool | None
    expected: bool
    issues: tuple[Issue, ...]
    theirs: tuple[str, ...]
    why_not: str = ""

    @property
    def verdict(self) -> str:
        """agree, stricter, laxer, or not applicable."""
        if self.ours is None:
            return "not applicable"
        if self.ours == self.expected:
            return "agree"
        return "stricter" if self.ours else "laxer"


def read(path: Path) -> Any:
    """Read a resource; errors.Incorrect where it cannot be."""
    return fhirxml.loads(path.read_bytes()) if path.suffix == ".xml" else json.loads(path.read_bytes())


def cases(folder: Path, base: dict[str, Any], packages: list[dict[str, Any]]) -> Iterator[Case]:
    """Give every case of the manifest."""
    manifest = plain.loads((folder / "manifest-r4-json-subset.json").read_text("utf-8"))
    for row in manifest["test-cases"]:
        name, module = row["name"], row.get("module") or "(none)"
        if not isinstance(row.get("version"), str) or not row["version"].startswith("4.0"):
            continue
        files = [*row.get("supporting", []), *row.get("profiles", [])]
        if not (folder / row["file"]).is_file():
            files.append(row["file"])
        if source := row.get("profile", {}).get("source"):
            files.append(source)
        missing = [file for file in files if not (folder / file).is_file()]
        why_not = f"needs {missing[0]}" if missing else "asks a terminology server" if module in ELSEWHERE else ""
        extra = None if missing else _package([folder / file for file in files], base)
        for kind, outcome in (("base", row.get("java")), ("profile", row.get("profile", {}).get("java"))):
            theirs = _theirs(folder, outcome)
            if theirs is None:
                continue
            expected, texts = theirs
            if why_not or extra is None:
                yield Case(f"{name}-{kind}", module, None, expected, (), texts, why_not)
                continue
            checker = Checker(Library(base, [extra, *packages]))
            asked = [_url(folder / source)] if kind == "profile" and source else []
            issues = _ours(checker, folder / row["file"], [one for one in asked if one])
            ours = any(issue.severity is Severity.ERROR for issue in issues)
            yield Case(f"{name}-{kind}", module, ours, expected, tuple(issues), texts)


def _ours(checker: Checker, path: Path, profiles: list[str]) -> list[Issue]:
    try:
        resource = read(path)
    except errors.Incorrect as error:
        return [Issue(Severity.ERROR, "structure", "", error.text, "unreadable")]
    if not isinstance(resource, dict):
        return [Issue(Severity.ERROR, "structure", "", "not an object", "unreadable")]
    return checker.check(resource, profiles)


def _url(path: Path) -> str:
    return str(read(path).get("url", ""))


def _package(paths: list[Path], base: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "package": {"name": "case", "version": "999.0.0", "license": "", "origin": "", "dependencies": {}},
        "profiles": {}, "value_sets": {}, "code_systems": {},
    }  # fmt: skip
    known = compact.Base.of(base)
    for path in paths:
        try:
            content = read(path)
        except errors.Incorrect:
            continue
        listed = (
            [one["resource"] for one in content.get("entry", [])]
            if content.get("resourceType") == "Bundle"
            else [content]
        )
        for one in listed:
            match one.get("resourceType"):
                case "StructureDefinition":
                    made["profiles"][one["url"]] = compact.profile(one, known)
                case "ValueSet":
                    made["value_sets"][one["url"]] = compact.value_set(one)
                case "CodeSystem":
                    made["code_systems"][one["url"]] = compact.code_system(one)
    return made


def _theirs(folder: Path, outcome: Any) -> tuple[bool, tuple[str, ...]] | None:
    """Return whether HL7's validator has errors, and its words for them."""
    if isinstance(outcome, str):
        path = folder / "outcomes" / outcome
        if not path.is_file():
            return None
        outcome = plain.loads(path.read_text("utf-8"))
    elif isinstance(outcome, dict):
        outcome = outcome.get("outcome", outcome)
    if not isinstance(outcome, dict) or "issue" not in outcome:
        return None
    bad = [issue for issue in outcome["issue"] if issue["severity"] in ("error", "fatal")]
    return bool(bad), tuple(issue.get("details", {}).get("text", "") for issue in bad)
