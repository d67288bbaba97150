"""The one loader: the tables of mappings/profiles, and the FHIR packages (.tgz) that SUNDBRO_PACKAGES names.

The only file of this room that reads the disk; it is asked at the first check of a process, not at its start. A package
file is the operator's, not a caller's, and is still read with limits. Not the meaning of what is read (`library`).
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.conformance import compact
from gateway.conformance.compact import Json
from gateway.errors import Misconfigured

FILE_BYTES_MAX: Final = 32 << 20
PACKAGE_BYTES_MAX: Final = 512 << 20
_BASE: Final = "r4-base.json"
_KINDS: Final = {
    "StructureDefinition": "profiles",
    "ValueSet": "value_sets",
    "CodeSystem": "code_systems",
}


def base_tables(folder: Path) -> Json:
    """Return the invariants, bindings and targets of R4's types (`r4-base.json`)."""
    tables: Json = orjson.loads((folder / _BASE).read_bytes())
    return tables


def shipped(folder: Path) -> list[Json]:
    """Return the packages that come with the project, by name and version."""
    return [orjson.loads(path.read_bytes()) for path in sorted(folder.glob("*.json")) if path.name != _BASE]


def read_archive(path: Path, base: Json) -> Json:
    """Return one package file as the tables of mappings/profiles are written.

    Raises Misconfigured for what is not a FHIR package of R4, or over the limits.
    """
    made: Json = {"package": {}, "profiles": {}, "value_sets": {}, "code_systems": {}}
    known = compact.Base.of(base)
    try:
        for name, text in _files(path):
            content = orjson.loads(text)
            if name == "package.json":
                made["package"] = _manifest(content)
            elif (
                isinstance(content, dict)
                and "url" in content
                and (kind := _KINDS.get(str(content.get("resourceType"))))
            ):
                made[kind][content["url"]] = _compact(kind, content, known)
    except (OSError, tarfile.TarError, EOFError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Misconfigured(f"SUNDBRO_PACKAGES: {path.name} is not a FHIR package: {type(error).__name__}") from None
    if not made["package"]:
        raise Misconfigured(f"SUNDBRO_PACKAGES: {path.name} has no package.json")
    return {name: made[name] if name == "package" else dict(sorted(made[name].items())) for name in made}


def _compact(kind: str, content: Json, known: compact.Base) -> Json:
    match kind:
        case "profiles":
            return compact.profile(content, known)
        case "value_sets":
            return compact.value_set(content)
    return compact.code_system(content)


def _manifest(content: Json) -> Json:
    versions = content.get("fhirVersions") or content.get("fhir-version-list") or ["4.0.1"]
    if not any(str(version).startswith("4.0") for version in versions):
        raise Misconfigured("SUNDBRO_PACKAGES: only packages of FHIR 4.0 can be checked against")
    return {
        "name": content["name"],
        "version": content["version"],
        "license": content.get("license", ""),
        "origin": content.get("canonical", content.get("url", "")),
        "dependencies": content.get("dependencies", {}),
    }


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Give the JSON files of the folder `package` with their names, nothing being written to disk."""
    total = 0
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            folder, _, name = member.name.removeprefix("./").rpartition("/")
            if not member.isfile() or folder != "package" or not name.endswith(".json") or name.startswith("."):
                continue
            total += member.size
            if member.size > FILE_BYTES_MAX or total > PACKAGE_BYTES_MAX:
                raise Misconfigured(f"SUNDBRO_PACKAGES: {path.name} is larger than a package may be")
            opened: Any = archive.extractfile(member)
            yield name, opened.read()


def load(folder: Path, archives: Sequence[Path] = ()) -> tuple[Json, list[Json]]:
    """Return R4's tables and every package: those of `folder` (mappings/profiles), then `archives`. Raises Misconfigured."""
    base = base_tables(folder)
    return base, [*shipped(folder), *(read_archive(path, base) for path in archives)]
