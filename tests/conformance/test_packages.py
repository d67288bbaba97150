"""The tables of mappings/profiles are what their sources say; a package file is read, or refused with a reason."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from gateway import settings
from gateway.conformance import packages
from gateway.conformance.checker import Checker
from gateway.conformance.library import Library
from gateway.errors import Misconfigured
from tests.conformance.fixtures import FOLDER, OWN, bad, element, loaded, profile
from tests.corpus import SHARED, corpus_folder
from tools import conformance_tables


def archive(path: Path, **files: Any) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, content in files.items():
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            member = tarfile.TarInfo(f"package/{name}.json")
            member.size = len(body)
            made.addfile(member, io.BytesIO(body))
    return path


MANIFEST = {"name": "own.guide", "version": "1.0.0", "fhirVersions": ["4.0.1"], "dependencies": {}}


def test_a_package_file_adds_its_profiles(tmp_path: Path) -> None:
    own = profile("Patient", element("Patient.name", min=1))
    file = archive(tmp_path / "own.tgz", package=MANIFEST, one=own)
    checker = Checker(Library(*packages.load(FOLDER, [file])))
    assert bad(checker.check({"resourceType": "Patient"}, [OWN])) == [("Patient.name", "min")]


def test_of_one_canonical_in_two_versions_the_newest_is_meant_unless_one_is_named(tmp_path: Path) -> None:
    old = profile("Patient", element("Patient.name", min=1))
    new = {**profile("Patient", element("Patient.gender", min=1)), "version": "10.0.0"}
    files = [
        archive(tmp_path / "new.tgz", package={**MANIFEST, "version": "10.0.0"}, one=new),
        archive(tmp_path / "old.tgz", package={**MANIFEST, "version": "9.0.0"}, one={**old, "version": "9.0.0"}),
    ]
    checker = Checker(Library(*packages.load(FOLDER, files)))
    assert bad(checker.check({"resourceType": "Patient"}, [OWN])) == [("Patient.gender", "min")]
    assert bad(checker.check({"resourceType": "Patient"}, [f"{OWN}|9.0.0"])) == [("Patient.name", "min")]
    assert bad(checker.check({"resourceType": "Patient"}, [f"{OWN}|8.0.0"])) == [("Patient", "profile-unknown")]


@pytest.mark.parametrize(
    "files",
    [
        {"package": {**MANIFEST, "fhirVersions": ["5.0.0"]}},
        {"one": {"resourceType": "ValueSet", "url": "urn:x:v"}},
        {"package": b"{"},
        {
            "package": MANIFEST,
            "one": {"resourceType": "StructureDefinition", "url": OWN, "differential": {"element": [7]}},
        },
    ],
)
def test_what_is_no_package_of_r4_is_refused(tmp_path: Path, files: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match="SUNDBRO_PACKAGES"):
        packages.load(FOLDER, [archive(tmp_path / "own.tgz", **files)])


def test_what_is_no_archive_and_what_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tgz").write_text("no archive")
    with pytest.raises(Misconfigured, match=r"text\.tgz"):
        packages.load(FOLDER, [tmp_path / "text.tgz"])
    with pytest.raises(Misconfigured, match="do not exist"):
        settings.load({"SUNDBRO_PACKAGES": str(tmp_path / "none.tgz")}).package_files()


def test_every_shipped_package_says_its_licence_and_origin() -> None:
    for package in loaded()[1]:
        assert package["package"]["license"] == "CC0-1.0"
        assert package["package"]["origin"]


@pytest.mark.corpus
def test_the_tables_of_r4_are_made_from_its_definitions() -> None:
    folder = corpus_folder("fhir-r4-definitions")
    base = conformance_tables.base_tables(folder)
    assert (FOLDER / "r4-base.json").read_text("utf-8") == conformance_tables.lines(base)
    made = conformance_tables.lines(conformance_tables.core_package(folder, base))
    assert (FOLDER / "hl7.fhir.r4.core-4.0.1.json").read_text("utf-8") == made


@pytest.mark.corpus
def test_the_tables_of_the_guides_are_made_from_their_packages() -> None:
    folder = SHARED / "profiles"
    if not folder.is_dir():
        pytest.skip(f"NOT RUN: the packages are not on this machine ({folder})")
    for path in sorted(FOLDER.glob("*.dk.*.json")):
        made = packages.read_archive(folder / f"{path.stem}.tgz", packages.base_tables(FOLDER))
        assert path.read_text("utf-8") == conformance_tables.lines(made), path.name
